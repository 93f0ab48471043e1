//! The wire forms of the catalog: `format=hostmap` and `format=U2CV2`, told apart by their fields.
//!
//! Both are read straight from the bytes and made into the same [`Catalog`]. Maps keep the order of
//! the text: the reference client takes Mobius clusters in it.

use std::{collections::HashSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use url::Url;

use super::{
    address::{authority, with_host},
    model::{Candidate, Catalog, HostList, MOBIUS, Service},
};

/// Reads an answer of either form; also says when it was made, where the form does.
pub(super) fn read(body: &[u8]) -> Result<(Catalog, Option<u64>), serde_json::Error> {
    Ok(serde_json::from_slice::<Answer>(body)?.into_parts())
}

/// Reads the wire form, either of them.
impl<'de> Deserialize<'de> for Catalog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Answer::deserialize(deserializer)?.into_parts().0)
    }
}

/// A catalog answer of either form. Fields that are not used are skipped while reading.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default, deserialize_with = "pairs")]
    service_links: Vec<(String, String)>,
    #[serde(default, deserialize_with = "pairs")]
    host_catalog: Vec<(String, Vec<HostEntry>)>,
    #[serde(default, deserialize_with = "pairs")]
    active_services: Vec<(String, String)>,
    #[serde(default)]
    services: Vec<ServiceEntry>,
    timestamp: Option<Timestamp>,
}

/// One host that serves something.
#[derive(Deserialize)]
struct HostEntry {
    host: Box<str>,
    #[serde(default)]
    priority: i64,
    /// `urn:{federation}:{cluster}:{service}`.
    #[serde(default)]
    id: String,
}

impl HostEntry {
    fn service(&self) -> &str {
        self.id.splitn(4, ':').nth(3).unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceEntry {
    id: Box<str>,
    service_name: Box<str>,
    #[serde(default)]
    service_urls: Vec<ServiceUrl>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceUrl {
    base_url: Box<str>,
    #[serde(default)]
    priority: i64,
}

/// Milliseconds since 1970, as text or number.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Timestamp {
    Number(u64),
    Text(String),
}

impl Timestamp {
    pub(super) fn millis(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

impl Answer {
    /// The catalog, and when it was made where the form tells that.
    fn into_parts(self) -> (Catalog, Option<u64>) {
        let timestamp = self.timestamp.as_ref().and_then(Timestamp::millis);
        let catalog = if self.services.is_empty() {
            from_hostmap(self.service_links, self.host_catalog)
        } else {
            from_v2(&self.active_services, self.services)
        };
        (catalog, timestamp)
    }
}

fn from_hostmap(links: Vec<(String, String)>, hosts: Vec<(String, Vec<HostEntry>)>) -> Catalog {
    let mut clusters: Vec<Box<str>> = Vec::new();
    for entry in hosts.iter().flat_map(|(_, list)| list) {
        if entry.service() == MOBIUS && !clusters.contains(&entry.host) {
            clusters.push(entry.host.clone());
        }
    }
    let linked: HashSet<_> = links.iter().map(|(name, _)| name.clone()).collect();
    let mut services = Vec::with_capacity(links.len());
    for (name, link) in links {
        // A link that is no URL is as good as none: the service is missing when asked for.
        let Ok(url) = Url::parse(&link) else { continue };
        let key = authority(&url);
        let list = hosts.iter().find(|(host, _)| *host == key).map_or(&[][..], |(_, list)| list);
        // The service is in the hosts' ids. Where that is another word, the first entry tells it,
        // unless it speaks of another service on the same host.
        let first = list.first().map_or("", HostEntry::service);
        let named = list.iter().any(|entry| entry.service() == name);
        let word = if named || linked.contains(first) { &name } else { first };
        let usable = list.iter().filter(|entry| entry.service() == word);
        let candidates = usable.filter_map(|entry| {
            let priority = rank(entry.priority)?;
            Some(Candidate { url: with_host(&url, &entry.host)?.as_str().into(), priority })
        });
        let mut urls: Vec<_> = candidates.collect();
        if urls.is_empty() {
            urls.push(Candidate { url: url.as_str().into(), priority: 1 });
        }
        urls.sort_by_key(|candidate| candidate.priority);
        let name = name.into_boxed_str();
        services.push(Service { id: name.clone(), name, urls, active: true });
    }
    let mut lists: Vec<_> = hosts
        .into_iter()
        .map(|(key, list)| {
            let word = list.first().map_or("", HostEntry::service).to_owned();
            let usable = list.into_iter().filter(|entry| entry.service() == word);
            let mut hosts: Vec<_> =
                usable.filter_map(|entry| Some((rank(entry.priority)?, entry.host))).collect();
            hosts.sort_by_key(|(priority, _)| *priority);
            let hosts = hosts.into_iter().map(|(_, host)| host).collect();
            HostList { key: key.into(), chooses_itself: word == MOBIUS, hosts }
        })
        .collect();
    lists.sort_by(|one, other| one.key.cmp(&other.key));
    Catalog::new(services, lists, clusters)
}

fn from_v2(active: &[(String, String)], entries: Vec<ServiceEntry>) -> Catalog {
    let mut services: Vec<Service> = Vec::with_capacity(entries.len());
    let mut clusters: Vec<Box<str>> = Vec::new();
    for entry in entries {
        let parsed = entry.service_urls.iter().filter(|it| Url::parse(&it.base_url).is_ok());
        if &*entry.service_name == MOBIUS {
            for host in parsed.clone().map(|it| cluster_host(&it.base_url)) {
                if !clusters.iter().any(|known| **known == *host) {
                    clusters.push(host.into());
                }
            }
        }
        let usable = parsed.filter_map(|it| {
            Some(Candidate { url: it.base_url.clone(), priority: rank(it.priority)? })
        });
        let mut urls: Vec<_> = usable.collect();
        urls.sort_by_key(|candidate| candidate.priority);
        let is_active =
            |(name, id): &(String, String)| **name == *entry.service_name && **id == *entry.id;
        // An active id that no service has is ignored; a service may be known by its name alone.
        let by_name = entry.id == entry.service_name
            && !active.iter().any(|(name, _)| **name == *entry.service_name);
        let active = by_name || active.iter().any(is_active);
        // Unique by id: the first counts.
        if !services.iter().any(|known| known.id == entry.id) {
            services.push(Service { name: entry.service_name, id: entry.id, urls, active });
        }
    }
    Catalog::new(services, Vec::new(), clusters)
}

/// What the reference client asks for clusters: the base URL without scheme and `/api/v1`.
fn cluster_host(base: &str) -> &str {
    let rest = base.strip_prefix("https://").unwrap_or(base);
    rest.strip_suffix("/api/v1").unwrap_or(rest).trim_end_matches('/')
}

/// The priority, where the host may be used at all: above zero.
fn rank(priority: i64) -> Option<u16> {
    (priority > 0).then(|| u16::try_from(priority).unwrap_or(u16::MAX))
}

/// Reads a JSON object into a list of pairs, in its order. A value of `null` is no pair.
pub(super) fn pairs<'de, D, V>(deserializer: D) -> Result<Vec<(String, V)>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Pairs<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
        type Value = Vec<(String, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, Option<V>>()? {
                pairs.extend(value.map(|value| (key, value)));
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_map(Pairs(PhantomData))
}
