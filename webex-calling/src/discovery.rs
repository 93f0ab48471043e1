//! Discovery of the Mobius servers that a user's lines register with.
//!
//! Region discovery finds where the user is. Mobius discovery, at the first cluster of the service
//! catalog that answers, finds the servers for that region. [`Discovery`] runs when the client is
//! made, and again for a line that no server accepts: servers move, and lists must not stay empty.

use std::{future::Future, sync::Arc};

use parking_lot::Mutex;
use serde::Deserialize;
use tracing::{debug, warn};
use url::Url;
use webex_core::{Auth, ErrorKind, HttpError, Request, Subscription, Webex, events::Hub};

use crate::{
    mobius::{
        http::{calling_base, mobius},
        timings::REGION_TIMEOUT,
    },
    model::{
        client_error::{CallingClientError, CallingError, CallingEvent, DiscoveryStep},
        config::Location,
        servers::Servers,
    },
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    #[serde(default)]
    client_region: String,
    #[serde(default)]
    country_code: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    primary: Group,
    backup: Group,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Group {
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
    events: Hub<CallingEvent>,
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
        Self { webex, fixed, events: Hub::default(), known, running }
    }

    /// Returns the servers of the last discovery.
    pub(crate) fn servers(&self) -> Arc<Servers> {
        Arc::clone(&self.known.lock().servers)
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
        let request = Request::get(self.webex.endpoints().region.clone())
            .auth(Auth::None)
            .without_header("spark-user-agent")
            .timeout(REGION_TIMEOUT);
        let answer = async { self.webex.http().send(request).await?.json::<Region>() };
        match answer.await {
            Ok(Region { client_region: region, country_code: country })
                if !region.is_empty() && !country.is_empty() =>
            {
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

    /// Asks the clusters of the catalog, in its order, for the servers of that location.
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
        let scheme = self.webex.endpoints().u2c.scheme();
        let clusters: Vec<Url> = catalog
            .mobius_clusters()
            .iter()
            .filter_map(|host| Url::parse(&format!("{scheme}://{host}/api/v1")).ok())
            .collect();
        let Some(first) = clusters.first() else {
            self.report(CallingClientError::no_clusters());
            return Err(CallingError::NoClusters);
        };
        let itself = || Servers { primary: vec![calling_base(first)], backup: Vec::new() };
        let Some(location) = location else { return Ok(itself()) };
        let mut failure = None;
        for cluster in &clusters {
            match ask(&self.webex, cluster, location).await {
                Ok(answer) => return Ok(lists(&answer, cluster)),
                Err(error) => {
                    warn!(%error, host = cluster.host_str(), "Mobius discovery failed");
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

async fn ask(webex: &Webex, cluster: &Url, location: &Location) -> Result<Answer, HttpError> {
    let mut url = calling_base(cluster);
    url.query_pairs_mut()
        .append_pair("regionCode", &location.region)
        .append_pair("countryCode", &location.country);
    webex.http().send(mobius(Request::get(url))).await?.json()
}

/// Builds the lists: order kept, duplicates removed within each, the answering cluster as the last
/// backup, or as the only primary when the answer lists no server.
fn lists(answer: &Answer, cluster: &Url) -> Servers {
    let bases = |group: &Group| {
        let mut bases = Vec::new();
        for base in group.uris.iter().filter_map(|uri| Url::parse(uri).ok()) {
            // The calling websocket (wss) is not supported.
            push_new(&mut bases, base.scheme().starts_with("http").then(|| calling_base(&base)));
        }
        bases
    };
    let (mut primary, mut backup) = (bases(&answer.primary), bases(&answer.backup));
    let none = primary.is_empty() && backup.is_empty();
    let list = if none { &mut primary } else { &mut backup };
    push_new(list, Some(calling_base(cluster)));
    Servers { primary, backup }
}

fn push_new(list: &mut Vec<Url>, url: Option<Url>) {
    list.extend(url.filter(|url| !list.contains(url)));
}

#[cfg(test)]
mod tests {
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
        let servers = lists(&answer, &Url::parse("https://c/api/v1").unwrap());
        let base = |host: &str| format!("https://{host}/api/v1/calling/web/");
        assert_eq!(texts(&servers.primary), [base("p1"), base("p2")]);
        assert_eq!(texts(&servers.backup), [base("b1"), base("c")]);
    }

    #[test]
    fn an_answer_without_servers_means_the_cluster_itself() {
        for text in ["{}", r#"{"primary":{"uris":[]},"backup":{}}"#] {
            let servers = lists(
                &serde_json::from_str(text).unwrap(),
                &Url::parse("https://c/api/v1").unwrap(),
            );
            assert_eq!(texts(&servers.primary), ["https://c/api/v1/calling/web/"]);
            assert!(servers.backup.is_empty());
        }
    }
}
