use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use super::{
    Catalog, Hosts,
    model::SerializedCatalog,
    timings::FAILED_FOR,
    wire::{self, MOST_SERVICES},
};
use crate::{
    error::{ErrorKind, HttpError},
    http::HostPolicy,
    lenient::stream::is_too_many,
};

const EXAMPLE: &str = r#"{
    "serviceLinks": {
        "wdm": "https://wdm-a.example/wdm/api/v1",
        "mobius": "https://mobius-us.example/api/v1",
        "sandbox": "https://127.0.0.1:8443/s/",
        "never": "https://never.example/n",
        "mercuryConnectionPartition0": "wss://mercury-a.example/v1",
        "broken": "not a url",
        "nothing": null
    },
    "hostCatalog": {
        "wdm-a.example": [
            {"host": "wdm-a.example", "ttl": -1, "priority": 10, "id": "urn:TEAM:us_a:wdm"},
            {"host": "wdm-b.example", "ttl": -1, "priority": 5, "id": "urn:TEAM:us_a:wdm"},
            {"host": "wdm-never.example", "ttl": -1, "priority": -1, "id": "urn:TEAM:us_a:wdm"},
            {"host": "other.example", "ttl": -1, "priority": 1, "id": "urn:TEAM:us_a:other"}
        ],
        "mobius-us.example": [
            {"host": "mobius-us.example", "ttl": -1, "priority": 15, "id": "urn:TEAM:us_a:mobius"},
            {"host": "mobius-eu.example", "ttl": -1, "priority": 5, "id": "urn:TEAM:eu_a:mobius"}
        ],
        "again.example": [
            {"host": "mobius-us.example", "ttl": -1, "priority": 1, "id": "urn:TEAM:us_a:mobius"}
        ],
        "127.0.0.1:8443": [
            {"host": "127.0.0.1:9443", "priority": 1, "id": "urn:TEAM:us_a:sandbox"}
        ],
        "never.example": [
            {"host": "never.example", "priority": 0, "id": "urn:TEAM:us_a:never"}
        ],
        "mercury-a.example": [
            {"host": "mercury-a.example", "priority": 5, "id": "urn:TEAM:us_a:mercury"},
            {"host": "mercury-b.example", "priority": 6, "id": "urn:TEAM:us_a:mercury"}
        ]
    },
    "format": "hostmap"
}"#;

const SECOND: &str = r#"{
    "activeServices": {"wdm": "urn:TEAM:us_a:wdm", "mobius": "urn:TEAM:us_a:mobius",
                       "lost": "urn:TEAM:nowhere:lost"},
    "services": [
        {"id": "urn:TEAM:us_a:wdm", "serviceName": "wdm", "serviceUrls": [
            {"baseUrl": "https://wdm-c.example/wdm/api/v1", "priority": -1},
            {"baseUrl": "https://wdm-2.example/wdm/api/v1", "priority": 2},
            {"baseUrl": "https://wdm-1.example/wdm/api/v1", "priority": 1}]},
        {"id": "urn:TEAM:eu_a:wdm", "serviceName": "wdm", "serviceUrls": [
            {"baseUrl": "https://wdm-eu.example/wdm/api/v1", "priority": 1}]},
        {"id": "urn:TEAM:us_a:mobius", "serviceName": "mobius", "serviceUrls": [
            {"baseUrl": "https://mobius-us.example/api/v1", "priority": 2},
            {"baseUrl": "https://mobius-eu.example/api/v1", "priority": 1}]},
        {"id": "urn:TEAM:ca_a:mobius", "serviceName": "mobius", "serviceUrls": [
            {"baseUrl": "https://mobius-us.example/api/v1", "priority": 1}]},
        {"id": "urn:TEAM:us_a:never", "serviceName": "never", "serviceUrls": [
            {"baseUrl": "https://never.example/n", "priority": 0}]},
        {"id": "u2c", "serviceName": "u2c", "serviceUrls": [
            {"baseUrl": "https://u2c.example/u2c", "priority": 1}]}
    ],
    "timestamp": "1700000000000",
    "orgId": "o",
    "format": "U2CV2"
}"#;

