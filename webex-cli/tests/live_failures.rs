//! `webex live` when something fails: it reports, cleans up, and still shows no private data.

mod support;

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};
use support::{ca_file, report::Report, webex};
use tempfile::TempDir;
use webex_sandbox::{Mobius, Mutation, Sandbox, Wdm};
use webex_tests::{process::Process, user::assert_empty};

/// Asserts that both forms of a report have nothing about the user of a sandbox.
fn assert_nothing_personal(report: &Report, user: &Value) {
    let token = user["token"].as_str().unwrap().split('_').next().unwrap();
    let names = ["id", "email", "org_id", "sip_address", "phone_number"];
    for private in names.iter().map(|name| user[name].as_str().unwrap()).chain([token]) {
        for form in report.forms() {
            assert!(!form.contains(private), "{private} in {form}");
        }
    }
}

fn live(sandbox: &Sandbox, folder: &TempDir, more: &[&str]) -> (Process, PathBuf) {
    let (ca, out) = (ca_file(sandbox, folder), folder.path().join("report.json"));
    let origin = sandbox.origin().as_str();
    let mut arguments = vec!["live", "--cloud", origin, "--ca", &ca, "--out"];
    arguments.push(out.to_str().unwrap());
    arguments.extend(more);
    (webex(arguments, Some(sandbox.token())), out)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_reported_and_everything_else_still_tried() {
    let folder = TempDir::new().unwrap();
    let sandbox = Sandbox::builder().keepalive_interval(Duration::from_secs(1));
    let sandbox = sandbox.start().await.unwrap();
    sandbox.fail(Mobius::register()).with(403).body(json!({"errorCode": 102})).always();
    let (command, out) = live(&sandbox, &folder, &[]);
    let ended = tokio::task::spawn_blocking(|| command.end()).await.unwrap();
    assert_eq!(ended.code(), 9, "{}", ended.stderr);
    assert!(ended.stderr.contains("report.json"), "{}", ended.stderr);

    let report = Report::read(&out);
    assert_eq!(report.json["passed"], false);
    // Interrupting comes before the refusal.
    assert_eq!(report.failed(), ["calling", "both"]);
    assert_eq!(report.answers("calling", "/web/device"), ["POST 403"]);
    assert_eq!(report.events("calling", "line")[..2], ["connecting", "error"]);
    assert_eq!(report.json["left"]["verified"], true);
    assert_nothing_personal(&report, &json!(sandbox.user()));
    assert_empty(&sandbox);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_data_in_a_services_answer_is_not_repeated() {
    let folder = TempDir::new().unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let user = sandbox.user();
    let message = format!(
        "{} ({}, {}) of {} may not use {}.",
        user.display_name, user.email, user.phone_number, user.org_id, user.extension
    );
    sandbox.fail(Wdm::register()).with(403).body(json!({"message": message})).always();
    let (command, out) = live(&sandbox, &folder, &[]);
    let ended = tokio::task::spawn_blocking(|| command.end()).await.unwrap();
    assert_eq!(ended.code(), 9, "{}", ended.stderr);

    let report = Report::read(&out);
    assert_eq!(report.failed(), ["meetings", "calling", "both", "interrupted"]);
    assert_nothing_personal(&report, &json!(user));
    let shown = [report.forms().concat(), ended.stderr, ended.stdout.concat()];
    for text in shown {
        assert!(text.contains("may not use #"), "the rest of the message stays: {text}");
        let words = text.split(|c: char| !c.is_alphanumeric());
        for private in [&user.display_name, &user.extension, &user.email] {
            assert!(words.clone().all(|word| word != private), "{private} in {text}");
            assert!(private.len() < 8 || !text.contains(private), "{private} in {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_are_found_and_reported() {
    let folder = TempDir::new().unwrap();
    let sandbox = Sandbox::builder().keepalive_interval(Duration::from_secs(1));
    let sandbox = sandbox.start().await.unwrap();
    sandbox.mutate(Mutation::IgnoreUnregister, true);
    let (command, out) = live(&sandbox, &folder, &["--settle", "0.5", "--for", "0"]);
    let ended = tokio::task::spawn_blocking(|| command.end()).await.unwrap();
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    let report = Report::read(&out);
    assert_eq!(report.failed(), ["meetings", "calling", "both", "interrupted"]);
    assert_eq!(report.json["left"]["devices"], sandbox.counts().devices);
    assert!(report.text.contains("of them deleted in the end"), "{}", report.text);
    assert!(report.answers("calling", "/status").is_empty(), "--for 0 waits for no keepalive");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_cleans_up_and_reports() {
    let folder = TempDir::new().unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    let (command, out) = live(&sandbox, &folder, &[]);
    // The next keepalive is far away, and it is now waiting for it.
    sandbox.wait_for(|sandbox| sandbox.counts().lines == 1).await.unwrap();
    command.signal("INT");
    let ended = tokio::task::spawn_blocking(|| command.end()).await.unwrap();
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    let report = Report::read(&out);
    assert_eq!(report.failed(), ["calling"]);
    assert!(report.text.contains("interrupted by the user"), "{}", report.text);
    assert_eq!(report.json["left"]["devices"], 0);
    assert_empty(&sandbox);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_has_its_own_exit_code() {
    let folder = TempDir::new().unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.revoke_token(sandbox.token());
    let (command, out) = live(&sandbox, &folder, &[]);
    let ended = tokio::task::spawn_blocking(|| command.end()).await.unwrap();
    assert_eq!(ended.code(), 3, "{}", ended.stderr);
    let report = Report::read(&out);
    assert_eq!(report.failed(), ["cloud"]);
    assert_eq!(report.json["scenarios"].as_array().unwrap().len(), 1, "nothing else is tried");
    assert_eq!(report.json["left"]["verified"], false);
    assert_nothing_personal(&report, &json!(sandbox.user()));
}
