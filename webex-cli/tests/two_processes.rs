//! The cloud in one process, the endpoint in another.

mod support;

use std::fs;

use jiff::Timestamp;
use serde_json::Value;
use support::{Cloud, webex};
use tempfile::TempDir;

fn time(value: &Value) -> Timestamp {
    value.as_str().expect("a time").parse().expect("RFC 3339")
}

#[tokio::test]
async fn the_line_is_kept_alive_and_ended_in_order() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let log = path("requests.jsonl");
    let cloud = Cloud::start(folder, &["--request-log", &log, "--keepalive-interval", "2"]);
    let (ca, token) = (cloud.path("ca.pem"), cloud.path("token"));
    let register = [
        "register",
        "--cloud",
        &cloud.origin,
        "--ca",
        &ca,
        "--token-file",
        &token,
        "--json",
        "--for",
        "8",
    ];
    let ended = webex(register, None).end();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_eq!(
        ended.events("meetings"),
        ["meetings:ready", "meetings:registered", "meetings:unregistered"]
    );
    assert_eq!(ended.events("line"), ["connecting", "registered", "unregistered"]);

    let sockets = cloud.control("/sandbox/sockets/closed").await;
    let overview = cloud.control("/sandbox/").await;
    let log = fs::read_to_string(&log).unwrap();
    cloud.end();
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |service: &str, method: &str, suffix: &str| -> Vec<&Value> {
        log.iter()
            .filter(|request| {
                request["service"] == service
                    && request["method"] == method
                    && request["path"].as_str().unwrap().ends_with(suffix)
            })
            .collect()
    };
    assert!(of("mobius", "POST", "/status").len() >= 3, "{log:#?}");
    let (mobius, wdm) = (of("mobius", "DELETE", ""), of("wdm", "DELETE", ""));
    assert_eq!((mobius.len(), wdm.len()), (1, 1), "{log:#?}");
    let [socket] = sockets.as_array().unwrap().as_slice() else { panic!("{sockets}") };
    assert_eq!(socket["closed"]["by"], "client", "{socket}");
    assert_eq!(socket["closed"]["code"], 3050, "{socket}");
    let closed = time(&socket["closed_at"]);
    assert!(time(&mobius[0]["time"]) < closed, "the line goes before the socket");
    assert!(closed < time(&wdm[0]["time"]), "the socket goes before the device");
    for kind in ["devices", "sockets", "lines"] {
        assert_eq!(overview["counts"][kind], 0, "{overview}");
    }
}
