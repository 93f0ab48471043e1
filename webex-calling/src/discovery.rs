//! Which Mobius servers a user's lines register with.
//!
//! First where the user is (region discovery), then which servers that means (Mobius discovery, at
//! the first cluster of the service catalog that answers). [`Discovery`] does it when the client is
//! made, and again for a line that no server takes: servers move, and lists must not stay empty.

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::Deserialize;
use tracing::{debug, warn};
use url::Url;
use webex_core::{Auth, ErrorKind, HttpError, Request, Subscription, Webex, events::Hub};

use crate::{
    client::{CallingClientError, CallingError, CallingEvent, DiscoveryStep},
    config::Location,
    mobius::{calling_base, mobius},
};

/// How long region discovery may take (reference client: 5,000 ms). It only makes the choice of
/// servers better, so that its failure is no failure.
pub const REGION_TIMEOUT: Duration = Duration::from_secs(5);

/// The servers to register with, best first. Each is a calling base, ending in `/calling/web/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Servers {
    /// Where the line belongs.
    pub primary: Vec<Url>,
    /// Where it goes while no primary takes it.
    pub backup: Vec<Url>,
}

impl Servers {
    /// Whether there is no server at all.
    pub fn is_empty(&self) -> bool {
        self.primary.is_empty() && self.backup.is_empty()
    }
}

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

/// Finds the servers of a user's lines, and finds them again when none of them takes a line.
///
/// What goes wrong on the way is told by [`CallingEvent::Error`], and kept for those who listen
/// later.
#[derive(Debug)]
pub(crate) struct Discovery {
    webex: Webex,
    /// The place that the application named.
    fixed: Option<Location>,
    events: Hub<CallingEvent>,
    known: Mutex<Known>,
    /// Held by whoever asks; the others take over what came of it.
    asking: tokio::sync::Mutex<()>,
}

/// What is known so far.
#[derive(Debug, Default)]
struct Known {
    servers: Arc<Servers>,
    /// The place last told: a later failure to tell it makes it no worse.
    location: Option<Location>,
    last_error: Option<CallingClientError>,
    /// How often the clusters have been asked, and what came of the last time.
    rounds: u64,
    failure: Option<CallingError>,
}

impl Discovery {
    pub(crate) fn new(webex: Webex, fixed: Option<Location>) -> Self {
        let (known, asking) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { webex, fixed, events: Hub::default(), known, asking }
    }

    /// The servers as last told.
    pub(crate) fn servers(&self) -> Arc<Servers> {
        Arc::clone(&self.known.lock().servers)
    }

    pub(crate) fn subscribe(&self) -> Subscription<CallingEvent> {
        self.events.subscribe()
    }

    pub(crate) fn last_error(&self) -> Option<CallingClientError> {
        self.known.lock().last_error.clone()
    }

    /// Asks for the servers for the first time, while `device` is being brought up.
    pub(crate) async fn first<T>(
        &self,
        device: impl Future<Output = Result<T, CallingError>>,
    ) -> Result<T, CallingError> {
        // Side by side: where the user is does not depend on who the user is.
        let (ready, location) = tokio::join!(device, self.locate());
        let ready = ready?;
        self.ask_clusters(location).await?;
        Ok(ready)
    }

    /// Asks again where the user is and which servers that means, and remembers the answer. Lines
    /// that ask at the same time share one answer.
    ///
    /// # Errors
    /// Why no servers were told; those known before are still there.
    pub(crate) async fn rediscover(&self) -> Result<Arc<Servers>, CallingError> {
        let before = self.known.lock().rounds;
        let _asking = self.asking.lock().await;
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

    /// Asks where the user is. `None` when that cannot be told.
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
                debug!(%error, "the region is not known");
                self.tell(CallingClientError::from_http(DiscoveryStep::Region, error));
                self.known.lock().location.clone()
            }
        }
    }

    /// Asks the clusters of the catalog, in its order, for the servers of that place.
    ///
    /// Without a place, or when the token is refused, the first cluster itself is the only server.
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
        // Scheme of the cloud as configured: https, but for a sandbox without TLS.
        let scheme = self.webex.endpoints().u2c.scheme();
        let clusters: Vec<Url> = catalog
            .mobius_clusters()
            .iter()
            .filter_map(|host| Url::parse(&format!("{scheme}://{host}/api/v1")).ok())
            .collect();
        let Some(first) = clusters.first() else {
            self.tell(CallingClientError::no_clusters());
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
                    self.tell(CallingClientError::from_http(DiscoveryStep::Servers, error.clone()));
                    if is_final {
                        return Ok(itself());
                    }
                    failure = Some(error);
                }
            }
        }
        Err(failure.map_or(CallingError::NoClusters, CallingError::Discovery))
    }

    /// The error is there to be read before anybody hears of it.
    fn tell(&self, error: CallingClientError) {
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

/// The rules of the lists: order kept, duplicates removed within each, the answering cluster as the
/// last backup, or as the only primary when the answer names nobody.
fn lists(answer: &Answer, cluster: &Url) -> Servers {
    let bases = |group: &Group| {
        let mut bases = Vec::new();
        for base in group.uris.iter().filter_map(|uri| Url::parse(uri).ok()) {
            // Servers on the calling websocket (wss) are not spoken to yet.
            push_new(&mut bases, base.scheme().starts_with("http").then(|| calling_base(&base)));
        }
        bases
    };
    let (mut primary, mut backup) = (bases(&answer.primary), bases(&answer.backup));
    let nobody = primary.is_empty() && backup.is_empty();
    let list = if nobody { &mut primary } else { &mut backup };
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
    fn an_answer_that_names_nobody_means_the_cluster_itself() {
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
