//! The request log: requests in order of arrival, and their answers.
//!
//! Entries live in a ring and are shared, so that a query copies pointers. The status is filled in
//! when the answer is ready; the entry is then written to the log file.

use std::{
    collections::VecDeque,
    fmt,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use tracing::warn;

use crate::operation::{Operation, Target};

const PENDING: u16 = 0;
const UNANSWERED: u16 = 1;

/// What is known when a request arrives. Secrets are redacted before they get here.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Duration,
    pub(crate) method: String,
    pub(crate) version: &'static str,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) operation: Operation,
    pub(crate) instance: Option<String>,
    pub(crate) user_id: Option<String>,
    pub(crate) connection: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    time: Timestamp,
    arrival: Arrival,
    status: AtomicU16,
}

/// A request the sandbox received. Cheap to clone.
#[derive(Clone)]
pub struct Request(Arc<Entry>);

impl Request {
    /// Position in the order of arrival, from 1.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Time since the start of the sandbox, by tokio's clock.
    pub fn at(&self) -> Duration {
        self.0.arrival.at
    }

    /// HTTP method.
    pub fn method(&self) -> &str {
        &self.0.arrival.method
    }

    /// `HTTP/1.1` or `HTTP/2.0`.
    pub fn version(&self) -> &str {
        self.0.arrival.version
    }

    /// Authority the client asked for: host and, unless it is the default one, port.
    pub fn host(&self) -> &str {
        &self.0.arrival.host
    }

    /// Path as sent.
    pub fn path(&self) -> &str {
        &self.0.arrival.path
    }

    /// Query without `?`, secrets redacted.
    pub fn query(&self) -> &str {
        &self.0.arrival.query
    }

    /// Value of a query parameter, decoded.
    pub fn query_value(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query().as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Value of a header (name in any case), secrets redacted.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, secrets redacted.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.arrival.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Body as text, secrets redacted.
    pub fn body(&self) -> &str {
        &self.0.arrival.body
    }

    /// Body as JSON, secrets redacted; `Null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.body()).unwrap_or_default()
    }

    /// The operation that was requested.
    pub fn operation(&self) -> Operation {
        self.0.arrival.operation
    }

    /// The Mobius instance it was sent to.
    pub fn instance(&self) -> Option<&str> {
        self.0.arrival.instance.as_deref()
    }

    /// Id of the user whose live token it carried.
    pub fn user_id(&self) -> Option<&str> {
        self.0.arrival.user_id.as_deref()
    }

    /// The `trackingid` header.
    pub fn tracking_id(&self) -> Option<&str> {
        self.header("trackingid")
    }

    /// Number of the connection it came on, from 1.
    pub fn connection(&self) -> u64 {
        self.0.arrival.connection
    }

    /// Status of the answer; `None` while it is pending and when there was no answer.
    pub fn status(&self) -> Option<u16> {
        Some(self.0.status.load(Ordering::Acquire)).filter(|status| *status > UNANSWERED)
    }

    /// Whether the sandbox is still working on it.
    pub fn is_pending(&self) -> bool {
        self.0.status.load(Ordering::Acquire) == PENDING
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} {}", self.number(), self.method(), self.path())?;
        if let Some(status) = self.status() {
            write!(f, " -> {status}")?;
        }
        Ok(())
    }
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let arrival = &self.0.arrival;
        let mut out = serializer.serialize_struct("Request", 18)?;
        out.serialize_field("number", &self.number())?;
        out.serialize_field("time", &self.0.time.to_string())?;
        out.serialize_field("at_ms", &(arrival.at.as_secs_f64() * 1000.0))?;
        out.serialize_field("service", &arrival.operation.service())?;
        out.serialize_field("operation", arrival.operation.name())?;
        out.serialize_field("instance", &arrival.instance)?;
        out.serialize_field("user_id", &arrival.user_id)?;
        out.serialize_field("method", &arrival.method)?;
        out.serialize_field("version", arrival.version)?;
        out.serialize_field("host", &arrival.host)?;
        out.serialize_field("path", &arrival.path)?;
        out.serialize_field("query", &arrival.query)?;
        let headers: serde_json::Map<_, _> = arrival
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        out.serialize_field("headers", &headers)?;
        out.serialize_field("body", &arrival.body)?;
        out.serialize_field("tracking_id", &self.tracking_id())?;
        out.serialize_field("connection", &arrival.connection)?;
        out.serialize_field("status", &self.status())?;
        out.serialize_field("pending", &self.is_pending())?;
        out.end()
    }
}

