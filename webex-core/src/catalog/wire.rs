//! The wire formats of the catalog: `format=hostmap` and `format=U2CV2`, distinguished by their
//! fields.
//!
//! Both are read straight from the bytes into the same [`Catalog`]. Maps keep the order of the
//! text, because the reference client uses Mobius clusters in that order. Unreadable entries are
//! skipped, and unused ones are not parsed. The number of entries is limited, and each is visited
//! once.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Error, value::RawValue};
use url::Url;

use super::{
    address::{authority, with_host},
    model::{Candidate, Catalog, HostList, MOBIUS, Service},
};
use crate::lenient::stream::{TooMany, integer, items_of, members, members_of, text, too_many};

/// Limit of services in a catalog, over all clusters. The largest known has some hundreds.
pub(super) const MOST_SERVICES: usize = 10_000;

/// Limit of hosts and URLs in a catalog.
const MOST_HOSTS: usize = 20_000;

/// Limit of hosts of one service; a service has two or three.
const MOST_ALTERNATIVES: usize = 32;

/// Reads an answer in either format. Also returns when it was made, if the format says so.
///
/// # Errors
/// When it is not a JSON object, or has too many entries.
pub(super) fn read(body: &[u8]) -> Result<(Catalog, Option<u64>), Error> {
    let body = std::str::from_utf8(body).map_err(Error::custom)?;
    let mut answer = Answer::default();
    members(body, |name, value| answer.add(&name, value))?;
    answer.into_parts().map_err(too_many)
}

/// Reads either wire format from JSON.
impl<'de> Deserialize<'de> for Catalog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(read(json.get().as_bytes()).map_err(D::Error::custom)?.0)
    }
}

/// A catalog answer in either format.
#[derive(Default)]
struct Answer<'a> {
    links: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    hosts: Vec<(Cow<'a, str>, Vec<HostEntry<'a>>)>,
    active: Vec<(String, String)>,
    services: Vec<ServiceEntry<'a>>,
    timestamp: Option<u64>,
    counted: usize,
}

/// One host of a service.
struct HostEntry<'a> {
    host: Cow<'a, str>,
    priority: i64,
    /// From the entry's id, `urn:{federation}:{cluster}:{service}`.
    service: Box<str>,
}

struct ServiceEntry<'a> {
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    urls: Vec<(Cow<'a, str>, i64)>,
}

