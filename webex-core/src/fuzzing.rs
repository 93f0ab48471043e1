//! The fuzz targets of `fuzz/`. The tests below run them on the committed corpus.
//!
//! A target takes any bytes. It fails by a panic, either in the code under test or in an assertion
//! of a rule that must hold whatever a server sends.

use std::time::{Duration, Instant};

use serde_json::Value;
use url::Url;

pub use crate::http::fuzzing::{allow_list, http_answer, proxy_rules};
use crate::{
    catalog::Catalog,
    device::record::{Device, Saved},
    mercury::{
        close::{self, Close},
        event::MercuryEvent,
        frame::{FrameBody, ServerFrame},
        machine::{
            Machine,
            action::{Action, ConnId, OpenFailure, Status},
        },
    },
};

/// A target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub const TARGETS: &[Target] = &[
    ("allow_list", allow_list),
    ("catalog_hostmap", catalog),
    ("catalog_u2cv2", catalog),
    ("close_frame", close_frame),
    ("http_answer", http_answer),
    ("mercury_frame", mercury_frame),
    ("mercury_machine", mercury_machine),
    ("proxy_rules", proxy_rules),
    ("saved_device", saved_device),
    ("wdm_device", wdm_device),
];

/// Parses a Mercury frame and reads its payload.
pub fn mercury_frame(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let Ok(frame) = ServerFrame::parse(text) else { return };
    let _ = frame.authorizes();
    if let FrameBody::Event(event) = &frame.body {
        read_event(event);
    }
}

fn read_event(event: &MercuryEvent) {
    assert!(event.data_as::<Value>().is_ok(), "the data was read as JSON before");
    let _ = (event.namespace(), event.payload());
    let _ = format!("{event:?}");
}

/// A catalog in either format.
pub fn catalog(data: &[u8]) {
    let Ok(catalog) = serde_json::from_slice::<Catalog>(data) else { return };
    let names: Vec<_> = catalog.services().map(str::to_owned).collect();
    for name in names.iter().take(50) {
        if let Ok(url) = catalog.service_url(name) {
            let _ = catalog.service_of(&url);
        }
    }
    let _ = catalog.mobius_clusters();
}

/// A WDM device: the first half is a registration's answer, the second a refresh's.
pub fn wdm_device(data: &[u8]) {
    let Ok(first) = Device::read(data, Some("\"1\""), true, None) else { return };
    let again = Device::read(data, Some("\"1\""), false, Some(&first));
    assert!(again.is_ok(), "the same bytes are read again");
}

/// A device in the saved state.
pub fn saved_device(data: &[u8]) {
    let environment = Url::parse("https://u2c.wbx2.com/u2c/api/v1").expect("a URL");
    let Ok(saved) = serde_json::from_slice::<Saved>(data) else { return };
    if let Some(device) = saved.into_device(&environment, Some("org")) {
        assert!(device.to_saved(&environment).is_some(), "what was saved can be saved again");
    }
}

/// Code and reason of a close frame, and the status of a refused upgrade.
pub fn close_frame(data: &[u8]) {
    let [high, low, authorized, reason @ ..] = data else { return };
    let code = u16::from_be_bytes([*high, *low]);
    let reason = String::from_utf8_lossy(reason).into_owned();
    let close = Close { code, reason };
    let _ = close::reaction(&close, authorized & 1 == 1);
    let _ = close::why(&close);
    let _ = close::upgrade_reaction(code, authorized & 2 == 2);
}

/// Frames that the machine reacts to.
const FRAMES: [&str; 8] = [
    r#"{"id":"f1","data":{"eventType":"mercury.buffer_state"},"sequenceNumber":1}"#,
    r#"{"id":"f2","data":{"eventType":"mercury.registration_status"}}"#,
    r#"{"id":"f3","data":{"eventType":"mobius.call"},"sequenceNumber":2}"#,
    r#"{"id":"f3","data":{"eventType":"mobius.call"},"sequenceNumber":9}"#,
    r#"{"id":"f4","type":"shutdown"}"#,
    r#"{"id":"wrong","type":"pong"}"#,
    r#"{"type":"other"}"#,
    r#"{"sequenceNumber":18446744073709551615,"data":{}}"#,
];

/// Close codes with rules of their own, and some without.
const CODES: [u16; 12] = [1000, 1001, 1005, 1006, 1008, 1011, 3050, 4000, 4001, 4400, 4401, 4404];

/// A script for the Mercury machine: each byte is an input for one of its sockets.
pub fn mercury_machine(data: &[u8]) {
    let mut machine = Machine::new(7);
    let mut now = Instant::now();
    let mut conns: Vec<ConnId> = Vec::new();
    let mut last_ping = String::new();
    machine.connect(now);
    for pair in data.chunks(2).take(2_000) {
        let [what, which] = *pair else { break };
        let conn = conns.iter().rev().nth(usize::from(which & 3)).copied();
        let pick = usize::from(which >> 2);
        match (what % 16, conn) {
            (0, _) => machine.connect(now),
            (1, _) => machine.disconnect(now, "enough"),
            (2, _) => machine.handle_hint(now),
            (3, _) => machine.handle_token(which & 1 == 1),
            (4, _) => machine.handle_token_available(now),
            (5, Some(conn)) => {
                let _ = machine.handle_opened(now, conn);
            }
            (6, Some(conn)) => {
                let failure = match pick % 5 {
                    0 => OpenFailure::Unreachable,
                    1 => OpenFailure::Network,
                    2 => OpenFailure::Token,
                    3 => OpenFailure::Untrusted,
                    _ => OpenFailure::Status {
                        status: 400 + u16::from(what) + u16::from(which),
                        retry_after: (which & 4 == 4).then(|| Duration::from_secs(which.into())),
                    },
                };
                machine.handle_open_failed(now, conn, &failure);
            }
            (7 | 8, Some(conn)) => {
                let frame = ServerFrame::parse(FRAMES[pick % FRAMES.len()]).expect("a frame");
                machine.handle_frame(now, conn, frame);
            }
            (9, Some(conn)) => {
                let pong = format!(r#"{{"id":"{last_ping}","type":"pong"}}"#);
                machine.handle_frame(now, conn, ServerFrame::parse(pong).expect("a frame"));
            }
            (10, Some(conn)) => {
                let close = Close { code: CODES[pick % CODES.len()], reason: String::new() };
                machine.handle_closed(now, conn, &close);
            }
            (11, _) => now += Duration::from_millis(u64::from(which) * 100),
            // Time advances to the next deadline, as in a driver.
            _ => {
                if let Some(at) = machine.poll_timeout() {
                    now = now.max(at);
                }
                machine.handle_timeout(now);
            }
        }
        let mut actions = 0;
        while let Some(action) = machine.poll_action() {
            actions += 1;
            assert!(actions < 100, "one input has this many consequences");
            match action {
                Action::Open(conn) => conns.push(conn),
                Action::Send(_, frame) => {
                    let frame: Value = serde_json::from_str(&frame.to_json()).expect("JSON");
                    if frame["type"] == "ping" {
                        frame["id"].as_str().expect("an id").clone_into(&mut last_ping);
                    }
                }
                Action::Deliver(event) => read_event(&event),
                _ => {}
            }
        }
        // A machine in transition has a deadline, or it would wait for ever.
        let status = machine.status();
        let rests = matches!(status, Status::Offline | Status::Stopped(_));
        assert!(rests || machine.poll_timeout().is_some(), "{status:?} without a deadline");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_passes() {
        webex_tests::corpus::run(TARGETS);
    }
}
