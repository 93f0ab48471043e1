//! `webex listen`: events by name, for people and programs, and nothing left at the end.

mod support;

use serde_json::{Value, json};
use support::{ca_file, webex};
use tempfile::TempDir;
use webex_sandbox::{Mercury, Sandbox};
use webex_tests::{
    process::{Process, event},
    user::assert_empty,
};

fn listen(sandbox: &Sandbox, folder: &TempDir, more: &[&str]) -> Process {
    let (cloud, ca) = (sandbox.origin().as_str(), ca_file(sandbox, folder));
    let start = ["listen", "--cloud", cloud, "--ca", &ca];
    webex(start.into_iter().chain(more.iter().copied()), Some(sandbox.token()))
}

/// What a service could send to take over a terminal.
const HARMFUL: &str = "\u{1b}[2J\u{202e}\u{9b}31m\u{7f}";

fn push(sandbox: &Sandbox, name: &str) {
    let data = json!({"eventType": name, "text": HARMFUL});
    assert_eq!(sandbox.push_event(sandbox.user(), &data), 1);
}

fn heard(process: &Process) -> Vec<String> {
    let events = process.seen.iter().filter_map(|line| event(line));
    events.filter_map(|event| event["eventType"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_heard_by_name_until_the_end() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let mut listen = listen(&sandbox, &folder, &["conversation.activity", "mobius", "--json"]);
    listen.wait_for_event("link:online");
    for name in ["locus.other", "conversation.activity", "conversation.highlight", "mobius.call"] {
        push(&sandbox, name);
    }
    listen.wait_for("the call", |line| line.contains("mobius.call"));
    assert_eq!(heard(&listen), ["conversation.activity", "mobius.call"]);
    let line = listen.seen.last().unwrap();
    assert!(line.chars().all(|c| matches!(c, ' '..='~')), "{line:?}");
    let shown: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&shown["event"], &shown["source"]), (&json!("event"), &json!("link")));
    assert_eq!(shown["data"]["text"], HARMFUL, "nothing is lost");
    listen.signal("INT");
    let ended = listen.end();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_empty(&sandbox);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_heard_and_people_read_them() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let mut listen = listen(&sandbox, &folder, &["all"]);
    listen.wait_for("online", |line| line.contains("link:online"));
    push(&sandbox, "locus.other");
    let line = listen.wait_for("the event", |line| line.contains("locus.other"));
    assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    listen.signal("TERM");
    assert_eq!(listen.end().code(), 0);
    assert_empty(&sandbox);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_open_is_no_success() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let refused = sandbox.fail(Mercury::connect()).with(403).always();
    let ended = listen(&sandbox, &folder, &["all"]).end();
    assert_eq!(ended.code(), 9, "{}", ended.stderr);
    refused.clear();
    sandbox.fail(Mercury::connect()).with(503).always();
    let ended = listen(&sandbox, &folder, &["all", "--for", "1"]).end();
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("before the event socket was open"), "{}", ended.stderr);
    assert_empty(&sandbox);
    assert_eq!(webex(["listen"], None).end().code(), 2, "a name is needed");
}
