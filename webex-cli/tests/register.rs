//! `webex register`, as a user runs it.

mod support;

use std::{net::TcpListener, time::Duration};

use support::{ca_file, register, webex};
use tempfile::TempDir;
use webex_sandbox::{Mobius, Sandbox, Wdm};
use webex_tests::{
    process::{Ended, event},
    user::assert_empty,
};

fn assert_in_order(events: &[String], expected: &[&str]) {
    assert_eq!(events, expected);
}

fn assert_clean_success(ended: &Ended) {
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let mut meetings = ended.events("meetings");
    // The steps end in no fixed order.
    meetings.retain(|name| name != "meetings:step");
    assert_in_order(&meetings, &["meetings:ready", "meetings:registered", "meetings:unregistered"]);
    assert_in_order(&ended.events("line"), &["connecting", "registered", "unregistered"]);
}

#[test]
fn without_arguments_it_registers_with_its_own_sandbox_and_leaves_it_empty() {
    let mut webex = webex(["register", "--json"], None);
    webex.wait_for_event("registered");
    webex.wait_for_event("meetings:registered");
    webex.signal("INT");
    let ended = webex.end();
    assert_clean_success(&ended);
    assert!(ended.stderr.contains("sandbox inside this program"), "{}", ended.stderr);
    let left = event(ended.stdout.last().unwrap()).unwrap();
    assert_eq!(left["event"], "left");
    for kind in ["devices", "sockets", "lines"] {
        assert_eq!(left[kind], 0, "{left}");
    }
}

#[test]
fn people_get_readable_lines() {
    let mut webex = webex(["register"], None);
    webex.wait_for("invitation", |line| line.contains("Ctrl-C"));
    webex.signal("INT");
    let ended = webex.end();
    let text = ended.stdout.join("\n");
    for expected in ["meetings:registered", "registered ", "sip:", "0 devices, 0 sockets, 0 lines"]
    {
        assert!(text.contains(expected), "no `{expected}` in:\n{text}");
    }
    assert!(ended.stdout[0].contains("sandbox"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sigterm_and_the_end_of_duration_deregister_too() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);

    let mut webex = register(&sandbox, &ca, &[]);
    webex.wait_for_event("registered");
    webex.wait_for_event("meetings:registered");
    webex.signal("TERM");
    assert_clean_success(&webex.end());

    assert_clean_success(&register(&sandbox, &ca, &["--for", "1.5"]).end());
    assert_empty(&sandbox);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_product_can_be_registered_alone() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);

    let mut meetings = register(&sandbox, &ca, &["--meetings"]);
    meetings.wait_for_event("meetings:registered");
    meetings.signal("INT");
    let ended = meetings.end();
    assert_eq!(ended.code(), 0);
    assert_eq!(ended.events("line"), Vec::<String>::new());
    assert!(sandbox.requests().of(Mobius::register()).is_empty());

    let mut calling = register(&sandbox, &ca, &["--calling"]);
    calling.wait_for_event("registered");
    calling.signal("INT");
    let ended = calling.end();
    assert_eq!(ended.code(), 0);
    assert_eq!(ended.events("meetings"), Vec::<String>::new());
    assert_in_order(&ended.events("line"), &["connecting", "registered", "unregistered"]);
    assert_empty(&sandbox);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_interrupted_registration_leaves_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    // The device's answer takes a second: the signal comes before it.
    sandbox.fail(Wdm::register()).delay(Duration::from_secs(1)).always();
    let webex = register(&sandbox, &ca, &[]);
    sandbox.wait_for(|s| !s.requests().of(Wdm::register()).is_empty()).await.unwrap();
    webex.signal("INT");
    let ended = webex.end();
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("before everything was registered"), "{}", ended.stderr);
    assert_empty(&sandbox);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_wrong_token_is_reported_in_one_line_with_advice() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let cloud = sandbox.origin().as_str();
    let token = "wrong-token_P0A1_0e600000-0000-4000-8000-000000000003";
    let ended = webex(["register", "--cloud", cloud, "--ca", &ca], Some(token)).end();
    assert_eq!(ended.code(), 3);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("--token-file"), "{}", ended.stderr);
}

#[test]
fn a_cloud_that_refuses_or_is_silent_is_unreachable() {
    let token = Some("some-token");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("https://{}", listener.local_addr().unwrap());
    // The system accepts the connection, but nobody answers: the connect deadline applies.
    let waiting = webex(["register", "--cloud", &silent], token);

    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = format!("https://{refused}");
    let started = std::time::Instant::now();
    let ended = webex(["register", "--cloud", &refused], token).end();
    assert_eq!(ended.code(), 4, "{}", ended.stderr);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);

    let ended = waiting.end();
    assert_eq!(ended.code(), 4, "{}", ended.stderr);
    let deadline = webex_sdk::core::CONNECT_TIMEOUT;
    let elapsed = started.elapsed();
    assert!(elapsed < deadline + Duration::from_secs(5), "{elapsed:?}");
    drop(listener);
}

#[test]
fn wrong_usage_is_reported_before_anything_is_done() {
    for (arguments, token) in [
        (vec!["register", "--cloud", "https://127.0.0.1:1"], None),
        (vec!["register", "--cloud", "no url"], Some("t")),
        (vec!["register", "--token-file", "/does/not/exist"], None),
        (vec!["register", "--cloud", "https://127.0.0.1:1", "--ca", "/does/not/exist"], Some("t")),
        (vec!["register", "--for", "soon"], None),
        (vec!["register", "--no-such-option"], None),
        (vec!["--log", "===", "register"], None),
    ] {
        let ended = webex(arguments.clone(), token).end();
        assert_eq!(ended.code(), 2, "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_output_at_any_log_level_shows_the_token() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let cloud = sandbox.origin().as_str();
    let wrong = "wrong-token-value_P0A1_0e600000-0000-4000-8000-000000000003";
    for (token, code) in [(sandbox.token(), 0), (wrong, 3)] {
        let arguments =
            ["register", "--log", "trace", "--cloud", cloud, "--ca", &ca, "--for", "1.5"];
        let ended = webex(arguments, Some(token)).end();
        assert_eq!(ended.code(), code, "{}", ended.stderr);
        assert!(ended.stderr.contains("webex_core"), "nothing was logged");
        // The last part is the organisation's id, which is not secret.
        let secret = token.split('_').next().unwrap();
        for text in [ended.stdout.join("\n"), ended.stderr] {
            assert!(!text.contains(secret), "the token is shown:\n{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cold_start_takes_four_request_times() {
    // Far more than anything but a request takes, so that a busy machine does not matter.
    let latency = Duration::from_millis(500);
    let sandbox = Sandbox::builder().latency(latency).start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let mut webex = register(&sandbox, &ca, &[]);
    let line = webex.wait_for_event("registered");
    let meetings = webex.wait_for_event("meetings:registered");
    for event in [line, meetings] {
        let t = Duration::from_secs_f64(event["t_ms"].as_f64().unwrap() / 1000.0);
        assert!(t >= 4 * latency, "the latency is not there: {t:?}");
        assert!(t < 5 * latency, "a fifth request was waited for: {t:?}");
    }
    webex.signal("INT");
    assert_clean_success(&webex.end());
}
