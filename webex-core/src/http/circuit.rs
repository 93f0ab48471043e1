//! The pause after a 429 of an identity service.
//!
//! Everything depends on sign-in, and its servers answer too many requests by refusing more
//! requests for longer. After a 429 nothing is sent to the same API of that host until the time
//! that it asked for is over; callers get an error with the remaining time at once. (The reference
//! client intends to do this, but reads the wrong headers and no longer knows its hosts.)

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use url::Url;
use webex_auth::timer::now;

use super::timings::{IDENTITY_PAUSE, IDENTITY_PAUSE_MAX};
use crate::error::HttpError;

/// Limit of remembered APIs; there are a handful.
const MOST: usize = 64;

/// Host and first path segment.
type Api = (String, String);

/// The paused APIs, and until when they are paused.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<HashMap<Api, Instant>>);

impl Circuit {
    /// Whether a request may be sent.
    pub(super) fn check(&self, url: &Url) -> Result<(), HttpError> {
        if !is_identity(url) {
            return Ok(());
        }
        let mut paused = self.0.lock();
        paused.retain(|_, until| *until > now());
        match paused.get(&api(url)) {
            Some(until) => Err(HttpError::Paused {
                host: url.host_str().unwrap_or_default().to_owned(),
                retry_after: until.saturating_duration_since(now()),
            }),
            None => Ok(()),
        }
    }

    /// Records a 429. Does nothing for services other than identity.
    pub(super) fn open(&self, url: &Url, retry_after: Option<Duration>) {
        if !is_identity(url) {
            return;
        }
        let pause = retry_after.filter(|pause| !pause.is_zero()).unwrap_or(IDENTITY_PAUSE);
        let mut paused = self.0.lock();
        if paused.len() < MOST {
            paused.insert(api(url), now() + pause.min(IDENTITY_PAUSE_MAX));
        }
    }
}

/// Whether the host belongs to Common Identity: `idbroker.webex.com`, `idbrokerbts.webex.com`,
/// `identity.webex.com` and the like.
pub(super) fn is_identity(url: &Url) -> bool {
    let name = url.domain().and_then(|domain| domain.split('.').next()).unwrap_or_default();
    name.starts_with("idbroker") || name.starts_with("identity")
}

fn api(url: &Url) -> Api {
    let first = url.path_segments().and_then(|mut path| path.next()).unwrap_or_default();
    (url.host_str().unwrap_or_default().to_owned(), first.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_is_paused_for_as_long_as_it_asked() {
        let circuit = Circuit::default();
        let token = url("https://idbroker.webex.com/idb/oauth2/v1/access_token");
        for (asked, pause) in [(Some(5), 5), (None, 60), (Some(0), 60), (Some(4_000), 3_600)] {
            circuit.open(&token, asked.map(Duration::from_secs));
            advance(Duration::from_secs(pause - 1)).await;
            let refused = circuit.check(&token).unwrap_err();
            assert!(
                matches!(refused, HttpError::Paused { retry_after, .. } if retry_after.as_secs() == 1),
                "{refused:?}"
            );
            advance(Duration::from_secs(1)).await;
            assert!(circuit.check(&token).is_ok(), "{asked:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn other_apis_and_other_services_go_on() {
        let circuit = Circuit::default();
        circuit.open(&url("https://idbrokerbts.webex.com/idb/x"), None);
        circuit.open(&url("https://u2c.wbx2.com/u2c/x"), None);
        assert!(circuit.check(&url("https://idbrokerbts.webex.com/idb/y")).is_err());
        for good in [
            "https://idbrokerbts.webex.com/scim/x",
            "https://idbroker.webex.com/idb/x",
            "https://u2c.wbx2.com/u2c/x",
        ] {
            assert!(circuit.check(&url(good)).is_ok(), "{good}");
        }
    }
}