fn example() -> Catalog {
    serde_json::from_str(EXAMPLE).unwrap()
}

fn second() -> Catalog {
    serde_json::from_str(SECOND).unwrap()
}

fn parsed(url: &str) -> Url {
    Url::parse(url).unwrap()
}

/// The hosts of a client with this catalog.
fn hosts(catalog: Catalog) -> Hosts {
    let hosts = Hosts::default();
    hosts.set_catalog(Arc::new(catalog));
    hosts
}

#[test]
fn a_service_is_on_its_best_host() {
    let url = |catalog: Catalog, name: &str| catalog.service_url(name).unwrap().to_string();
    assert_eq!(url(example(), "wdm"), "https://wdm-b.example/wdm/api/v1");
    assert_eq!(url(example(), "sandbox"), "https://127.0.0.1:9443/s/");
    assert_eq!(url(example(), "mobius"), "https://mobius-eu.example/api/v1");
    assert_eq!(url(example(), "mercuryConnectionPartition0"), "wss://mercury-a.example/v1");
    // Without a usable host, the default is used.
    assert_eq!(url(example(), "never"), "https://never.example/n");
    assert_eq!(url(second(), "wdm"), "https://wdm-1.example/wdm/api/v1");
    assert_eq!(url(second(), "u2c"), "https://u2c.example/u2c");
}

#[test]
fn what_is_not_listed_is_an_error_that_names_it() {
    for (catalog, name) in [
        (example(), "nothing"),
        (example(), "broken"),
        (example(), "unheard"),
        (second(), "lost"),
        (second(), "never"),
    ] {
        let error = catalog.service_url(name).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(error.kind(), ErrorKind::Forbidden);
    }
}

#[test]
fn mobius_clusters_keep_the_order_of_the_catalog() {
    let expected = ["mobius-us.example", "mobius-eu.example"];
    assert_eq!(example().mobius_clusters(), expected);
    assert_eq!(second().mobius_clusters(), expected);
}

#[test]
fn knows_its_hosts_and_ports() {
    for host in ["wdm-a.example", "wdm-b.example", "mobius-eu.example"] {
        assert!(example().lists(host, 443), "{host}");
        assert!(!example().lists(host, 8443), "{host}");
    }
    assert!(example().lists("127.0.0.1", 8443) && example().lists("127.0.0.1", 9443));
    assert!(!example().lists("127.0.0.1", 443));
    assert!(second().lists("wdm-2.example", 443) && second().lists("wdm-eu.example", 443));
    assert!(!example().lists("example", 443) && !second().lists("wdm-a.example", 443));
}

#[test]
fn a_url_belongs_to_the_service_with_the_longest_address() {
    let catalog: Catalog = serde_json::from_str(
        r#"{"serviceLinks": {"idbroker": "https://one.example/", "wdm": "https://one.example/wdm/api/v1",
            "wdm2": "https://one.example/wdm/api/v10"}}"#,
    )
    .unwrap();
    let service = |url| catalog.service_of(&parsed(url)).map(str::to_owned);
    assert_eq!(service("https://one.example/wdm/api/v1/devices/1?x=y").as_deref(), Some("wdm"));
    assert_eq!(service("https://one.example/wdm/api/v10").as_deref(), Some("wdm2"));
    assert_eq!(service("https://one.example/idb/oauth2").as_deref(), Some("idbroker"));
    for other in ["https://one.example:8443/", "http://one.example/", "https://two.example/"] {
        assert_eq!(service(other), None, "{other}");
    }
    let other = "https://wdm-a.example/wdm/api/v1/devices/1";
    assert_eq!(example().service_of(&parsed(other)), Some("wdm"));
}

