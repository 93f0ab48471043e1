//! The record of a run, in order: steps, events, and the requests that the SDK logs.
//!
//! The requests come from the SDK's own log: a layer of the subscriber receives every line at debug
//! level. A report therefore shows what was sent, not what this program believes was sent.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, filter::Targets, layer::Context, registry::LookupSpan};

/// The log target of the SDK's HTTP client.
const HTTP: &str = "webex_core::http";

/// Fields that are copied from other log lines. Not those of events, which hold what people write.
const FIELDS: [&str; 9] =
    ["action", "backup", "code", "error", "host", "primary", "reason", "server", "status"];

/// An entry of the record. Times are milliseconds since the start of the scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Entry {
    /// Something that this program did.
    Step { t_ms: u64, step: String, took_ms: u64, failure: Option<String> },
    /// An event of the SDK.
    Event { t_ms: u64, source: String, event: String, detail: Map<String, Value> },
    /// A request and its answer.
    Request {
        t_ms: u64,
        method: String,
        host: String,
        path: String,
        /// `None` when there was no answer.
        status: Option<u64>,
        elapsed_ms: Option<u64>,
        tracking_id: Option<String>,
        /// Why there was no answer.
        reason: Option<String>,
    },
    /// Anything else the SDK logged.
    Log { t_ms: u64, target: String, message: String, fields: Map<String, Value> },
}

impl Entry {
    /// Whether this is an answered request.
    pub(super) fn is_answer(&self, wanted: &str, ending: &str) -> bool {
        matches!(self, Self::Request { method, path, status: Some(200..300), .. }
            if method == wanted && path.ends_with(ending))
    }
}

/// Records what happens. Clones write to the same record.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Inner>);

struct Inner {
    record: Mutex<Record>,
    /// Changes with every entry.
    version: watch::Sender<u64>,
}

struct Record {
    began: Instant,
    entries: Vec<Entry>,
}

impl Default for Recorder {
    fn default() -> Self {
        let record = Record { began: Instant::now(), entries: Vec::new() };
        Self(Arc::new(Inner { record: Mutex::new(record), version: watch::Sender::new(0) }))
    }
}

impl Recorder {
    /// Returns a layer that records the SDK's log.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let filter = Targets::new()
            .with_target("webex_core", tracing::Level::DEBUG)
            .with_target("webex_calling", tracing::Level::DEBUG);
        RecorderLayer(self.clone()).with_filter(filter)
    }

    /// Begins a scenario: returns the entries recorded before it and sets the time to zero.
    pub(super) fn begin(&self) -> Vec<Entry> {
        let mut record = self.0.record.lock();
        record.began = Instant::now();
        std::mem::take(&mut record.entries)
    }

    /// Records an event of the SDK.
    pub(super) fn event(&self, source: &str, event: &str, detail: Map<String, Value>) {
        let (source, event) = (source.to_owned(), event.to_owned());
        self.add(|t_ms| Entry::Event { t_ms, source, event, detail });
    }

    /// Records a step that began at `since`.
    pub(super) fn step(&self, step: &str, since: Instant, failure: Option<String>) {
        let (step, took_ms) = (step.to_owned(), since.elapsed().as_millis() as u64);
        self.add(|t_ms| Entry::Step { t_ms, step, took_ms, failure });
    }

    /// Waits until the scenario's record satisfies a condition.
    pub(super) async fn until(&self, condition: impl Fn(&[Entry]) -> bool) {
        let mut version = self.0.version.subscribe();
        // The sender lives as long as this recorder.
        let _ = version.wait_for(|_| condition(&self.0.record.lock().entries)).await;
    }

    fn add(&self, entry: impl FnOnce(u64) -> Entry) {
        {
            let mut record = self.0.record.lock();
            let t_ms = record.began.elapsed().as_millis() as u64;
            record.entries.push(entry(t_ms));
        }
        self.0.version.send_modify(|version| *version += 1);
    }
}

/// The layer of [`Recorder::layer`].
struct RecorderLayer(Recorder);

impl<S: Subscriber> Layer<S> for RecorderLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields(mut fields) = fields;
        let mut text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            Some(other) => Some(other.to_string()),
            None => None,
        };
        let message = text("message").unwrap_or_default();
        let target = event.metadata().target();
        if target.starts_with(HTTP) && matches!(message.as_str(), "request" | "no answer") {
            let [method, host, path] =
                ["method", "host", "path"].map(|name| text(name).unwrap_or_default());
            let (tracking_id, reason) = (text("tracking_id"), text("reason"));
            let number = |name: &str| fields.get(name).and_then(Value::as_u64);
            let (status, elapsed_ms) = (number("status"), number("elapsed_ms"));
            self.0.add(|t_ms| Entry::Request {
                t_ms,
                method,
                host,
                path,
                status,
                elapsed_ms,
                tracking_id,
                reason,
            });
        } else {
            let target = target.to_owned();
            fields.retain(|name, _| FIELDS.contains(&name.as_str()));
            self.0.add(|t_ms| Entry::Log { t_ms, target, message, fields });
        }
    }
}

/// The fields of a log line.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

/// Milliseconds in readable form.
pub(super) fn seconds(ms: u64) -> String {
    format!("{:.3} s", Duration::from_millis(ms).as_secs_f64())
}
