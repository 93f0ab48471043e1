//! The report of a run: as JSON for programs, as text for people, without private data.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::record::{Entry, seconds};
use crate::redact::Redactor;

/// Version of the report's format.
const FORMAT: u32 = 1;

/// The results of a run. They are redacted when the report is [written](Report::write).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) format: u32,
    pub(super) program: String,
    pub(super) os: String,
    pub(super) arch: String,
    /// `the Webex cloud`, or the origin given.
    pub(super) cloud: String,
    /// RFC 3339.
    pub(super) started: String,
    pub(super) took_ms: u64,
    pub(super) passed: bool,
    /// The user's region according to Webex.
    pub(super) region: Option<String>,
    pub(super) country: Option<String>,
    /// Every host that got a request.
    pub(super) hosts: Vec<String>,
    pub(super) scenarios: Vec<Scenario>,
    pub(super) left: Leftovers,
}

/// A scenario and its outcome.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) failure: Option<String>,
    pub(super) record: Vec<Entry>,
}

/// What the run has left in the cloud.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Leftovers {
    /// Whether the cloud could be asked.
    pub(super) verified: bool,
    /// WDM devices with the name of this run.
    pub(super) devices: usize,
    /// How many of them this program deleted at the end.
    pub(super) deleted: usize,
    /// Lines whose server did not confirm their removal; they expire within minutes.
    pub(super) lines: usize,
    pub(super) failure: Option<String>,
}

impl Leftovers {
    /// Whether the cloud confirmed that nothing is left.
    pub(super) fn is_nothing(&self) -> bool {
        self.verified && self.devices == 0 && self.lines == 0
    }
}

impl Report {
    /// A report without results.
    pub(super) fn new(cloud: String, started: String) -> Self {
        Self {
            format: FORMAT,
            program: concat!("webex ", env!("CARGO_PKG_VERSION")).to_owned(),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cloud,
            started,
            took_ms: 0,
            passed: false,
            region: None,
            country: None,
            hosts: Vec::new(),
            scenarios: Vec::new(),
            left: Leftovers::default(),
        }
    }

    /// Computes the verdict once all scenarios are done.
    pub(super) fn conclude(&mut self, took_ms: u64) {
        self.took_ms = took_ms;
        let records = self.scenarios.iter().flat_map(|scenario| &scenario.record);
        let hosts = records.filter_map(|entry| match entry {
            Entry::Request { host, .. } => Some(host.clone()),
            _ => None,
        });
        self.hosts = hosts.collect::<BTreeSet<_>>().into_iter().collect();
        self.passed = self.left.is_nothing() && self.scenarios.iter().all(|s| s.failure.is_none());
    }

    /// Writes both forms, redacted. Returns the path of the text.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn write(&self, json: &Path, redactor: &Redactor) -> io::Result<PathBuf> {
        let mut value = serde_json::to_value(self).map_err(io::Error::other)?;
        redactor.value(&mut value);
        let shown: Self = serde_json::from_value(value.clone()).map_err(io::Error::other)?;
        let text = json.with_extension("txt");
        fs::write(json, format!("{value:#}\n"))?;
        fs::write(&text, shown.text())?;
        Ok(text)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.render(&mut text);
        text
    }

    fn render(&self, out: &mut String) -> std::fmt::Result {
        let result = |passed: bool| if passed { "passed" } else { "FAILED" };
        writeln!(out, "webex-native, live run: {}", result(self.passed))?;
        writeln!(out, "  program  {}, {} {}", self.program, self.os, self.arch)?;
        writeln!(out, "  cloud    {}", self.cloud)?;
        writeln!(out, "  started  {}, took {}", self.started, seconds(self.took_ms))?;
        let unknown = || "unknown".to_owned();
        let (region, country) = (self.region.clone(), self.country.clone());
        writeln!(
            out,
            "  region   {}, country {}",
            region.unwrap_or_else(unknown),
            country.unwrap_or_else(unknown)
        )?;
        writeln!(out, "  hosts    {}", self.hosts.join(" "))?;
        writeln!(out, "  left     {}", self.left.describe())?;
        for scenario in &self.scenarios {
            writeln!(out, "\n{}: {}", scenario.name, result(scenario.failure.is_none()))?;
            if let Some(failure) = &scenario.failure {
                writeln!(out, "  {failure}")?;
            }
            for entry in &scenario.record {
                writeln!(out, "{}", line(entry))?;
            }
        }
        Ok(())
    }
}

