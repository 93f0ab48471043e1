//! Failures on their way to C: a status for the caller, a text for the log, and a wall for panics.
//!
//! A failure of a call is kept as the last error of its thread; one of an operation travels in its
//! event.

use std::{
    cell::RefCell,
    ffi::CString,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    time::Duration,
};

use macro_rules_attribute::apply;
use safer_ffi::c_char;
use serde_json::{Map, Value, json};
use webex_sdk::{
    calling::{CallingError, LineError},
    core::{
        BuildError, CatalogError, ErrorKind, HttpError, InvalidOrigin, LinkError, TransportError,
    },
    meetings::MeetingsError,
};

use crate::{macros::export, status::Status};

/// Why something did not work, in the terms of the C ABI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
    pub(crate) tracking_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), tracking_id: None, retry_after: None }
    }

    /// An argument that cannot be used, by its name in the header.
    pub(crate) fn argument(name: &str, problem: &str) -> Self {
        Self::new(Status::InvalidArgument, format!("`{name}` {problem}"))
    }

    /// The object was freed while the call was under way.
    pub(crate) fn freed() -> Self {
        Self::new(Status::Cancelled, "the client was freed")
    }

    /// The panic that [`guard`] met. Its text is not repeated: nobody checked what is in it.
    pub(crate) fn panic() -> Self {
        Self::new(Status::Panic, "the SDK failed inside; this is a bug")
    }

    fn sdk(kind: ErrorKind, error: &dyn std::error::Error, tracking_id: Option<&str>) -> Self {
        let retry_after = match kind {
            ErrorKind::RateLimited { retry_after } => retry_after,
            _ => None,
        };
        Self {
            status: Status::from(kind),
            message: error.to_string(),
            tracking_id: tracking_id.map(str::to_owned),
            retry_after,
        }
    }

    /// What an event says about the failure: `kind` and `message`, and where known `trackingId` and
    /// `retryAfterMs`.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("kind".to_owned(), json!(self.status.name().to_string_lossy()));
        json.insert("message".to_owned(), json!(self.message));
        if let Some(id) = &self.tracking_id {
            json.insert("trackingId".to_owned(), json!(id));
        }
        if let Some(wait) = self.retry_after {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            json.insert("retryAfterMs".to_owned(), json!(millis));
        }
        json
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::sdk(error.kind(), &error, None)
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self::sdk(ErrorKind::Configuration, &error, None)
    }
}

impl From<InvalidOrigin> for Failure {
    fn from(error: InvalidOrigin) -> Self {
        Self::sdk(ErrorKind::Configuration, &error, None)
    }
}

impl From<MeetingsError> for Failure {
    fn from(error: MeetingsError) -> Self {
        let tracking_id = match &error {
            MeetingsError::Catalog(error) => catalog_tracking_id(error),
            MeetingsError::Link(error) => error.tracking_id(),
            _ => None,
        };
        Self::sdk(error.kind(), &error, tracking_id)
    }
}

impl From<CallingError> for Failure {
    fn from(error: CallingError) -> Self {
        let tracking_id = match &error {
            CallingError::Catalog(error) => catalog_tracking_id(error),
            CallingError::Link(error) => LinkError::tracking_id(error),
            CallingError::Discovery(error) => error.tracking_id(),
            _ => None,
        };
        Self::sdk(error.kind(), &error, tracking_id)
    }
}

impl From<&LineError> for Failure {
    fn from(error: &LineError) -> Self {
        let failure = Self::sdk(error.error_kind(), error, error.tracking_id.as_deref());
        Self { retry_after: error.retry_after, ..failure }
    }
}

fn catalog_tracking_id(error: &CatalogError) -> Option<&str> {
    match error {
        CatalogError::Fetch(error) => HttpError::tracking_id(error),
        _ => None,
    }
}

/// The status of the last call on this thread that failed; 0 when none did. A call that succeeds
/// leaves it as it was.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_last_error_status() -> i32 {
    LAST.with_borrow(|last| last.as_ref().map_or(0, |last| last.status as i32))
}

