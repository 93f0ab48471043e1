//! The cloud in one process, the endpoint in another.

mod support;

use std::fs;

use jiff::Timestamp;
use serde_json::Value;
use support::{origin, webex};
use tempfile::TempDir;
use webex_sdk::core::{Auth, Credentials, Endpoints, Request, Transport};

/// Asks the sandbox's control API.
async fn control(origin: &str, ca: &[u8], path: &str) -> Value {
    let transport = Transport::builder().extra_roots_pem(ca).unwrap().build().unwrap();
    let client = webex_sdk::core::Webex::builder()
        .credentials(Credentials::access_token("not-sent"))
        .endpoints(Endpoints::at(origin).unwrap())
        .transport(transport)
        .build()
        .unwrap();
    let url = format!("{}{path}", origin.trim_end_matches('/')).parse().unwrap();
    client.http().send(Request::get(url).auth(Auth::None)).await.unwrap().json().unwrap()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().expect("a time").parse().expect("RFC 3339")
}

#[tokio::test]
async fn the_line_is_kept_alive_and_ended_in_order() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, token, log) = (path("ca.pem"), path("token"), path("requests.jsonl"));
    let mut sandbox = webex(
        [
            "sandbox",
            "--listen",
            "127.0.0.1:0",
            "--ca-out",
            &ca,
            "--token-out",
            &token,
            "--request-log",
            &log,
            "--keepalive-interval",
            "2",
        ],
        None,
    );
    let origin = origin(&mut sandbox);
    let register = [
        "register",
        "--cloud",
        &origin,
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

    let ca = fs::read(&ca).unwrap();
    let sockets = control(&origin, &ca, "/sandbox/sockets/closed").await;
    let overview = control(&origin, &ca, "/sandbox/").await;
    sandbox.signal("INT");
    assert_eq!(sandbox.end().code(), 0);

    let log = fs::read_to_string(&log).unwrap();
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