impl Leftovers {
    fn describe(&self) -> String {
        let lines = match self.lines {
            0 => "no line".to_owned(),
            n => format!("{n} lines not confirmed gone"),
        };
        let devices = match (self.verified, self.devices) {
            (false, _) => {
                format!("devices NOT verified: {}", self.failure.as_deref().unwrap_or("?"))
            }
            (true, 0) => "no device".to_owned(),
            (true, n) => format!("{n} devices, {} of them deleted in the end", self.deleted),
        };
        format!("{devices}, {lines}")
    }
}

fn line(entry: &Entry) -> String {
    let (t_ms, kind, what) = match entry {
        Entry::Step { t_ms, step, took_ms, failure } => {
            let outcome = failure.as_ref().map_or("ok".to_owned(), |f| format!("FAILED: {f}"));
            (t_ms, "step", format!("{step}: {outcome}, {took_ms} ms"))
        }
        Entry::Event { t_ms, source, event, detail } => {
            (t_ms, "event", format!("{source} {event}{}", fields(detail)))
        }
        Entry::Request { t_ms, method, host, path, status, elapsed_ms, tracking_id, reason } => {
            let outcome = match (status, reason) {
                (Some(status), _) => status.to_string(),
                (None, reason) => format!("no answer: {}", reason.as_deref().unwrap_or("?")),
            };
            let took = elapsed_ms.map(|ms| format!(", {ms} ms")).unwrap_or_default();
            let id = tracking_id.as_deref().unwrap_or_default();
            (t_ms, "request", format!("{method} {host}{path}: {outcome}{took}  {id}"))
        }
        Entry::Log { t_ms, target, message, fields: more } => {
            (t_ms, "log", format!("{target}: {message}{}", fields(more)))
        }
    };
    format!("{:>11}  {kind:<7}  {what}", seconds(*t_ms)).trim_end().to_owned()
}

fn fields(fields: &Map<String, Value>) -> String {
    fields.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = match value {
            Value::String(value) => write!(text, " {name}={value}"),
            other => write!(text, " {name}={other}"),
        };
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_passes_only_when_the_cloud_confirms_that_nothing_is_left() {
        let mut report = Report::new("x".to_owned(), "now".to_owned());
        report.left.verified = true;
        let scenario = |failure: Option<&str>| Scenario {
            name: "meetings".to_owned(),
            failure: failure.map(str::to_owned),
            record: Vec::new(),
        };
        report.scenarios.push(scenario(None));
        report.conclude(1);
        assert!(report.passed);
        for spoil in [
            |report: &mut Report| report.left.verified = false,
            |report: &mut Report| report.left.devices = 1,
            |report: &mut Report| report.left.lines = 1,
        ] {
            report.left = Leftovers { verified: true, ..Leftovers::default() };
            spoil(&mut report);
            report.conclude(1);
            assert!(!report.passed);
            assert!(report.text().starts_with("webex-native, live run: FAILED"));
        }
        report.left = Leftovers { verified: true, ..Leftovers::default() };
        report.scenarios.push(scenario(Some("refused")));
        report.conclude(1);
        assert!(!report.passed);
    }

    #[test]
    fn both_forms_are_written_without_private_data() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("report.json");
        let mut report = Report::new("x".to_owned(), "now".to_owned());
        let secret = "c0ffee00c0ffee00c0ffee00";
        let record = vec![Entry::Request {
            t_ms: 12,
            method: "GET".to_owned(),
            host: "wdm-a.wbx2.com".to_owned(),
            path: format!("/devices/{secret}"),
            status: None,
            elapsed_ms: None,
            tracking_id: Some("t_1".to_owned()),
            reason: Some("refused by ann@example.com".to_owned()),
        }];
        report.scenarios.push(Scenario { name: "x".to_owned(), failure: None, record });
        report.conclude(1);
        let text = report.write(&path, &Redactor::new().unwrap()).unwrap();
        let written = [fs::read_to_string(path).unwrap(), fs::read_to_string(text).unwrap()];
        for form in written {
            assert!(!form.contains(secret) && !form.contains("example.com"), "{form}");
            assert!(form.contains("wdm-a.wbx2.com") && form.contains("t_1"), "{form}");
        }
    }
}