#[test]
fn row_14_one_rule_for_services_and_urls_with_priorities_and_failed_hosts() {
    let hosts = hosts(example());
    let catalog = example();
    let service = || hosts.service_url(&catalog, "wdm").unwrap().host_str().unwrap().to_owned();
    let device = parsed("https://wdm-a.example/wdm/api/v1/devices/1?includeUpstreamServices=all");
    let place = || hosts.place(&device);
    // A URL from a service stays on its host while that host works.
    assert_eq!((service().as_str(), place()), ("wdm-b.example", device.clone()));

    hosts.mark_failed(&device);
    let moved = device.as_str().replace("wdm-a", "wdm-b");
    assert_eq!((service().as_str(), place().as_str()), ("wdm-b.example", &*moved));

    // When all have failed, all count as good again, and the best one is used.
    hosts.mark_failed(&parsed("https://wdm-b.example/wdm/api/v1"));
    assert_eq!(service(), "wdm-b.example");
    assert_eq!(place(), device);
}

#[test]
fn a_url_of_a_host_that_is_not_in_its_own_list_goes_where_the_list_says() {
    let hosts = hosts(example());
    let url = |host| format!("https://{host}/s/x?y=z");
    assert_eq!(hosts.place(&parsed(&url("127.0.0.1:8443"))).as_str(), url("127.0.0.1:9443"));
    // Hosts that are not in the catalog do not change.
    let stranger = parsed("https://stranger.example/s/x");
    assert_eq!(hosts.place(&stranger), stranger);
}

#[test]
fn the_u2cv2_format_moves_a_url_by_its_service() {
    let hosts = hosts(second());
    let device = parsed("https://wdm-1.example/wdm/api/v1/devices/1?a=b");
    assert_eq!(hosts.place(&device), device);
    hosts.mark_failed(&device);
    let moved = "https://wdm-2.example/wdm/api/v1/devices/1?a=b";
    assert_eq!(hosts.place(&device).as_str(), moved);
    assert_eq!(hosts.service_url(&second(), "wdm").unwrap().host_str(), Some("wdm-2.example"));
}

