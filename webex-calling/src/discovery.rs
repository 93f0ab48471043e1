//! Discovery of the Mobius servers that a user's lines register with.
//!
//! Region discovery finds where the user is. Mobius discovery finds the servers for that region: it
//! asks the catalog's main Mobius link, and then the clusters, until one answers. [`Discovery`] runs
//! when the client is made, and again for a line that no server accepts: servers move, and lists must
//! not stay empty.

use std::{future::Future, sync::Arc};

use parking_lot::Mutex;
use serde::Deserialize;
use tracing::{debug, warn};
use url::Url;
use webex_core::{
    Catalog, ErrorKind, HttpError, Request, Subscription, Webex, events::Hub, lenient,
};

use crate::{
    mobius::{
        http::{ANSWER_LIMIT, calling_base, mobius},
        timings::MAX_SERVERS,
    },
    model::{
        client_error::{CallingClientError, CallingError, CallingEvent, DiscoveryStep},
        config::Location,
        servers::Servers,
    },
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    #[serde(deserialize_with = "lenient::field")]
    primary: Group,
    #[serde(deserialize_with = "lenient::field")]
    backup: Group,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Group {
    #[serde(deserialize_with = "lenient::list")]
    uris: Vec<String>,
}

/// Discovers the servers of a user's lines.
///
/// Errors are emitted as [`CallingEvent::Error`]; the last one is kept for later readers.
#[derive(Debug)]
pub(crate) struct Discovery {
    webex: Webex,
    /// The location from the configuration.
    fixed: Option<Location>,
    events: Arc<Hub<CallingEvent>>,
    known: Mutex<Known>,
    /// Held during discovery. Callers that wait for it share its result.
    running: tokio::sync::Mutex<()>,
}

/// What is known so far.
#[derive(Debug, Default)]
struct Known {
    servers: Arc<Servers>,
    /// The last known location, used when region discovery fails.
    location: Option<Location>,
    last_error: Option<CallingClientError>,
    /// The number of discoveries so far, and the failure of the last one.
    rounds: u64,
    failure: Option<CallingError>,
}

impl Discovery {
    pub(crate) fn new(webex: Webex, fixed: Option<Location>) -> Self {
        let (known, running) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { webex, fixed, events: Arc::default(), known, running }
    }

    /// Returns the servers of the last discovery.
    pub(crate) fn servers(&self) -> Arc<Servers> {
        Arc::clone(&self.known.lock().servers)
    }

    /// Returns where the events of the client are emitted.
    pub(crate) fn events(&self) -> Arc<Hub<CallingEvent>> {
        Arc::clone(&self.events)
    }

    pub(crate) fn subscribe(&self) -> Subscription<CallingEvent> {
        self.events.subscribe()
    }

    pub(crate) fn last_error(&self) -> Option<CallingClientError> {
        self.known.lock().last_error.clone()
    }

    /// Discovers the servers for the first time, while `device` is being registered.
    pub(crate) async fn first<T>(
        &self,
        device: impl Future<Output = Result<T, CallingError>>,
    ) -> Result<T, CallingError> {
        // In parallel: the region does not depend on the user.
        let (ready, location) = tokio::join!(device, self.locate());
        let ready = ready?;
        self.ask_clusters(location).await?;
        Ok(ready)
    }

    /// Discovers region and servers again, and remembers the result. Lines that call it at the same
    /// time share one result.
    ///
    /// # Errors
    /// Why discovery failed; the servers known before remain.
    pub(crate) async fn rediscover(&self) -> Result<Arc<Servers>, CallingError> {
        let before = self.known.lock().rounds;
        let _running = self.running.lock().await;
        {
            let known = self.known.lock();
            if known.rounds != before {
                let servers = Arc::clone(&known.servers);
                return known.failure.clone().map_or(Ok(servers), Err);
            }
        }
        self.known.lock().last_error = None;
        let location = self.locate().await;
        self.ask_clusters(location).await
    }

    /// Finds where the user is; `None` if that is unknown.
    async fn locate(&self) -> Option<Location> {
        if self.fixed.is_some() {
            return self.fixed.clone();
        }
        match self.webex.region().await {
            Ok(found) if !found.client_region.is_empty() && !found.country_code.is_empty() => {
                let (region, country) = (found.client_region.clone(), found.country_code.clone());
                let location = Location { region, country };
                self.known.lock().location = Some(location.clone());
                Some(location)
            }
            Ok(_) => self.known.lock().location.clone(),
            Err(error) => {
                debug!(%error, "the region is unknown");
                self.report(CallingClientError::from_http(DiscoveryStep::Region, error));
                self.known.lock().location.clone()
            }
        }
    }

    /// Asks the main link and the clusters of the catalog, in its order, for the servers of that
    /// location.
    ///
    /// Without a location, or when the token is refused, the first cluster is the only server.
    async fn ask_clusters(&self, location: Option<Location>) -> Result<Arc<Servers>, CallingError> {
        let outcome = self.any_cluster(location.as_ref()).await;
        let mut known = self.known.lock();
        known.rounds += 1;
        known.failure = outcome.as_ref().err().cloned();
        let servers = Arc::new(outcome?);
        debug!(primary = servers.primary.len(), backup = servers.backup.len(), "calling servers");
        known.servers = Arc::clone(&servers);
        Ok(servers)
    }

    async fn any_cluster(&self, location: Option<&Location>) -> Result<Servers, CallingError> {
        let catalog = self.webex.ready().await?;
        // The configured scheme: https, except for a sandbox without TLS.
        let bases = bases(&catalog, self.webex.endpoints().u2c.scheme());
        let Some(fallback) = bases.last_resort() else {
            self.report(CallingClientError::no_clusters());
            return Err(CallingError::NoClusters);
        };
        let itself = || Servers { primary: vec![calling_base(fallback)], backup: Vec::new() };
        let Some(location) = location else { return Ok(itself()) };
        let mut failure = None;
        for base in bases.to_ask() {
            match ask(&self.webex, base, location).await {
                Ok(servers) => return Ok(servers),
                Err(error) => {
                    warn!(%error, host = base.host_str(), "Mobius discovery failed");
                    let is_final = error.kind() == ErrorKind::Unauthorized;
                    self.report(CallingClientError::from_http(
                        DiscoveryStep::Servers,
                        error.clone(),
                    ));
                    if is_final {
                        return Ok(itself());
                    }
                    failure = Some(error);
                }
            }
        }
        Err(failure.map_or(CallingError::NoClusters, CallingError::Discovery))
    }

    /// Reports an error. It can be read before the event is emitted.
    fn report(&self, error: CallingClientError) {
        self.known.lock().last_error = Some(error.clone());
        self.events.emit(&CallingEvent::Error(error));
    }
}

/// The Mobius URLs of a catalog, each ending in `/api/v1`.
struct Bases {
    link: Option<Url>,
    clusters: Vec<Url>,
}

fn bases(catalog: &Catalog, scheme: &str) -> Bases {
    let clusters = catalog.mobius_clusters();
    let clusters = clusters.iter().take(MAX_SERVERS);
    let url = |host: &&str| Url::parse(&format!("{scheme}://{host}/api/v1")).ok();
    Bases { link: catalog.service_url("mobius").ok(), clusters: clusters.filter_map(url).collect() }
}

impl Bases {
    /// The URLs to ask in turn: the main link, then the clusters of other hosts.
    fn to_ask(&self) -> impl Iterator<Item = &Url> {
        let asked = |cluster: &&Url| {
            let host = |url: &Url| (url.host_str().map(str::to_owned), url.port());
            self.link.as_ref().is_none_or(|link| host(link) != host(cluster))
        };
        self.link.iter().chain(self.clusters.iter().filter(asked))
    }

    /// The server to use when none can be asked, as the reference client does: the first cluster.
    fn last_resort(&self) -> Option<&Url> {
        self.clusters.first().or(self.link.as_ref())
    }
}

async fn ask(webex: &Webex, base: &Url, location: &Location) -> Result<Servers, HttpError> {
    let mut url = calling_base(base);
    url.query_pairs_mut()
        .append_pair("regionCode", &location.region)
        .append_pair("countryCode", &location.country);
    let http = webex.http();
    let request = mobius(Request::get(url)).answer_limit(ANSWER_LIMIT);
    let answer: Answer = http.send(request).await?.json()?;
    lists(&answer, base, |url| http.allows(url)).ok_or_else(|| HttpError::Body {
        host: base.host_str().unwrap_or_default().to_owned(),
        reason: format!("more than {MAX_SERVERS} calling servers"),
    })
}

/// Builds the lists: order kept, duplicates removed within each, the answering server as the last
/// backup, or as the only primary when the answer lists no server. Servers that are not `allowed`
/// are left out. `None` if there are too many.
fn lists(answer: &Answer, base: &Url, allowed: impl Fn(&Url) -> bool) -> Option<Servers> {
    if answer.primary.uris.len() + answer.backup.uris.len() > MAX_SERVERS {
        return None;
    }
    let bases = |group: &Group| {
        let mut bases = Vec::new();
        for base in group.uris.iter().filter_map(|uri| Url::parse(uri).ok()) {
            // The calling websocket (wss) is not supported.
            if base.scheme().starts_with("http") && allowed(&base) {
                push_new(&mut bases, Some(calling_base(&base)));
            } else {
                debug!(host = base.host_str(), "a calling server that is left out");
            }
        }
        bases
    };
    let (mut primary, mut backup) = (bases(&answer.primary), bases(&answer.backup));
    let none = primary.is_empty() && backup.is_empty();
    let list = if none { &mut primary } else { &mut backup };
    push_new(list, Some(calling_base(base)));
    Some(Servers { primary, backup })
}

/// Fuzz target: the answer of a cluster.
#[cfg(any(test, fuzzing))]
pub fn mobius_discovery(data: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<Answer>(data) else { return };
    let cluster = Url::parse("https://cluster.webex.com/api/v1").expect("a URL");
    let Some(servers) = lists(&answer, &cluster, |_| true) else { return };
    assert!(!servers.is_empty(), "the cluster that answered is a server");
    assert!(servers.all().all(|url| url.scheme().starts_with("http")));
}

fn push_new(list: &mut Vec<Url>, url: Option<Url>) {
    list.extend(url.filter(|url| !list.contains(url)));
}

#[cfg(test)]
mod tests {
    use webex_tests::mutate::mutations;

    use super::*;

    fn texts(list: &[Url]) -> Vec<&str> {
        list.iter().map(Url::as_str).collect()
    }

    #[test]
    fn the_answering_cluster_is_the_last_backup() {
        let answer = serde_json::from_str(
            r#"{"primary":{"region":"A","uris":["https://p1/api/v1","https://p1/api/v1","https://p2/api/v1"]},
                "backup":{"region":"B","uris":["https://b1/api/v1","wss://b2/api/v1","nonsense"]}}"#,
        )
        .unwrap();
        let servers = lists(&answer, &Url::parse("https://c/api/v1").unwrap(), |_| true).unwrap();
        let base = |host: &str| format!("https://{host}/api/v1/calling/web/");
        assert_eq!(texts(&servers.primary), [base("p1"), base("p2")]);
        assert_eq!(texts(&servers.backup), [base("b1"), base("c")]);
    }

    #[test]
    fn servers_that_are_not_allowed_are_left_out() {
        let uris = |uris: &[&str]| Group { uris: uris.iter().map(|&uri| uri.to_owned()).collect() };
        let answer = Answer {
            primary: uris(&["https://evil/api/v1", "https://p/api/v1"]),
            backup: uris(&["http://p/api/v1"]),
        };
        let good = |url: &Url| url.scheme() == "https" && url.host_str() != Some("evil");
        let servers = lists(&answer, &Url::parse("https://c/api/v1").unwrap(), good).unwrap();
        assert_eq!(texts(&servers.primary), ["https://p/api/v1/calling/web/"]);
        assert_eq!(texts(&servers.backup), ["https://c/api/v1/calling/web/"]);
    }

    #[test]
    fn an_answer_without_servers_means_the_cluster_itself() {
        for text in ["{}", r#"{"primary":{"uris":[]},"backup":{}}"#] {
            let servers = lists(
                &serde_json::from_str(text).unwrap(),
                &Url::parse("https://c/api/v1").unwrap(),
                |_| true,
            )
            .unwrap();
            assert_eq!(texts(&servers.primary), ["https://c/api/v1/calling/web/"]);
            assert!(servers.backup.is_empty());
        }
    }

    #[test]
    fn one_odd_field_hides_no_other_server() {
        let whole = serde_json::json!({
            "primary": {"region": "r", "uris": ["https://p.webex.com"]},
            "backup": {"region": "r", "uris": ["https://b.webex.com"]},
        });
        let cluster = Url::parse("https://cluster.webex.com/api/v1").unwrap();
        for (path, mutated) in mutations(&whole) {
            let answer: Answer = serde_json::from_value(mutated.clone()).unwrap();
            let servers = lists(&answer, &cluster, |_| true).unwrap();
            for group in ["/primary", "/backup"] {
                let host = format!("https://{}.webex.com/", &group[1..2]);
                let there = servers.all().any(|url| url.as_str().starts_with(&host));
                assert!(path.starts_with(group) || there, "{mutated}");
            }
        }
    }
}
