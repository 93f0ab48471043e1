//! `webex live`, with a sandbox in another process in place of the real cloud: it passes, and its
//! report holds no private data.

mod support;

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Value, json};
use support::{Cloud, report::Report, webex};
use tempfile::TempDir;
use webex_tests::leak::LeakCheck;

#[test]
fn passes_on_a_cloud_in_another_process_and_reports_nothing_private() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let log = path("log.jsonl");
    let out = path("report.json");
    let cloud = Cloud::start(folder, &["--keepalive-interval", "1", "--request-log", &log]);
    let (ca, token) = (cloud.path("ca.pem"), cloud.path("token"));
    let arguments =
        ["live", "--cloud", &cloud.origin, "--ca", &ca, "--token-file", &token, "--out", &out];
    let ended = webex(arguments, None).end();
    assert_eq!(ended.code(), 0, "{} {:#?}", ended.stderr, ended.stdout);
    let report = Report::read(&PathBuf::from(out));
    assert_eq!(report.json["passed"], true);
    assert_eq!(
        (&report.json["region"], &report.json["hosts"]),
        (&json!("US-EAST"), &json!(["127.0.0.1"]))
    );
    assert_eq!(report.json["os"], std::env::consts::OS);
    let nothing =
        json!({"verified": true, "devices": 0, "deleted": 0, "lines": 0, "failure": null});
    assert_eq!(report.json["left"], nothing);
    let names: Vec<_> =
        report.json["scenarios"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["cloud", "meetings", "calling", "both", "interrupted"]);
    // The steps that run beside the registration end in any order.
    let mut meetings = report.events("meetings", "meetings");
    meetings.retain(|name| *name != "meetings:step");
    assert_eq!(meetings, ["meetings:ready", "meetings:registered", "meetings:unregistered"]);
    assert_eq!(report.events("calling", "line"), ["connecting", "registered", "unregistered"]);
    assert!(report.answers("calling", "/status").len() >= 3, "{}", report.text);
    assert_eq!(report.answers("both", "wdm/api/v1/devices")[..1], ["POST 200"], "one device");
    assert!(report.text.starts_with("webex-native, live run: passed\n"), "{}", report.text);

    // The cloud's log has the ids, and shows that all of them are gone.
    let (log, token) = (fs::read_to_string(log).unwrap(), cloud.token());
    cloud.end();
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |operation: &str| {
        let wanted = operation.split_once('.').unwrap();
        log.iter()
            .filter(|r| r["service"] == wanted.0 && r["operation"] == wanted.1)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("wdm.register").len(), of("wdm.unregister").len());
    assert_eq!(of("wdm.register").len(), 5);
    assert_eq!(of("mobius.register").len(), of("mobius.unregister").len());
    for request in of("wdm.register") {
        assert!(request["body"].as_str().unwrap().contains("webex-native-live-"), "{request}");
    }
    let ids: BTreeSet<String> = log
        .iter()
        .flat_map(|request| request["path"].as_str().unwrap().split('/'))
        .filter(|part| part.len() == 36)
        .chain(log.iter().filter_map(|request| request["user_id"].as_str()))
        .map(str::to_owned)
        .collect();
    assert!(ids.len() >= 8, "{ids:?}");
    let token = token.split('_').map(str::to_owned).filter(|part| part.len() > 6);
    let user = ["@sandbox.example", "+15550", "sip:ann"].map(str::to_owned);
    let leaks = LeakCheck::install(ids.into_iter().chain(token).chain(user));
    for form in report.forms() {
        leaks.assert_absent("the report", form);
    }
    // Ids can still be distinguished.
    assert!(report.text.contains("/devices/#"), "{}", report.text);
}

#[test]
fn without_a_token_it_says_so_and_does_nothing() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("report.json");
    let out_text = out.to_str().unwrap();
    for more in [&[][..], &["--cloud", "https://127.0.0.1:9"][..]] {
        let arguments = ["live", "--out", out_text].into_iter().chain(more.iter().copied());
        let ended = webex(arguments, None).end();
        assert_eq!(ended.code(), 2);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains("WEBEX_ACCESS_TOKEN"), "{}", ended.stderr);
        assert!(ended.stdout.is_empty() && !out.exists());
    }
}