#[test]
fn sockets_move_like_requests_and_servers_of_lines_do_not() {
    let hosts = hosts(example());
    let socket = parsed("wss://mercury-a.example/v1/apps/wx2/registrations/1/messages");
    hosts.mark_failed(&socket);
    assert_eq!(hosts.place(&socket).host_str(), Some("mercury-b.example"));
    // The line's own machine decides which server it registers with.
    for catalog in [example(), second()] {
        let hosts = self::hosts(catalog);
        let server = parsed("https://mobius-us.example/api/v1/calling/web/device");
        hosts.mark_failed(&server);
        assert_eq!(hosts.place(&server), server);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_host_is_avoided_for_a_while() {
    let hosts = hosts(example());
    let device = parsed("https://wdm-a.example/wdm/api/v1/devices/1");
    hosts.mark_failed(&device);
    let almost = FAILED_FOR.checked_sub(std::time::Duration::from_millis(1));
    tokio::time::advance(almost.unwrap()).await;
    assert_ne!(hosts.place(&device), device);
    tokio::time::advance(std::time::Duration::from_millis(1)).await;
    assert_eq!(hosts.place(&device), device);
}

#[test]
fn a_network_change_resets_failed_hosts() {
    let hosts = hosts(example());
    let device = parsed("https://wdm-a.example/wdm/api/v1/devices/1");
    hosts.mark_failed(&device);
    assert_ne!(hosts.place(&device), device);
    hosts.forget_failures();
    assert_eq!(hosts.place(&device), device);
}

#[test]
fn only_host_failures_count() {
    let device = parsed("https://wdm-a.example/wdm/api/v1/devices/1");
    let network = |host: &str| HttpError::Network { host: host.to_owned(), reason: String::new() };
    let timeout = |seconds| HttpError::Timeout {
        host: "wdm-a.example".to_owned(),
        after: std::time::Duration::from_secs(seconds),
    };
    for (error, moves) in [
        (network("wdm-a.example"), true),
        (network("behind-a-redirect.example"), false),
        (timeout(30), true),
        (timeout(5), false),
        (HttpError::Redirect { host: "wdm-a.example".to_owned(), reason: "" }, false),
    ] {
        let hosts = hosts(example());
        let shown = error.to_string();
        hosts.observe(&device, Some(&error));
        assert_eq!(hosts.place(&device) != device, moves, "{shown}");
    }
}

#[test]
fn clusters_change_when_all_are_known() {
    let active = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect();
        second().with_active(&pairs)
    };
    let moved = active(&[("wdm", "urn:TEAM:eu_a:wdm")]).unwrap();
    assert_eq!(moved.service_url("wdm").unwrap().host_str(), Some("wdm-eu.example"));
    assert!(active(&[("wdm", "urn:TEAM:eu_a:wdm"), ("mobius", "urn:TEAM:x:mobius")]).is_none());
    assert!(active(&[("other", "urn:TEAM:eu_a:wdm")]).is_none());
}

#[test]
fn addresses_that_may_not_be_listed_are_removed() {
    for catalog in [example(), second()] {
        let whole = catalog.shared();
        let same = Arc::clone(&whole).restricted("https", |_| true);
        assert!(Arc::ptr_eq(&whole, &same), "nothing to leave out");
        let good = |url: &Url| {
            let host = url.host_str().unwrap_or_default();
            host != "wdm-b.example" && host != "wdm-1.example" && !host.starts_with("mobius")
        };
        let rest = Arc::clone(&whole).restricted("https", good);
        let wdm = rest.service_url("wdm").unwrap();
        assert!(["wdm-a.example", "wdm-2.example"].contains(&wdm.host_str().unwrap()), "{wdm}");
        assert!(rest.service_url("mobius").is_err() && rest.mobius_clusters().is_empty());
        for host in ["wdm-b.example", "wdm-1.example", "mobius-us.example", "mobius-eu.example"] {
            assert!(!rest.lists(host, 443), "{host}");
        }
        let hosts = Hosts::default();
        hosts.set_catalog(rest);
        let device = parsed("https://wdm-a.example/wdm/api/v1/devices/1");
        hosts.mark_failed(&device);
        assert_eq!(hosts.place(&device), device, "no way to what was left out");
        let nothing = whole.restricted("https", |_| false);
        assert_eq!((nothing.services().count(), nothing.lists("wdm-a.example", 443)), (0, false));
    }
}

#[test]
fn equal_catalogs_are_held_once_also_when_one_was_saved() {
    for catalog in [example(), second()] {
        let kept = serde_json::to_string(&catalog).unwrap();
        let kept: SerializedCatalog = serde_json::from_str(&kept).unwrap();
        let first = catalog.shared();
        assert!(Arc::ptr_eq(&first, &Catalog::from(kept).shared()));
    }
}

#[test]
fn the_u2cv2_format_has_a_timestamp() {
    assert_eq!(wire::read(SECOND.as_bytes()).unwrap().1, Some(1_700_000_000_000));
    assert_eq!(wire::read(EXAMPLE.as_bytes()).unwrap().1, None);
    let number = SECOND.replace("\"1700000000000\"", "1700000000000");
    assert_eq!(wire::read(number.as_bytes()).unwrap().1, Some(1_700_000_000_000));
}

#[test]
fn an_empty_or_strange_answer_is_no_panic() {
    for text in ["{}", r#"{"hostCatalog":{"a":[]}}"#, r#"{"serviceLinks":{"a":"data:x"}}"#] {
        let catalog: Catalog = serde_json::from_str(text).unwrap();
        let hosts = hosts(catalog);
        let url = parsed("https://a/b");
        hosts.mark_failed(&url);
        assert_eq!(hosts.place(&url), url, "{text}");
    }
    for text in ["[]", "7", "", "{", "{\"serviceLinks\":}"] {
        assert!(serde_json::from_str::<Catalog>(text).is_err(), "{text}");
    }
}

#[test]
fn one_odd_entry_does_not_affect_others() {
    let odd = r#"{"serviceLinks": {"wdm": "https://wdm.example/w", "a": 7, "b": ["x"], "c": {}, "d": ""},
        "hostCatalog": {"wdm.example": [null, 7, [], {}, {"host": 1}, {"host": "x/y", "priority": 1,
            "id": "u:t:c:wdm"}, {"host": "other.example", "priority": "3", "id": "u:t:c:wdm", "id": "u:t:c:wdm"},
            {"host": "late.example", "priority": 9, "id": ["u"]}], "n": null, "m": {}},
        "activeServices": 7, "services": null, "timestamp": {}, "unheard": [{"of": [[]]}]}"#;
    let catalog: Catalog = serde_json::from_str(odd).unwrap();
    assert_eq!(catalog.service_url("wdm").unwrap().as_str(), "https://other.example/w");
    assert_eq!(catalog.services().count(), 1);
    let odd = r#"{"services": [null, 7, {}, {"id": 1, "serviceName": "x"}, {"id": "wdm", "serviceName": "wdm",
        "serviceUrls": [null, {"baseUrl": 7}, {"priority": 1}, {"baseUrl": "https://wdm.example/w", "priority": 1.5},
            {"baseUrl": "https://wdm.example/w", "priority": 2}]}, {"id": "y", "serviceName": "y", "serviceUrls": {}}],
        "activeServices": {"wdm": 7, "z": null}}"#;
    let catalog: Catalog = serde_json::from_str(odd).unwrap();
    assert_eq!(catalog.service_url("wdm").unwrap().as_str(), "https://wdm.example/w");
}

