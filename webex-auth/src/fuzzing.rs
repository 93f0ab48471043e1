//! The fuzz targets of `fuzz/`. The tests below run them on the committed corpus.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use secrecy::ExposeSecret;
use url::Url;

pub use crate::loopback::loopback_request;
use crate::{
    http::{BoxFuture, TokenHttp, TokenReply, TokenRequest, TokenTransportError},
    meetings_xml::MeetingsIntegration,
    oauth::{authorize::CodeGrant, error::OAuthError, integration::Integration},
    retry_after, timings,
    token_set::TokenSet,
};

/// A target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub const TARGETS: &[Target] = &[
    ("loopback_request", loopback_request),
    ("retry_after", retry_after_header),
    ("store_record", store_record),
    ("token_answer", token_answer),
    ("xml_answer", xml_answer),
];

/// Answers with these bytes: two for the status, then the body.
struct Answers<'a>(&'a [u8]);

impl TokenHttp for Answers<'_> {
    fn send<'a>(
        &'a self,
        _: &'a TokenRequest,
    ) -> BoxFuture<'a, Result<TokenReply, TokenTransportError>> {
        let (status, body) = match self.0 {
            [status, body @ ..] => (*status, body),
            [] => (0, &[][..]),
        };
        let status =
            [200, 200, 200, 200, 400, 400, 401, 403, 428, 429, 500, 503, 511, 404, 302, 204]
                [usize::from(status % 16)];
        let reply = TokenReply::new(status, String::from_utf8_lossy(body).into_owned());
        Box::pin(std::future::ready(Ok(reply)))
    }
}

/// The result of a future that never waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing here waits"),
    }
}

fn grant() -> CodeGrant {
    CodeGrant::new("a-code", "https://app.example/cb").verifier("a-verifier")
}

fn endpoint() -> Url {
    Url::parse("https://webexapis.com/v1/access_token").expect("a URL")
}

/// Checks an error: no raw server text may reach a terminal.
fn check_error(error: &OAuthError) {
    let shown = error.to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    let _ = (error.is_transient(), error.is_configuration(), error.retry_after());
}

/// An answer of the token endpoint.
pub fn token_answer(data: &[u8]) {
    let integration = Integration::builder("app")
        .secret("a-secret")
        .redirect_uri("https://app.example/cb")
        .build();
    match now(integration.exchange(&Answers(data), grant())) {
        Ok(set) => check_record(&set),
        Err(error) => check_error(&error),
    }
}

/// An answer of the Meetings (XML API) token endpoint.
pub fn xml_answer(data: &[u8]) {
    let integration = MeetingsIntegration::builder("app")
        .secret("a-secret")
        .redirect_uri("https://app.example/cb")
        .endpoints(endpoint(), endpoint())
        .build();
    match now(integration.exchange(&Answers(data), grant())) {
        Ok(tokens) => {
            assert!(tokens.tokens().expires().is_some(), "the documented life is the least");
            let _ = (tokens.site_name(), tokens.site_id(), tokens.user_id(), tokens.email());
            check_record(tokens.tokens());
        }
        Err(error) => check_error(&error),
    }
}

/// A stored record.
pub fn store_record(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(set) = TokenSet::from_json(&text) {
        check_record(&set);
    }
}

/// Checks that the tokens survive writing and reading.
fn check_record(set: &TokenSet) {
    let json = set.to_json();
    let again = TokenSet::from_json(json.expose_secret()).expect("its own record");
    assert_eq!(again.to_json().expose_secret(), json.expose_secret());
    let _ = format!("{set:?}");
}

/// `Retry-After`, and the `Date` beside it in a second line.
pub fn retry_after_header(data: &[u8]) {
    let lines = String::from_utf8_lossy(data);
    let (value, answered) = match lines.split_once('\n') {
        Some((first, second)) => (first, Some(second)),
        None => (&*lines, None),
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    if let Some(wait) = retry_after::parse(value, answered, now) {
        assert!(wait <= timings::RETRY_AFTER_MAX, "{wait:?}");
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
