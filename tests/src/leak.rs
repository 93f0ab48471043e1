//! A check that no secret is ever logged.
//!
//! [`LeakCheck::install`] installs a tracing subscriber that receives the log of every crate of the
//! process at trace level and searches each span and event for registered secrets. A hit panics
//! where it was logged. Because such a panic may end in a background task that nobody joins, it is
//! also recorded: [`LeakCheck::assert_clean`] (and dropping the check) panics in the test.
//!
//! ```
//! use tracing::info;
//! use webex_tests::leak::LeakCheck;
//!
//! let leaks = LeakCheck::install(["hunter2-hunter2"]);
//! info!(user = "ada", "signed in");
//! leaks.add("a-token-that-came-later");
//! leaks.assert_absent("the error", "no such user");
//! leaks.assert_clean();
//! ```

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use parking_lot::{Mutex, RwLock};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer, Registry,
    filter::LevelFilter,
    layer::{Context, SubscriberExt as _},
};

/// Shorter texts would be found in ordinary words.
const SHORTEST: usize = 6;

static SECRETS: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());
static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static SEEN: AtomicUsize = AtomicUsize::new(0);

/// A test's handle of the process-wide leak check.
///
/// All handles share one set of secrets: tests of one process run in parallel, and none may log a
/// secret of another.
#[derive(Debug)]
#[must_use = "dropping the check is what reports a leak of a background task"]
pub struct LeakCheck(());

impl LeakCheck {
    /// Starts checking (once per process) and registers `secrets`.
    ///
    /// # Panics
    /// When the process already has a tracing subscriber of its own: nothing could be checked.
    pub fn install<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let layer = LeakLayer.with_filter(LevelFilter::TRACE);
            tracing::subscriber::set_global_default(Registry::default().with(layer))
                .expect("the leak check needs to be the process's only subscriber");
            // Libraries that use `log` are checked as well.
            tracing_log::LogTracer::init().expect("the process has no other logger");
        });
        let check = Self(());
        for secret in secrets {
            check.add(secret);
        }
        check
    }

    /// Registers one more secret; it is searched for as it is, escaped as by `Debug`,
    /// percent-encoded as in a form, and in base64.
    ///
    /// # Panics
    /// When `secret` is shorter than six bytes: it would be found everywhere.
    pub fn add(&self, secret: impl AsRef<str>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= SHORTEST, "a secret of {} bytes is too short", secret.len());
        let mut secrets = SECRETS.write();
        if secrets.contains(secret) {
            return;
        }
        secrets.insert(secret.escape_debug().to_string());
        secrets.insert(form_encoded(secret));
        secrets.insert(base64(secret));
        secrets.insert(secret.to_owned());
    }

    /// Searches for secrets in any text: a `Debug` form, an error with its sources, a request log.
    ///
    /// # Panics
    /// When `text` holds a registered secret.
    pub fn assert_absent(&self, what: &str, text: impl fmt::Display) {
        if let Some(clean) = redacted(&text.to_string()) {
            panic!("{what} holds a secret: {clean}");
        }
    }

    /// Number of spans and events checked so far, as proof that the check works.
    pub fn seen(&self) -> usize {
        SEEN.load(Ordering::Relaxed)
    }

    /// Reports leaks that happened so far in any thread of the process.
    ///
    /// # Panics
    /// When there was one.
    pub fn assert_clean(&self) {
        let leaks = LEAKS.lock();
        assert!(leaks.is_empty(), "secrets were logged:\n{}", leaks.join("\n"));
    }
}

impl Drop for LeakCheck {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_clean();
        }
    }
}

struct LeakLayer;

impl<S: Subscriber> Layer<S> for LeakLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        inspect(attributes.metadata(), |text| attributes.record(text));
    }

    fn on_record(&self, _: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        values.record(&mut text);
        report("a span", &text.0);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        inspect(event.metadata(), |text| event.record(text));
    }
}

fn inspect(metadata: &Metadata<'_>, record: impl FnOnce(&mut Text)) {
    let mut text = Text::default();
    record(&mut text);
    report(metadata.target(), &text.0);
}

fn report(target: &str, text: &str) {
    SEEN.fetch_add(1, Ordering::Relaxed);
    if let Some(clean) = redacted(text) {
        let leak = format!("{target}: {clean}");
        LEAKS.lock().push(leak.clone());
        panic!("a secret was logged by {leak}");
    }
}

/// Removes the secrets from `text`; `None` when there are none. The report itself must not leak.
fn redacted(text: &str) -> Option<String> {
    let secrets = SECRETS.read();
    let mut found = secrets.iter().filter(|secret| text.contains(secret.as_str())).peekable();
    found.peek()?;
    Some(found.fold(text.to_owned(), |text, secret| text.replace(secret, "<SECRET>")))
}

/// Base64 of a text, without padding: as it begins in whatever was encoded with it in front.
pub fn base64(text: &str) -> String {
    STANDARD_NO_PAD.encode(text)
}

/// `application/x-www-form-urlencoded` of one value.
fn form_encoded(value: &str) -> String {
    let mut encoded = String::new();
    for byte in value.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'*' | b'-' | b'.' | b'_' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").expect("a String takes everything"),
        }
    }
    encoded
}

/// All fields of a span or event as one text.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use tracing::{error, info, trace};

    use super::*;

    /// A single test, since the record of leaks is shared by the process.
    #[test]
    fn finds_secrets_in_every_form_and_remembers() {
        let leaks = LeakCheck::install(["s3cret/value"]);
        leaks.add("quote\"inside");
        let before = leaks.seen();
        info!(fine = "nothing to see");
        assert_eq!(leaks.seen(), before + 1);
        leaks.assert_clean();

        let panics = |act: &dyn Fn()| catch_unwind(AssertUnwindSafe(act)).is_err();
        assert!(panics(&|| trace!(body = "code=s3cret%2Fvalue")));
        assert!(panics(&|| trace!(body = ?"a s3cret/value here")));
        assert!(panics(&|| error!("as message: {:?}", "quote\"inside")));
        assert!(panics(&|| drop(tracing::trace_span!("span", x = "s3cret/value"))));
        assert!(panics(&|| {
            let span = tracing::trace_span!("span", late = tracing::field::Empty);
            span.record("late", "s3cret/value");
        }));
        assert!(panics(&|| leaks.assert_absent("text", "s3cret/value")));
        assert!(panics(&|| leaks.assert_clean()));
        assert!(panics(&|| leaks.add("short")));

        let mut remembered = LEAKS.lock();
        assert_eq!(remembered.len(), 5);
        assert!(remembered.iter().all(|leak| !leak.contains("s3cret")));
        remembered.clear();
    }
}
