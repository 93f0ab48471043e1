//! The hosts of the catalog and which of them have failed lately. The HTTP client asks before a
//! request and reports after it.
//!
//! A URL that a service handed out stays on its host while that host works, so that what belongs to
//! one server (a device, a line) is not spread over several. When the host has failed, or the
//! catalog lists the URL elsewhere, [the one rule](super) decides where it goes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use once_cell::sync::OnceCell;
use parking_lot::{Mutex, RwLock};
use tracing::info;
use url::Url;
use webex_auth::timer::now;

use super::{
    address::authority,
    error::CatalogError,
    model::Catalog,
    timings::{FAILED_FOR, HOST_TIMEOUT},
};
use crate::{error::HttpError, http::HostPolicy};

/// After this many host failures since it was fetched, the catalog may be out of date.
pub(super) const FAILURES: u32 = 3;

/// The hosts of one client.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    catalog: RwLock<Option<Arc<Catalog>>>,
    /// Failed authorities, and until when they are avoided.
    failed: Mutex<Vec<(Box<str>, Instant)>>,
    failures: AtomicU32,
    /// Called when hosts keep failing.
    failing: OnceCell<Failing>,
}

/// Callback for hosts that keep failing.
struct Failing(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

impl Hosts {
    /// Uses the hosts of this catalog from now on.
    pub(crate) fn set_catalog(&self, catalog: Arc<Catalog>) {
        *self.catalog.write() = Some(catalog);
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Sets the callback for when so many hosts have failed that the catalog may be out of date. It
    /// can be set once.
    pub(super) fn when_failing(&self, call: impl Fn() + Send + Sync + 'static) {
        let _ = self.failing.set(Failing(Box::new(call)));
    }

    /// The URL of a service on its best host.
    pub(super) fn service_url(
        &self,
        catalog: &Catalog,
        service: &str,
    ) -> Result<Url, CatalogError> {
        let candidates: Vec<_> = catalog.candidates(service).collect();
        self.best(&candidates).ok_or_else(|| CatalogError::NoService(service.to_owned()))
    }

    fn has_others(&self, url: &Url) -> bool {
        self.alternatives(url).len() > 1
    }

    fn alternatives(&self, url: &Url) -> Vec<Url> {
        self.catalog.read().as_ref().map_or_else(Vec::new, |catalog| catalog.alternatives(url))
    }

    /// Returns the first that has not failed. When all have failed, all count as good again.
    fn best(&self, candidates: &[Url]) -> Option<Url> {
        let works = |url: &&Url| !self.is_failed(&authority(url));
        if let Some(url) = candidates.iter().find(works) {
            return Some(url.clone());
        }
        let all: Vec<_> = candidates.iter().map(authority).collect();
        self.failed.lock().retain(|(host, _)| !all.iter().any(|it| **it == **host));
        candidates.first().cloned()
    }

    fn is_failed(&self, host: &str) -> bool {
        let failed = self.failed.lock();
        !failed.is_empty() && {
            let now = now();
            failed.iter().any(|(other, until)| **other == *host && *until > now)
        }
    }
}

impl HostPolicy for Hosts {
    fn lists(&self, host: &str, port: u16) -> bool {
        self.catalog.read().as_ref().is_some_and(|catalog| catalog.lists(host, port))
    }

    fn place(&self, url: &Url) -> Url {
        let settled = |catalog: &Arc<Catalog>| catalog.is_settled(url);
        if self.failed.lock().is_empty() && self.catalog.read().as_ref().is_none_or(settled) {
            return url.clone();
        }
        let alternatives = self.alternatives(url);
        let at_home = alternatives.iter().any(|other| authority(other) == authority(url));
        if alternatives.is_empty() || (at_home && !self.is_failed(&authority(url))) {
            return url.clone();
        }
        self.best(&alternatives).unwrap_or_else(|| url.clone())
    }

    fn forget_failures(&self) {
        self.failed.lock().clear();
        self.failures.store(0, Ordering::Relaxed);
    }

    fn observe(&self, url: &Url, failure: Option<&HttpError>) {
        let failed = match failure {
            // A failure of another host, after a redirect, does not count against this one.
            Some(HttpError::Network { host, .. } | HttpError::Certificate { host, .. }) => {
                url.host_str() == Some(host)
            }
            Some(HttpError::Timeout { host, after }) => {
                url.host_str() == Some(host) && *after >= HOST_TIMEOUT
            }
            Some(error) => {
                let answered = error.service().is_some_and(|it| url.host_str() == Some(&*it.host));
                answered && matches!(error.status(), Some(500 | 502..=504)) && self.has_others(url)
            }
            None => false,
        };
        if failed {
            self.mark_failed(url);
        }
    }

    fn mark_failed(&self, url: &Url) {
        let place = url.host_str().zip(url.port_or_known_default());
        if !place.is_some_and(|(host, port)| self.lists(host, port)) {
            return;
        }
        if self.has_others(url) {
            let (host, now) = (authority(url), now());
            info!(host, "a host has failed; another one is used for a while");
            let mut failed = self.failed.lock();
            failed.retain(|(other, until)| **other != *host && *until > now);
            failed.push((host.into(), now + FAILED_FOR));
        }
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES
            && let Some(Failing(call)) = self.failing.get()
        {
            call();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicUsize, time::Duration};

    use bytes::Bytes;

    use super::*;
    use crate::error::ServiceError;

    /// `wdm` is at two hosts, `other` at two others, and `alone` at one.
    fn hosts() -> Hosts {
        let text = r#"{"serviceLinks": {"wdm": "https://a.example/w", "other": "https://c.example/o",
                "alone": "https://alone.example/x"},
            "hostCatalog": {"a.example": [{"host": "a.example", "priority": 1, "id": "u:t:c:wdm"},
                                          {"host": "b.example", "priority": 2, "id": "u:t:c:wdm"}],
                            "c.example": [{"host": "c.example", "priority": 1, "id": "u:t:c:other"},
                                          {"host": "d.example", "priority": 2, "id": "u:t:c:other"}]}}"#;
        let hosts = Hosts::default();
        hosts.set_catalog(Arc::new(serde_json::from_str(text).unwrap()));
        hosts
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn answered(host: &str, status: u16) -> HttpError {
        HttpError::Status(Arc::new(ServiceError {
            host: host.to_owned(),
            status: status.try_into().unwrap(),
            message: None,
            error_code: None,
            tracking_id: None,
            retry_after: None,
            body: Bytes::new(),
        }))
    }

    /// How often hosts are said to keep failing.
    fn said(hosts: &Hosts) -> Arc<AtomicUsize> {
        let said = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&said);
        hosts.when_failing(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        said
    }

    #[test]
    fn hosts_keep_failing_from_the_third_failure_on() {
        let hosts = hosts();
        let said = said(&hosts);
        let service = url("https://a.example/w");
        for failures in 1..=FAILURES + 1 {
            hosts.observe(&service, Some(&answered("a.example", 503)));
            let expected = failures.saturating_sub(FAILURES - 1) as usize;
            assert_eq!(said.load(Ordering::Relaxed), expected, "{failures}");
        }
        // On another network, or with another catalog, the count starts again.
        hosts.forget_failures();
        hosts.observe(&service, Some(&answered("a.example", 503)));
        assert_eq!(said.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn an_answer_speaks_against_the_host_that_gave_it_if_there_are_others() {
        for (service, by, status, moves) in [
            ("https://a.example/w", "a.example", 500, true),
            ("https://a.example/w", "a.example", 501, false),
            ("https://a.example/w", "a.example", 404, false),
            ("https://a.example/w", "behind-a-redirect.example", 503, false),
        ] {
            let hosts = hosts();
            hosts.observe(&url(service), Some(&answered(by, status)));
            assert_eq!(hosts.place(&url(service)) != url(service), moves, "{by} {status}");
        }
        let (hosts, alone) = (hosts(), url("https://alone.example/x"));
        let said = said(&hosts);
        for _ in 0..FAILURES * 2 {
            hosts.observe(&alone, Some(&answered("alone.example", 503)));
        }
        assert_eq!(said.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_not_listed_does_not_fail() {
        let hosts = hosts();
        let said = said(&hosts);
        for _ in 0..FAILURES {
            hosts.mark_failed(&url("https://stranger.example/w"));
        }
        assert_eq!(said.load(Ordering::Relaxed), 0);
        assert!(hosts.lists("a.example", 443) && !hosts.lists("stranger.example", 443));
    }

    #[test]
    fn when_all_hosts_of_one_service_have_failed_those_of_another_stay_failed() {
        let hosts = hosts();
        for failed in ["https://a.example/w", "https://b.example/w", "https://c.example/o"] {
            hosts.mark_failed(&url(failed));
        }
        assert_eq!(hosts.place(&url("https://a.example/w")).host_str(), Some("a.example"));
        assert_eq!(hosts.place(&url("https://c.example/o")).host_str(), Some("d.example"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_noted_once_and_not_for_longer_than_it_counts() {
        let hosts = hosts();
        for _ in 0..5 {
            hosts.mark_failed(&url("https://a.example/w"));
        }
        assert_eq!(hosts.failed.lock().len(), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        hosts.mark_failed(&url("https://c.example/o"));
        assert_eq!(hosts.failed.lock().len(), 2);
        tokio::time::advance(FAILED_FOR.saturating_sub(Duration::from_secs(1))).await;
        hosts.mark_failed(&url("https://c.example/o"));
        assert_eq!(hosts.failed.lock().len(), 1, "the first is over");
    }
}