/// A selection of the request log, oldest first.
///
/// Made by [`Sandbox::requests`](crate::Sandbox::requests); each method narrows it.
#[derive(Debug, Clone)]
#[must_use]
pub struct Requests(Vec<Request>);

impl Requests {
    /// Those for a service or an operation.
    pub fn of(self, target: impl Into<Target>) -> Self {
        let target = target.into();
        self.matching(|request| target.covers(request.operation()))
    }

    /// Those sent to a Mobius instance.
    pub fn on(self, instance: &str) -> Self {
        self.matching(|request| request.instance() == Some(instance))
    }

    /// Those that carried a live token of a user.
    pub fn by(self, user: impl AsRef<str>) -> Self {
        self.matching(|request| request.user_id() == Some(user.as_ref()))
    }

    /// Those answered with a status.
    pub fn answered(self, status: u16) -> Self {
        self.matching(|request| request.status() == Some(status))
    }

    /// Those that `keep` accepts.
    pub fn matching(mut self, keep: impl FnMut(&Request) -> bool) -> Self {
        self.0.retain(keep);
        self
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The oldest.
    pub fn first(&self) -> Option<&Request> {
        self.0.first()
    }

    /// The newest.
    pub fn last(&self) -> Option<&Request> {
        self.0.last()
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Request> {
        self.0.iter()
    }
}

impl IntoIterator for Requests {
    type Item = Request;
    type IntoIter = std::vec::IntoIter<Request>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Requests {
    type Item = &'a Request;
    type IntoIter = std::slice::Iter<'a, Request>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The ring and the log file.
pub(crate) struct Log {
    ring: Mutex<Ring>,
    file: Option<Mutex<BufWriter<File>>>,
}

struct Ring {
    entries: VecDeque<Request>,
    capacity: usize,
    total: u64,
}

impl Log {
    pub(crate) fn new(capacity: usize, file: Option<&Path>) -> io::Result<Self> {
        let file = file
            .map(|path| OpenOptions::new().create(true).append(true).open(path))
            .transpose()?
            .map(|file| Mutex::new(BufWriter::new(file)));
        let ring = Ring { entries: VecDeque::new(), capacity, total: 0 };
        Ok(Self { ring: Mutex::new(ring), file })
    }

    /// Records an arrival.
    pub(crate) fn arrived(&self, arrival: Arrival) -> Request {
        let mut ring = self.ring.lock();
        ring.total += 1;
        let request = Request(Arc::new(Entry {
            number: ring.total,
            time: Timestamp::now(),
            arrival,
            status: AtomicU16::new(PENDING),
        }));
        if ring.entries.len() == ring.capacity {
            ring.entries.pop_front();
        }
        ring.entries.push_back(request.clone());
        request
    }

    /// Records the answer; `None` when the connection was closed instead.
    pub(crate) fn answered(&self, request: &Request, status: Option<u16>) {
        request.0.status.store(status.unwrap_or(UNANSWERED), Ordering::Release);
        if let Some(file) = &self.file {
            let Ok(mut line) = serde_json::to_vec(request) else { return };
            line.push(b'\n');
            let mut file = file.lock();
            // Flushed per line, so that a reader of the file always sees whole lines.
            if let Err(error) = file.write_all(&line).and_then(|()| file.flush()) {
                warn!(%error, "cannot write the request log");
            }
        }
    }

    /// Returns a request that is still in the ring.
    pub(crate) fn get(&self, number: u64) -> Option<Request> {
        let ring = self.ring.lock();
        let at = ring.entries.binary_search_by_key(&number, Request::number).ok()?;
        ring.entries.get(at).cloned()
    }

    pub(crate) fn all(&self) -> Requests {
        Requests(self.ring.lock().entries.iter().cloned().collect())
    }

    /// Number of requests ever received.
    pub(crate) fn total(&self) -> u64 {
        self.ring.lock().total
    }

    pub(crate) fn clear(&self) {
        self.ring.lock().entries.clear();
    }
}
