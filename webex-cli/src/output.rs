//! What the user sees: events with their time, for people or as JSON lines.

use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value, json};
use webex_sdk::{calling::LineEvent, meetings::MeetingsEvent};

use crate::screen::Screen;

/// Where events are shown. Times count from the start of the process.
#[derive(Clone)]
pub(crate) struct Output {
    started: Instant,
    json: bool,
    screen: Screen,
}

/// An event as programs get it.
#[derive(Serialize)]
struct JsonLine {
    t_ms: f64,
    source: &'static str,
    event: &'static str,
    #[serde(flatten)]
    payload: Map<String, Value>,
}

/// One thing to show.
struct Shown {
    source: &'static str,
    event: &'static str,
    /// For people.
    detail: String,
    /// For programs.
    payload: Map<String, Value>,
}

impl Output {
    /// Everything goes to `screen`.
    pub(crate) fn new(started: Instant, json: bool, screen: Screen) -> Self {
        Self { started, json, screen }
    }

    /// When the process started: what times count from.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The screen that people read; `None` when programs do.
    pub(crate) fn people(&self) -> Option<&Screen> {
        (!self.json).then_some(&self.screen)
    }

    /// A remark for people; programs get none.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json {
            self.screen.print(text);
        }
    }

    /// A remark that everybody gets, programs on standard error.
    pub(crate) fn notice(&self, text: &str) {
        if self.json { eprintln!("{text}") } else { self.screen.print(text) }
    }

    /// What the line is at, for people.
    pub(crate) fn state(&self, text: &str) {
        let detail = text.to_owned();
        self.show(Shown { source: "line", event: "state", detail, payload: Map::new() });
    }

    pub(crate) fn meetings(&self, event: MeetingsEvent) {
        if let MeetingsEvent::Step { step, succeeded } = event {
            let detail = if succeeded { "" } else { "failed; not needed for events" };
            return self.show(Shown {
                source: "progress",
                event: step.name(),
                detail: detail.to_owned(),
                payload: payload([("succeeded", json!(succeeded))]),
            });
        }
        let lost = match event {
            MeetingsEvent::Lost(count) => Some(("count", json!(count))),
            _ => None,
        };
        self.show(Shown {
            source: "meetings",
            event: event.name(),
            detail: String::new(),
            payload: payload(lost),
        });
    }

    pub(crate) fn line(&self, event: &LineEvent) {
        let detail = match event {
            LineEvent::Registered(info) => {
                let server = info.server.as_ref().map(|url| format!(" with {url}"));
                let every =
                    info.keepalive_interval.map(|i| format!(", keepalive every {} s", i.as_secs()));
                format!(
                    "{}{}{}",
                    info.sip_addresses.join(", "),
                    server.unwrap_or_default(),
                    every.unwrap_or_default()
                )
            }
            LineEvent::Unregistered { reason, .. } => match reason.error() {
                Some(error) => format!("{}: {error}", reason.name()),
                None => reason.name().to_owned(),
            },
            LineEvent::Error(error) => {
                let documented = error.documented();
                format!("{} ({})", documented.msg, documented.kind)
            }
            LineEvent::ServerFailed { server, error } => format!("{server}: {error}"),
            LineEvent::Reconnecting { missed, of, error, .. }
            | LineEvent::KeepaliveMissed { missed, of, error, .. } => {
                format!("{missed} of {of} keepalives missed: {error}")
            }
            LineEvent::Reconnected { server } => format!("with {server}"),
            LineEvent::Lost(count) => format!("{count} events"),
            _ => String::new(),
        };
        let payload = event.to_json();
        self.show(Shown { source: "line", event: event.name(), detail, payload });
    }

    /// What the sandbox inside this process has left of us.
    pub(crate) fn left(&self, devices: usize, sockets: usize, lines: usize) {
        self.show(Shown {
            source: "sandbox",
            event: "left",
            detail: format!("{devices} devices, {sockets} sockets, {lines} lines"),
            payload: payload([
                ("devices", json!(devices)),
                ("sockets", json!(sockets)),
                ("lines", json!(lines)),
            ]),
        });
    }

    fn show(&self, shown: Shown) {
        let elapsed = self.started.elapsed();
        let Shown { source, event, detail, payload } = shown;
        if self.json {
            // Microseconds, as a fraction: a start takes milliseconds.
            #[allow(clippy::cast_precision_loss)] // exact for 285 years
            let t_ms = elapsed.as_micros() as f64 / 1000.0;
            let line = JsonLine { t_ms, source, event, payload };
            self.screen.print(&serde_json::to_string(&line).unwrap_or_default());
        } else {
            let line =
                format!("{:9.3} s  {source:<8}  {event:<21} {detail}", elapsed.as_secs_f64());
            self.screen.print(line.trim_end());
        }
    }
}

fn payload(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
