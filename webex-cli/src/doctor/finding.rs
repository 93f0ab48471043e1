//! What one check found.

use std::fmt;

use webex_sdk::{
    LineError,
    calling::CallingError,
    core::{CatalogError, ErrorKind, HttpError, LinkError},
};

use super::id::Id;
use crate::exit::{self, Failure};

/// How a check ended. The worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It could not be judged.
    Skipped,
    Ok,
    /// It works, and something about it is worth a look.
    Warning,
    Failed,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Skipped => "not checked",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What one check found. Its texts are redacted before anybody sees them.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) detail: String,
    /// What to do.
    pub(super) advice: Option<String>,
    /// The kind of failure, and its exit code.
    pub(super) kind: Option<ErrorKind>,
    pub(super) code: u8,
    /// Whether what needs this check cannot be judged.
    pub(super) blocks: bool,
    /// The failed check because of which this one was not done.
    pub(super) because: Option<Id>,
    /// What Webex support asks for.
    pub(super) tracking_id: Option<String>,
}

impl Finding {
    fn new(verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            verdict,
            detail: detail.into(),
            advice: None,
            kind: None,
            code: 0,
            blocks: verdict == Verdict::Failed,
            because: None,
            tracking_id: None,
        }
    }

    pub(super) fn ok(detail: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, detail)
    }

    pub(super) fn warning(detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Verdict::Warning, detail).advised(advice)
    }

    /// A failure; what to do comes with its kind.
    pub(super) fn failed(kind: ErrorKind, detail: &dyn fmt::Display) -> Self {
        let (code, advice) = exit::of(kind);
        let finding =
            Self { kind: Some(kind), code, ..Self::new(Verdict::Failed, detail.to_string()) };
        finding.advised(advice)
    }

    /// Not checked, because of a check that failed.
    pub(super) fn skipped(because: Id) -> Self {
        let detail = format!("because of {}", because.name());
        Self { because: Some(because), ..Self::new(Verdict::Skipped, detail) }
    }

    /// Not checked, for another reason.
    pub(super) fn not_done(why: impl Into<String>) -> Self {
        Self::new(Verdict::Skipped, why)
    }

    /// What to do, in place of what the kind says.
    pub(super) fn advised(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// Lets what needs this check be judged all the same.
    pub(super) fn going_on(self) -> Self {
        Self { blocks: false, ..self }
    }

    /// Keeps what needs this check from being judged.
    pub(super) fn blocking(self) -> Self {
        Self { blocks: true, ..self }
    }

    fn tracked(self, tracking_id: Option<&str>) -> Self {
        Self { tracking_id: tracking_id.map(str::to_owned), ..self }
    }
}

/// Why there is no token.
impl From<&Failure> for Finding {
    fn from(failure: &Failure) -> Self {
        let finding =
            Self { code: failure.code(), ..Self::new(Verdict::Failed, failure.to_string()) };
        finding.advised(match failure.code() {
            4 => "check the way to the authorization server, and try again",
            6 => "check the client id and secret that the sign-in was made with",
            _ => "pass a token with --token-file or $WEBEX_ACCESS_TOKEN, or run `webex login`",
        })
    }
}

impl From<&HttpError> for Finding {
    fn from(error: &HttpError) -> Self {
        Self::failed(error.kind(), error).tracked(error.tracking_id())
    }
}

impl From<&CatalogError> for Finding {
    fn from(error: &CatalogError) -> Self {
        match error {
            CatalogError::Fetch(error) => error.into(),
            _ => Self::failed(error.kind(), error),
        }
    }
}

impl From<&LinkError> for Finding {
    fn from(error: &LinkError) -> Self {
        Self::failed(error.kind(), error).tracked(error.tracking_id())
    }
}

impl From<&CallingError> for Finding {
    fn from(error: &CallingError) -> Self {
        match error {
            CallingError::Discovery(error) | CallingError::Devices(error) => error.into(),
            _ => Self::failed(error.kind(), error),
        }
    }
}

impl From<&LineError> for Finding {
    fn from(error: &LineError) -> Self {
        let source = error.source.as_ref();
        let detail =
            source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        Self::failed(error.error_kind(), &detail).tracked(error.tracking_id.as_deref())
    }
}
