//! Which Mobius servers a user's lines register with.
//!
//! First where the user is (region discovery), then which servers that means (Mobius discovery, at
//! the first cluster of the service catalog that answers).

use std::time::Duration;

use serde::Deserialize;
use tracing::{debug, warn};
use url::Url;
use webex_core::{Auth, Catalog, ErrorKind, HttpError, Request, Webex};

use crate::{
    CallingError,
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

/// Asks where the user is. `None` when that cannot be told.
pub(crate) async fn location(webex: &Webex) -> Option<Location> {
    let request = Request::get(webex.endpoints().region.clone())
        .auth(Auth::None)
        .without_header("spark-user-agent")
        .timeout(REGION_TIMEOUT);
    let answer = async { webex.http().send(request).await?.json::<Region>() };
    match answer.await {
        Ok(Region { client_region: region, country_code: country })
            if !region.is_empty() && !country.is_empty() =>
        {
            Some(Location { region, country })
        }
        Ok(_) => None,
        Err(error) => {
            debug!(%error, "the region is not known");
            None
        }
    }
}

/// Asks the clusters of the catalog, in its order, for the servers of that place.
///
/// Without a location, or when the token is refused, the first cluster itself is the only server.
pub(crate) async fn servers(
    webex: &Webex,
    catalog: &Catalog,
    location: Option<&Location>,
) -> Result<Servers, CallingError> {
    // Scheme of the cloud as configured: https, but for a sandbox without TLS.
    let scheme = webex.endpoints().u2c.scheme();
    let clusters: Vec<Url> = catalog
        .mobius_clusters()
        .iter()
        .filter_map(|host| Url::parse(&format!("{scheme}://{host}/api/v1")).ok())
        .collect();
    let first = clusters.first().ok_or(CallingError::NoClusters)?;
    let itself = || Servers { primary: vec![calling_base(first)], backup: Vec::new() };
    let Some(location) = location else { return Ok(itself()) };
    let mut failure = None;
    for cluster in &clusters {
        match ask(webex, cluster, location).await {
            Ok(answer) => return Ok(lists(&answer, cluster)),
            Err(error) if error.kind() == ErrorKind::Unauthorized => return Ok(itself()),
            Err(error) => {
                warn!(%error, host = cluster.host_str(), "Mobius discovery failed");
                failure = Some(error);
            }
        }
    }
    Err(failure.map_or(CallingError::NoClusters, CallingError::Discovery))
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
