//! The report of `webex live`.

use std::{fs, path::Path};

use serde_json::Value;

/// Both forms of a report.
pub(crate) struct Report {
    pub(crate) json: Value,
    pub(crate) text: String,
    raw: String,
}

impl Report {
    pub(crate) fn read(path: &Path) -> Self {
        let raw = fs::read_to_string(path).expect("a report");
        let text = fs::read_to_string(path.with_extension("txt")).expect("its readable form");
        Self { json: serde_json::from_str(&raw).expect("JSON"), text, raw }
    }

    pub(crate) fn scenario(&self, name: &str) -> &Value {
        let scenarios = self.json["scenarios"].as_array().expect("a list");
        scenarios.iter().find(|scenario| scenario["name"] == name).expect("played")
    }

    pub(crate) fn failed(&self) -> Vec<&str> {
        let scenarios = self.json["scenarios"].as_array().expect("a list").iter();
        let failed = scenarios.filter(|scenario| !scenario["failure"].is_null());
        failed.map(|scenario| scenario["name"].as_str().expect("a name")).collect()
    }

    /// Requests of a scenario, such as `POST 200`, whose path ends with `ending`.
    pub(crate) fn answers(&self, scenario: &str, ending: &str) -> Vec<String> {
        let record = self.scenario(scenario)["record"].as_array().expect("a list").iter();
        let requests = record.filter(|entry| {
            entry["kind"] == "request" && entry["path"].as_str().expect("a path").ends_with(ending)
        });
        requests.map(|r| format!("{} {}", r["method"].as_str().unwrap(), r["status"])).collect()
    }

    pub(crate) fn events(&self, scenario: &str, source: &str) -> Vec<&str> {
        let record = self.scenario(scenario)["record"].as_array().expect("a list").iter();
        let events = record.filter(|entry| entry["source"] == source);
        events.map(|event| event["event"].as_str().expect("a name")).collect()
    }

    /// Both forms.
    pub(crate) fn forms(&self) -> [&str; 2] {
        [&self.raw, &self.text]
    }
}
