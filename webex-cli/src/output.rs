//! The output for the user: events with their time, as text or as JSON lines.

use std::{fmt::Write as _, time::Instant};

use serde::Serialize;
use serde_json::{Map, Value, json};
use webex_sdk::{
    CallingEvent, LineEvent, MeetingsEvent,
    core::{LinkEvent, ServerText},
};

use crate::screen::Screen;

#[cfg(test)]
mod tests;

/// Shows events. Times count from the start of the process.
#[derive(Clone)]
pub(crate) struct Output {
    started: Instant,
    json: bool,
    screen: Screen,
}

/// An event as a JSON line.
#[derive(Serialize)]
struct JsonLine {
    t_ms: f64,
    source: &'static str,
    event: &'static str,
    #[serde(flatten)]
    payload: Map<String, Value>,
}

/// An item to show.
struct Shown {
    source: &'static str,
    event: &'static str,
    /// For people.
    detail: String,
    /// For programs.
    payload: Map<String, Value>,
}

impl Output {
    /// Writes to `screen`.
    pub(crate) fn new(started: Instant, json: bool, screen: Screen) -> Self {
        Self { started, json, screen }
    }

    /// When the process started, from which times count.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The screen for text output; `None` for JSON output.
    pub(crate) fn people(&self) -> Option<&Screen> {
        (!self.json).then_some(&self.screen)
    }

    /// Shows a remark, in text output only.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json {
            self.screen.print(text);
        }
    }

    /// Shows a remark; with JSON output on standard error.
    pub(crate) fn notice(&self, text: &str) {
        if self.json { eprintln!("{text}") } else { self.screen.print(text) }
    }

    /// Shows the state of the line, in text output only.
    pub(crate) fn state(&self, text: &str) {
        let detail = text.to_owned();
        self.show(Shown { source: "line", event: "state", detail, payload: Map::new() });
    }

    /// Shows an event of the SDK.
    pub(crate) fn event<E: Event>(&self, event: &E) {
        self.show(Shown {
            source: E::SOURCE,
            event: event.name(),
            detail: event.detail(),
            payload: event.to_json(),
        });
    }

    /// Shows what is left in the sandbox of this process.
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
            self.screen.print(&printable(&serde_json::to_string(&line).unwrap_or_default()));
        } else {
            let line =
                format!("{:9.3} s  {source:<8}  {event:<21} {detail}", elapsed.as_secs_f64());
            self.screen.print(line.trim_end());
        }
    }
}

/// An event of the SDK: name and JSON for JSON output, a few words for text output.
pub(crate) trait Event: Detail {
    /// The object that the event belongs to.
    const SOURCE: &'static str;

    fn name(&self) -> &'static str;
    fn to_json(&self) -> Map<String, Value>;
}

/// The words of an event for text output.
pub(crate) trait Detail {
    fn detail(&self) -> String;
}

/// The SDK's own name and JSON of an event type.
macro_rules! events {
    ($($event:ty: $source:literal;)*) => {
        $(impl Event for $event {
            const SOURCE: &'static str = $source;

            fn name(&self) -> &'static str {
                self.name()
            }

            fn to_json(&self) -> Map<String, Value> {
                self.to_json()
            }
        })*
    };
}

events! {
    MeetingsEvent: "meetings";
    CallingEvent: "calling";
    LineEvent: "line";
    LinkEvent: "link";
}

impl Detail for LinkEvent {
    fn detail(&self) -> String {
        match self {
            Self::Event(event) => {
                let text = format!("{} {}", event.event_type, event.data.get());
                ServerText::new(&text).to_string()
            }
            Self::Failed(error) | Self::Retrying(error) => error.to_string(),
            Self::SequenceGap { expected, actual } => {
                format!("events were lost: number {actual} came in place of {expected}")
            }
            Self::Lost(count) => format!("{count} events"),
            _ => String::new(),
        }
    }
}

impl Detail for MeetingsEvent {
    fn detail(&self) -> String {
        match self {
            Self::Step { step, succeeded: true } => step.name().to_owned(),
            Self::Step { step, .. } => format!("{} failed; not needed for events", step.name()),
            Self::Failed(error) | Self::Retrying(error) => error.to_string(),
            Self::Lost(count) => format!("{count} events"),
            _ => String::new(),
        }
    }
}

impl Detail for CallingEvent {
    fn detail(&self) -> String {
        match self {
            Self::Error(error) => error.to_string(),
            Self::Retrying(error) | Self::Failed(error) => error.to_string(),
            Self::Lost(count) => format!("{count} events"),
            _ => String::new(),
        }
    }
}

impl Detail for LineEvent {
    fn detail(&self) -> String {
        match self {
            Self::Registered(info) => {
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
            Self::Unregistered { reason, .. } => match reason.error() {
                Some(error) => format!("{}: {error}", reason.name()),
                None => reason.name().to_owned(),
            },
            Self::Error(error) => {
                let documented = error.documented();
                format!("{} ({})", documented.msg, documented.kind)
            }
            Self::ServerFailed { server, error } => format!("{server}: {error}"),
            Self::Reconnecting { missed, of, error, .. }
            | Self::KeepaliveMissed { missed, of, error, .. } => {
                format!("{missed} of {of} keepalives missed: {error}")
            }
            Self::Reconnected { server } => format!("with {server}"),
            Self::Lost(count) => format!("{count} events"),
            _ => String::new(),
        }
    }
}

/// The same JSON without a character that could control a terminal: what servers say is in it.
pub(crate) fn printable(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        // Outside of strings JSON is visible ASCII, and spaces.
        if matches!(c, ' '..='~' | '\n')
            || ServerText::new(c.encode_utf8(&mut [0; 4])).as_str().starts_with(c)
        {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

fn payload(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
