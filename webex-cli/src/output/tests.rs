//! One table of events: the Rust types, `--json`, the C interface and `docs/events.md` agree about
//! every event.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use webex_ffi::event::{EventKind, Shown as ShownToC};
use webex_sandbox::{Mobius, Region, Sandbox, Wdm};
use webex_sdk::{
    CallingClient, CallingConfig,
    calling::{Connecting, LineError, LineInfo, Unregistered},
    core::events::Lossy,
    meetings::{Meetings, MeetingsError, Step},
};
use webex_tests::{user, wait};

use super::*;

#[tokio::test]
async fn rust_command_c_and_documentation_have_one_event_table() {
    let sandbox = Sandbox::start().await.unwrap();
    let (registered, refused, client_error) = from_the_cloud(&sandbox).await;
    let (server, (missed, of)) = (registered.server.clone().unwrap(), (2, 5));
    let error = || refused.clone();
    let unregistered = |reason| LineEvent::Unregistered {
        reason,
        server: Some(server.clone()),
        will_retry: true,
        retry_in: Some(Duration::ZERO),
    };
    let mut lines = vec![
        LineEvent::Registered(registered.clone()),
        LineEvent::Changed(registered.clone()),
        LineEvent::Error(error()),
        LineEvent::Reconnecting { missed, of, server: server.clone(), error: error() },
        LineEvent::Reconnected { server: server.clone() },
        LineEvent::KeepaliveMissed { missed, of, server: server.clone(), error: error() },
        LineEvent::ServerFailed { server: server.clone(), error: error() },
        LineEvent::lost(7),
    ];
    lines.extend(
        [Connecting::Requested, Connecting::Retry, Connecting::NewToken]
            .map(|reason| LineEvent::Connecting { reason }),
    );
    lines.extend(
        [
            Unregistered::Deleted,
            Unregistered::AlreadyGone,
            Unregistered::NotReachable(error()),
            Unregistered::Lost(error()),
            Unregistered::Superseded(error()),
            Unregistered::Down(error()),
            Unregistered::Moved,
            Unregistered::Refused(error()),
        ]
        .map(unregistered),
    );
    compare(&lines, &LineEvent::NAMES, "## Line events (`LineEvent`)");

    sandbox.fail(Wdm::register()).with(403).header("Retry-After", 1).once();
    let webex = user::client(&sandbox);
    let meetings_error = Arc::new(Meetings::new(&webex).register().await.unwrap_err());
    let MeetingsError::Link(link_error) = &*meetings_error else { panic!("{meetings_error:?}") };
    let link_error = link_error.clone();
    let mut meetings = vec![
        MeetingsEvent::Ready,
        MeetingsEvent::Registered,
        MeetingsEvent::Unregistered,
        MeetingsEvent::Failed(Arc::clone(&meetings_error)),
        MeetingsEvent::Retrying(meetings_error),
        MeetingsEvent::NetworkDisconnected,
        MeetingsEvent::NetworkConnected,
        MeetingsEvent::lost(7),
    ];
    meetings.extend(Step::ALL.map(|step| MeetingsEvent::Step { step, succeeded: true }));
    meetings.extend(Step::ALL.map(|step| MeetingsEvent::Step { step, succeeded: false }));
    compare(&meetings, &MeetingsEvent::NAMES, "## Meetings events (`MeetingsEvent`)");

    let calling = [
        client_error,
        CallingEvent::Retrying(link_error.clone()),
        CallingEvent::Failed(link_error),
        CallingEvent::Connected,
        CallingEvent::lost(7),
    ];
    compare(&calling, &CallingEvent::NAMES, "## Calling client events (`CallingEvent`)");
}