/// Odd values to put anywhere.
fn odd_values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        ".{0,9}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[{"host": [7]}]])),
    ]
}

/// Every place in a value, as a JSON pointer.
fn places(value: &Value, at: &str, places: &mut Vec<String>) {
    let mut below = |name: &str, value: &Value| {
        let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        places.push(at.clone());
        self::places(value, &at, places);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| below(&at.to_string(), value));
        }
        _ => {}
    }
}

proptest! {
    /// Whatever one field holds, services that it does not belong to keep their URLs.
    #[test]
    fn one_field_never_destroys_the_rest(at in any::<prop::sample::Index>(), odd in odd_values()) {
        for (text, whole) in [(EXAMPLE, example()), (SECOND, second())] {
            let mut value: Value = serde_json::from_str(text).unwrap();
            let mut all = Vec::new();
            places(&value, "", &mut all);
            let place = &all[at.index(all.len())];
            *value.pointer_mut(place).unwrap() = odd.clone();
            let (catalog, _) = wire::read(value.to_string().as_bytes()).unwrap();
            let top_level = place.matches('/').count() == 1;
            for name in ["wdm", "sandbox", "u2c", "mercuryConnectionPartition0"] {
                // A neighbouring field may describe other services, which it names.
                let may_change = top_level || place.contains(name)
                    || place.contains(&*host_of(&whole, name))
                    || place.starts_with("/services/") || place.starts_with("/activeServices");
                if !may_change {
                    prop_assert_eq!(
                        catalog.service_url(name).ok(), whole.service_url(name).ok(), "{}", place
                    );
                }
            }
        }
    }
}

/// The key of the list that a service's host is in.
fn host_of(catalog: &Catalog, service: &str) -> String {
    let url = catalog.service_url(service);
    let host = url.ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    // `wdm-b.example` is in the list of `wdm-a.example`, and `127.0.0.1:9443` in that of its neighbour.
    match host.rsplit_once('-') {
        Some((name, _)) => format!("{name}-a"),
        None => host,
    }
}