/// What went wrong in the last call on this thread that failed, in English, for a log; NULL when
/// none did. Holds no secret. Lives until the next call on this thread that fails.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_last_error_message() -> *const c_char {
    LAST.with_borrow(|last| last.as_ref().map_or(ptr::null(), |last| last.message.as_ptr().cast()))
}

/// The tracking id to quote to Webex support about the last call on this thread that failed; NULL
/// when the failure has none. Lives until the next call on this thread that fails.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_last_error_tracking_id() -> *const c_char {
    LAST.with_borrow(|last| {
        let id = last.as_ref().and_then(|last| last.tracking_id.as_ref());
        id.map_or(ptr::null(), |id| id.as_ptr().cast())
    })
}

/// The last error of a thread, in the form in which C reads it.
struct LastError {
    status: Status,
    message: CString,
    tracking_id: Option<CString>,
}

thread_local! {
    static LAST: RefCell<Option<LastError>> = const { RefCell::new(None) };
}

/// Runs the body of a fallible function: turns its failure into status and last error, and stops a
/// panic.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> Status {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| Err(Failure::panic()));
    let Err(failure) = outcome else { return Status::Ok };
    let last = LastError {
        status: failure.status,
        message: c_text(failure.message),
        tracking_id: failure.tracking_id.map(c_text),
    };
    let status = last.status;
    LAST.set(Some(last));
    status
}

/// Runs the body of a function that cannot fail, and stops a panic all the same.
pub(crate) fn shield<T: Empty>(body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| T::empty())
}

/// What a function gives when it has nothing to give.
pub(crate) trait Empty {
    fn empty() -> Self;
}

impl Empty for () {
    fn empty() {}
}

impl Empty for i32 {
    fn empty() -> Self {
        Status::Panic as Self
    }
}

impl Empty for *const c_char {
    fn empty() -> Self {
        ptr::null()
    }
}

/// Text for C. What comes from a server may hold anything; NUL is left out.
pub(crate) fn c_text(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    bytes.retain(|byte| *byte != 0);
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn last_message() -> Option<String> {
        // SAFETY: takes no pointer; the text lives until the next failure of this thread.
        unsafe {
            let message = webex_last_error_message();
            (!message.is_null())
                .then(|| CStr::from_ptr(message.cast()).to_str().unwrap().to_owned())
        }
    }

    #[test]
    fn a_panic_becomes_a_status_and_its_text_stays_inside() {
        assert_eq!(guard(|| panic!("with a secret")), Status::Panic);
        assert!(!last_message().unwrap().contains("secret"));
        assert!(shield::<*const c_char>(|| panic!("again")).is_null());
    }

    #[test]
    fn a_failure_is_remembered_by_its_thread_alone() {
        let failure = || Failure { tracking_id: Some("t_1".to_owned()), ..Failure::freed() };
        assert_eq!(guard(|| Err(failure())), Status::Cancelled);
        assert_eq!(guard(|| Ok(())), Status::Ok);
        assert_eq!(last_message().as_deref(), Some("the client was freed"));
        // SAFETY: take no pointer; the text lives until the next failure of this thread.
        unsafe {
            assert_eq!(webex_last_error_status(), Status::Cancelled as i32);
            assert_eq!(CStr::from_ptr(webex_last_error_tracking_id().cast()), c"t_1");
        }
        std::thread::spawn(|| assert_eq!(last_message(), None)).join().unwrap();
    }

    #[test]
    fn text_with_a_nul_reaches_c_whole() {
        assert_eq!(c_text("a\0b"), c"ab".to_owned());
    }

    #[test]
    fn json_names_what_is_known() {
        let plain = Value::from(Failure::freed().to_json());
        assert_eq!(plain, json!({"kind": "cancelled", "message": "the client was freed"}));
        let full = Failure {
            tracking_id: Some("t".to_owned()),
            retry_after: Some(Duration::from_secs(2)),
            ..Failure::new(Status::RateLimited, "m")
        };
        assert_eq!(
            Value::from(full.to_json()),
            json!({"kind": "rate_limited", "message": "m", "trackingId": "t", "retryAfterMs": 2000})
        );
    }
}