impl<'a> Answer<'a> {
    fn add(&mut self, name: &str, value: &'a RawValue) -> Result<(), TooMany> {
        match name {
            "serviceLinks" => members_of(value, |name, link| {
                self.links.extend(text(link).map(|link| (name, link)));
                at_most(MOST_SERVICES, self.links.len())
            }),
            "hostCatalog" => members_of(value, |key, list| {
                let entries = read_hosts(list, &mut self.counted)?;
                self.hosts.push((key, entries));
                at_most(MOST_SERVICES, self.hosts.len())
            }),
            "activeServices" => {
                self.active = pairs(value)?;
                Ok(())
            }
            "services" => items_of(value, |entry| {
                self.services.extend(read_service(entry, &mut self.counted)?);
                at_most(MOST_SERVICES, self.services.len())
            }),
            "timestamp" => {
                self.timestamp = timestamp(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The catalog, and when it was made, if the format says so.
    fn into_parts(self) -> Result<(Catalog, Option<u64>), TooMany> {
        let catalog = if self.services.is_empty() {
            from_hostmap(&self.links, &self.hosts)?
        } else {
            from_v2(&self.active, self.services)
        };
        Ok((catalog, self.timestamp))
    }
}

fn at_most(limit: usize, count: usize) -> Result<(), TooMany> {
    if count > limit { Err(TooMany) } else { Ok(()) }
}

fn read_hosts<'a>(list: &'a RawValue, counted: &mut usize) -> Result<Vec<HostEntry<'a>>, TooMany> {
    let mut hosts = Vec::new();
    items_of(list, |entry| {
        *counted += 1;
        at_most(MOST_HOSTS, *counted)?;
        let (mut host, mut priority, mut service) = (None, 0, "".into());
        members_of(entry, |name, value| {
            match &*name {
                "host" => host = text(value),
                "priority" => priority = integer(value).unwrap_or_default(),
                "id" => {
                    let id = text(value).unwrap_or_default();
                    service = id.splitn(4, ':').nth(3).unwrap_or_default().into();
                }
                _ => {}
            }
            Ok(())
        })?;
        hosts.extend(host.map(|host| HostEntry { host, priority, service }));
        Ok(())
    })?;
    Ok(hosts)
}

fn read_service<'a>(
    entry: &'a RawValue,
    counted: &mut usize,
) -> Result<Option<ServiceEntry<'a>>, TooMany> {
    let (mut id, mut name, mut urls) = (None, None, Vec::new());
    members_of(entry, |field, value| {
        match &*field {
            "id" => id = text(value),
            "serviceName" => name = text(value),
            "serviceUrls" => items_of(value, |url| {
                *counted += 1;
                at_most(MOST_HOSTS, *counted)?;
                let (mut base, mut priority) = (None, 0);
                members_of(url, |field, value| {
                    match &*field {
                        "baseUrl" => base = text(value),
                        "priority" => priority = integer(value).unwrap_or_default(),
                        _ => {}
                    }
                    Ok(())
                })?;
                urls.extend(base.map(|base| (base, priority)));
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(id.zip(name).map(|(id, name)| ServiceEntry { id, name, urls }))
}

fn from_hostmap(
    links: &[(Cow<'_, str>, Cow<'_, str>)],
    hosts: &[(Cow<'_, str>, Vec<HostEntry<'_>>)],
) -> Result<Catalog, TooMany> {
    let mut clusters = Unique::default();
    for entry in hosts.iter().flat_map(|(_, list)| list) {
        if &*entry.service == MOBIUS {
            clusters.add(&entry.host);
        }
    }
    // The first list of a host is used.
    let lists: HashMap<&str, &[HostEntry<'_>]> =
        hosts.iter().rev().map(|(key, list)| (&**key, &**list)).collect();
    let linked: HashSet<&str> = links.iter().map(|(name, _)| &**name).collect();
    let mut services = Vec::with_capacity(links.len());
    let mut counted = 0;
    for (name, link) in links {
        // A link that is not a URL counts as missing.
        let Ok(url) = Url::parse(link) else { continue };
        let list = lists.get(&*authority(&url)).copied().unwrap_or_default();
        let list = &list[..list.len().min(MOST_ALTERNATIVES)];
        // The service is part of the hosts' ids. If the name there differs, the first entry
        // decides, unless it belongs to another service on the same host.
        let first = list.first().map_or("", |entry| &*entry.service);
        let named = list.iter().any(|entry| *entry.service == **name);
        let word = if named || linked.contains(first) { name } else { first };
        let usable = list.iter().filter(|entry| &*entry.service == word);
        let candidates = usable.filter_map(|entry| {
            let priority = rank(entry.priority)?;
            Some(Candidate { url: with_host(&url, &entry.host)?.as_str().into(), priority })
        });
        let mut urls: Vec<_> = candidates.collect();
        if urls.is_empty() {
            urls.push(Candidate { url: url.as_str().into(), priority: 1 });
        }
        counted += urls.len();
        at_most(MOST_HOSTS, counted)?;
        urls.sort_by_key(|candidate| candidate.priority);
        let name: Box<str> = (**name).into();
        services.push(Service { id: name.clone(), name, urls, active: true });
    }
    let mut lists: Vec<_> = hosts
        .iter()
        .map(|(key, list)| {
            let word = list.first().map_or("", |entry| &*entry.service);
            let usable = list.iter().filter(|entry| &*entry.service == word);
            let mut hosts: Vec<_> = usable
                .filter_map(|entry| Some((rank(entry.priority)?, Box::from(&*entry.host))))
                .collect();
            hosts.sort_by_key(|(priority, _)| *priority);
            hosts.truncate(MOST_ALTERNATIVES);
            let hosts = hosts.into_iter().map(|(_, host)| host).collect();
            HostList { key: (**key).into(), chooses_itself: word == MOBIUS, hosts }
        })
        .collect();
    lists.sort_by(|one, other| one.key.cmp(&other.key));
    lists.dedup_by(|later, first| later.key == first.key);
    Ok(Catalog::new(services, lists, clusters.list))
}

fn from_v2(active: &[(String, String)], entries: Vec<ServiceEntry<'_>>) -> Catalog {
    let mut services: Vec<Service> = Vec::with_capacity(entries.len());
    let mut clusters = Unique::default();
    let named: HashSet<&str> = active.iter().map(|(name, _)| &**name).collect();
    let chosen: HashSet<(&str, &str)> = active.iter().map(|(name, id)| (&**name, &**id)).collect();
    let mut seen = HashSet::new();
    for ServiceEntry { id, name, mut urls } in entries {
        urls.retain(|(url, _)| Url::parse(url).is_ok());
        if name == MOBIUS {
            for (url, _) in &*urls {
                clusters.add(cluster_host(url));
            }
        }
        let usable = urls.into_iter().filter_map(|(url, priority)| {
            Some(Candidate { url: url.into(), priority: rank(priority)? })
        });
        let mut urls: Vec<_> = usable.collect();
        urls.sort_by_key(|candidate| candidate.priority);
        urls.truncate(MOST_ALTERNATIVES);
        // An active id that no service has is ignored; the name alone may identify a service.
        let by_name = id == name && !named.contains(&*name);
        let active = by_name || chosen.contains(&(&*name, &*id));
        // Ids are unique: the first one is used.
        if seen.insert(id.clone()) {
            services.push(Service { name: name.into(), id: id.into(), urls, active });
        }
    }
    Catalog::new(services, Vec::new(), clusters.list)
}

/// Distinct texts, in order of first occurrence.
#[derive(Default)]
struct Unique {
    list: Vec<Box<str>>,
    seen: HashSet<Box<str>>,
}

impl Unique {
    fn add(&mut self, text: &str) {
        if self.seen.insert(text.into()) {
            self.list.push(text.into());
        }
    }
}

/// The cluster host as the reference client writes it: the base URL without scheme and `/api/v1`.
fn cluster_host(base: &str) -> &str {
    let rest = base.strip_prefix("https://").unwrap_or(base);
    rest.strip_suffix("/api/v1").unwrap_or(rest).trim_end_matches('/')
}

/// The priority of a usable host: above zero.
fn rank(priority: i64) -> Option<u16> {
    (priority > 0).then(|| u16::try_from(priority).unwrap_or(u16::MAX))
}

/// Milliseconds since 1970, as text or number.
pub(super) fn timestamp(json: &RawValue) -> Option<u64> {
    integer(json)?.try_into().ok()
}

/// Reads an object of texts, in its order. Values that are not text are skipped.
pub(super) fn pairs(json: &RawValue) -> Result<Vec<(String, String)>, TooMany> {
    let mut pairs = Vec::new();
    members_of(json, |key, value| {
        pairs.extend(text(value).map(|value| (key.into_owned(), value.into_owned())));
        at_most(MOST_SERVICES, pairs.len())
    })?;
    Ok(pairs)
}