#[test]
fn a_large_catalog_is_read_in_linear_time_and_a_huge_one_is_refused() {
    let list = |count: usize, item: &dyn Fn(usize) -> String| {
        (0..count).map(item).collect::<Vec<_>>().join(",")
    };
    let host = |n: usize, service: &str| {
        format!(r#"{{"host":"h{n}.example","priority":1,"id":"u:t:c:{service}"}}"#)
    };
    let link = |n: usize| format!(r#""s{n}":"https://h{n}.example/s""#);
    let hostmap = |links: String, hosts: String| {
        format!(r#"{{"serviceLinks":{{{links}}},"hostCatalog":{{{hosts}}}}}"#).into_bytes()
    };
    let started = Instant::now();
    let keys = |count| list(count, &|n| format!(r#""h{n}.example":[{}]"#, host(n, "mobius")));
    let (catalog, _) = wire::read(&hostmap(list(3_000, &link), keys(3_000))).unwrap();
    assert_eq!((catalog.services().count(), catalog.mobius_clusters().len()), (3_000, 3_000));
    // All services on one host that has far too many alternatives.
    let one = |n: usize| format!(r#""s{n}":"https://h0.example/""#);
    let wide = format!(r#""h0.example":[{}]"#, list(10_000, &|n| host(n, "x")));
    assert!(is_too_many(&wire::read(&hostmap(list(3_000, &one), wide)).unwrap_err()));
    let (many, url) = (60_000, |_| r#"{"baseUrl":"https://x","priority":1}"#.to_owned());
    for huge in [
        hostmap(list(many, &link), String::new()),
        hostmap(String::new(), keys(many)),
        hostmap(String::new(), format!(r#""h":[{}]"#, list(many, &|n| host(n, "x")))),
        format!(
            r#"{{"services":[{}]}}"#,
            list(many, &|_| r#"{"id":"x","serviceName":"y"}"#.into())
        )
        .into(),
        format!(
            r#"{{"services":[{{"id":"x","serviceName":"y","serviceUrls":[{}]}}]}}"#,
            list(many, &url)
        )
        .into(),
        format!(r#"{{"activeServices":{{{}}}}}"#, list(many, &|n| format!(r#""s{n}":"x""#))).into(),
    ] {
        assert!(is_too_many(&wire::read(&huge).unwrap_err()));
    }
    // Deep or wide values in unused fields are neither kept nor counted.
    let deep = format!(
        r#"{{"unheard": {}{}, "serviceLinks": {{"a": "https://a.example"}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(wire::read(deep.as_bytes()).unwrap().0.service_url("a").is_ok());
    // A quadratic reader takes minutes; the limit leaves room for a busy machine.
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn the_largest_catalog_that_is_read_is_the_limit() {
    for (count, is_read) in [(MOST_SERVICES, true), (MOST_SERVICES + 1, false)] {
        let links: Vec<_> = (0..count).map(|n| format!(r#""s{n}":"https://h.example""#)).collect();
        let text = format!(r#"{{"serviceLinks":{{{}}}}}"#, links.join(","));
        assert_eq!(wire::read(text.as_bytes()).is_ok(), is_read, "{count}");
    }
}

/// A hostmap with one service, whose host has this list.
fn wdm(list: &str) -> Catalog {
    let text = format!(
        r#"{{"serviceLinks": {{"wdm": "https://a.example/w"}}, "hostCatalog": {{"a.example": [{list}]}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_service_is_at_the_hosts_that_name_it_wherever_they_stand_in_the_list() {
    let catalog = wdm(r#"{"host": "b.example", "priority": 1, "id": "u:t:c:other"},
           {"host": "c.example", "priority": 2, "id": "u:t:c:wdm"}"#);
    assert_eq!(catalog.service_url("wdm").unwrap().host_str(), Some("c.example"));
}

#[test]
fn a_host_without_a_priority_above_zero_is_not_used() {
    let catalog = wdm(r#"{"host": "b.example", "priority": 0, "id": "u:t:c:wdm"},
           {"host": "c.example", "priority": 2, "id": "u:t:c:wdm"}"#);
    assert_eq!(catalog.service_url("wdm").unwrap().host_str(), Some("c.example"));
}

#[test]
fn what_belongs_to_no_service_moves_among_the_hosts_of_the_first_one_listed() {
    let hosts = hosts(wdm(r#"{"host": "a.example", "priority": 1, "id": "u:t:c:wdm"},
           {"host": "b.example", "priority": 1, "id": "u:t:c:other"},
           {"host": "c.example", "priority": 2, "id": "u:t:c:wdm"}"#));
    let url = parsed("https://a.example/elsewhere");
    hosts.mark_failed(&url);
    assert_eq!(hosts.place(&url).as_str(), "https://c.example/elsewhere");
}

#[test]
fn of_two_services_at_one_address_the_first_is_the_one() {
    let text = r#"{"serviceLinks": {"one": "https://a.example/s", "two": "https://a.example/s"}}"#;
    let catalog: Catalog = serde_json::from_str(text).unwrap();
    assert_eq!(catalog.service_of(&parsed("https://a.example/s/1")), Some("one"));
}

#[test]
fn a_cluster_that_is_not_active_is_not_used() {
    let text = SECOND.replace(r#""priority": 0"#, r#""priority": 1"#);
    let catalog: Catalog = serde_json::from_str(&text).unwrap();
    assert!(catalog.service_url("never").is_err(), "nobody says that it is the one to use");
}

#[test]
fn a_list_is_left_out_with_its_name_or_with_its_last_host() {
    let text = r#"{"serviceLinks": {}, "hostCatalog": {
        "good.example": [{"host": "other.example", "priority": 1, "id": "u:t:c:x"}],
        "bad.example": [{"host": "good.example", "priority": 1, "id": "u:t:c:x"}],
        "empty.example": [{"host": "bad.example", "priority": 1, "id": "u:t:c:x"}]}}"#;
    let catalog: Catalog = serde_json::from_str(text).unwrap();
    let rest = catalog.shared().restricted("https", |url| url.host_str() != Some("bad.example"));
    let hosts = Hosts::default();
    hosts.set_catalog(Arc::clone(&rest));
    for (host, listed) in [
        ("good.example", true),
        ("other.example", true),
        ("bad.example", false),
        ("empty.example", false),
    ] {
        assert_eq!(rest.lists(host, 443), listed, "{host}");
    }
    let moved = hosts.place(&parsed("https://good.example/x"));
    assert_eq!(moved.as_str(), "https://other.example/x");
}

#[test]
fn the_domain_of_the_contact_center_is_a_name_and_not_an_address() {
    let text = r#"{"serviceLinks": {"wcc-calling-rtms-domain": "https://rtms.example/",
        "wdm": "https://a.example/w"}}"#;
    let catalog: Catalog = serde_json::from_str(text).unwrap();
    assert_eq!(catalog.contact_center_domain(), Some("rtms.example"));
    let kept: SerializedCatalog =
        serde_json::from_str(&serde_json::to_string(&catalog).unwrap()).unwrap();
    let rest = catalog.shared().restricted("https", |url| url.host_str() == Some("a.example"));
    assert!(rest.service_url("wcc-calling-rtms-domain").is_err());
    assert_eq!(rest.contact_center_domain(), Some("rtms.example"));
    // Also of one that was kept after that.
    let text = serde_json::to_string(&*rest).unwrap();
    let again: SerializedCatalog = serde_json::from_str(&text).unwrap();
    for kept in [kept, again] {
        assert_eq!(Catalog::from(kept).contact_center_domain(), Some("rtms.example"));
    }
    assert_eq!(example().contact_center_domain(), None);
}
