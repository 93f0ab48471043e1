//! Tracking ids, by which a request can be found in Cisco's logs.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;
use uuid::Uuid;

/// Prefix of our tracking ids; the reference client's is `webex-js-sdk`.
const PREFIX: &str = "webex-native";

/// Makes `{prefix}_{uuid}_{n}`: the uuid is random per client, `n` counts its requests from 1.
#[derive(Debug)]
pub struct TrackingIds {
    session: String,
    count: AtomicU64,
}

impl TrackingIds {
    pub(crate) fn new() -> Self {
        Self { session: format!("{PREFIX}_{}", Uuid::new_v4()), count: AtomicU64::new(0) }
    }

    /// The part that all ids of this client have in common.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The id of the next request.
    pub(crate) fn next(&self) -> HeaderValue {
        let n = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        HeaderValue::try_from(format!("{}_{n}", self.session)).expect("made of visible ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_within_a_session() {
        let ids = TrackingIds::new();
        let first = ids.next();
        let first = first.to_str().unwrap();
        assert_eq!(first, format!("{}_1", ids.session()));
        assert_eq!(first.split('_').count(), 3);
        assert!(ids.next().to_str().unwrap().ends_with("_2"));
        assert_ne!(TrackingIds::new().session(), ids.session());
    }
}