/// A line that was registered, the error of a refused one, and an error of a calling client, each
/// with every detail that a service sends.
async fn from_the_cloud(sandbox: &Sandbox) -> (Arc<LineInfo>, LineError, CallingEvent) {
    sandbox.fail(Region::lookup()).with(500).always();
    let body = json!({ "errorCode": 102, "message": "not configured" });
    sandbox.fail(Mobius::register()).with(403).body(body).once();
    let webex = user::client(sandbox);
    let client = CallingClient::new(&webex, CallingConfig::default()).await.unwrap();
    let client_error = CallingEvent::Error(client.last_error().expect("the region failed"));
    let line = client.lines().remove(0);
    let mut events = line.subscribe();
    line.register();
    let refused = wait::until(&mut events, |event| matches!(event, LineEvent::Error(_))).await;
    let LineEvent::Error(refused) = refused else { unreachable!() };
    line.register();
    let registered =
        wait::until(&mut events, |event| matches!(event, LineEvent::Registered(_))).await;
    let LineEvent::Registered(registered) = registered else { unreachable!() };
    client.deregister().await.unwrap();
    (registered, refused, client_error)
}

/// Compares the forms of each event, and all of them with a section of the documentation.
fn compare<E: Event + Debug>(events: &[E], names: &[&str], section: &str)
where
    for<'a> ShownToC: From<&'a E>,
{
    let (text, rows) = documented(section);
    for event in events {
        let expected = (event.name(), Value::Object(event.to_json()));

        let (command, source) = printed(event);
        assert_eq!((command.0.as_str(), &command.1), (expected.0, &expected.1), "--json {event:?}");
        assert_eq!(source, E::SOURCE);

        let c = ShownToC::from(event);
        let json: Value = serde_json::from_str(&c.json).unwrap();
        assert_eq!((c.name.as_str(), &json), (expected.0, &expected.1), "C {event:?}");
        assert_ne!(c.kind, EventKind::Other, "{event:?} has no number");

        let row = rows.get(event.name()).unwrap_or_else(|| panic!("no row for {event:?}"));
        assert_eq!(row.kind, upper_snake(&format!("{:?}", c.kind)), "{event:?}");
        // Some rows list their keys below the table.
        let place = if row.keys.contains("below") { &text } else { &row.keys };
        for key in event.to_json().keys() {
            assert!(
                place.contains(&format!("`{key}`")),
                "{section}: {} has no `{key}`",
                event.name()
            );
        }
    }
    let shown: BTreeSet<_> = events.iter().map(Event::name).collect();
    let names: BTreeSet<_> = names.iter().copied().collect();
    let rows: BTreeSet<_> = rows.keys().map(String::as_str).collect();
    assert_eq!((&shown, &rows), (&names, &names), "{section}");
}

/// The output of `--json`: name and details, and the source.
fn printed<E: Event>(event: &E) -> ((String, Value), String) {
    let page = Page::default();
    let screen = Screen::new(Box::new(page.clone()), false, false);
    Output::new(Instant::now(), true, screen).event(event);
    let mut line: Value = serde_json::from_slice(&page.0.lock()).unwrap();
    let line = line.as_object_mut().unwrap();
    let mut text = |key| line.remove(key).unwrap().as_str().unwrap().to_owned();
    let (name, source) = (text("event"), text("source"));
    assert!(line.remove("t_ms").unwrap().is_f64());
    ((name, Value::Object(line.clone())), source)
}

struct Row {
    kind: String,
    keys: String,
}

/// A section of the documentation: its text, and the rows of its first table by the event's name.
fn documented(section: &str) -> (String, BTreeMap<String, Row>) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, text) = page.split_once(section).unwrap_or_else(|| panic!("no section {section}"));
    let text = text.split("\n## ").next().unwrap().to_owned();
    let table = text.lines().skip_while(|line| !line.starts_with("| Event |")).skip(2);
    let mut rows = BTreeMap::new();
    for line in table.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let word = |cell: &str| cell.trim_matches('`').to_owned();
        let row = Row { kind: word(cells[2]), keys: cells[4].to_owned() };
        assert!(rows.insert(word(cells[1]), row).is_none(), "{line}");
    }
    (text, rows)
}

fn upper_snake(name: &str) -> String {
    let words = name.char_indices().flat_map(|(at, letter)| {
        let gap = (at > 0 && letter.is_uppercase()).then_some('_');
        gap.into_iter().chain(letter.to_uppercase())
    });
    words.collect()
}

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
