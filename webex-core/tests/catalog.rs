//! The service catalog against the sandbox: both formats, several hosts, saved and refreshed.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use support::trusting;
use tokio::time::Instant;
use webex_auth::{Clock, MemoryStore, Moment, ProviderError, Store, Tokens};
use webex_core::{
    CatalogError, CatalogFormat, CatalogSelector, Credentials, Endpoints, ErrorKind, LinkEvent,
    Request, Webex, WebexBuilder, WebexDomains, link::timings::SLEEP_CHECK_INTERVAL,
};
use webex_sandbox::{CatalogHost, NewUser, Sandbox, U2c, Wdm};

/// The sandbox under each of the names that its catalogs use here.
fn builder(sandbox: &Sandbox) -> WebexBuilder {
    let trusted = [alias(sandbox), DEAD.to_owned()].map(|place| format!("https://{place}"));
    let cloud = |cloud: Endpoints, origin: &String| cloud.trusting(origin).unwrap();
    support::builder(sandbox).endpoints(trusted.iter().fold(support::cloud(sandbox), cloud))
}

fn client(sandbox: &Sandbox) -> Webex {
    builder(sandbox).build().unwrap()
}

fn with_format(sandbox: &Sandbox, format: CatalogFormat) -> Webex {
    builder(sandbox).catalog_format(format).build().unwrap()
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

fn kept(sandbox: &Sandbox, store: &Arc<dyn Store>) -> Webex {
    builder(sandbox).state_store(Arc::clone(store), "me").build().unwrap()
}

fn fetched(sandbox: &Sandbox) -> usize {
    sandbox.requests().of(U2c::postauth()).answered(200).count()
}

/// The saved catalog of the user `me`, once there is one.
async fn saved(store: &Arc<dyn Store>) -> Value {
    loop {
        if let Some(text) = store.load("me:catalog").await.unwrap() {
            return serde_json::from_str(text.expose_secret()).unwrap();
        }
        tokio::task::yield_now().await;
    }
}

async fn save(store: &Arc<dyn Store>, value: &Value) {
    store.save("me:catalog", SecretString::from(value.to_string())).await.unwrap();
}

/// Seconds since 1970, this many hours ago.
fn hours_ago(hours: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - hours * 3600
}

/// A port where nobody listens, on a host of its own in the catalog.
const DEAD: &str = "127.0.0.1:1";

/// The sandbox under another name.
fn alias(sandbox: &Sandbox) -> String {
    format!("localhost:{}", sandbox.origin().port().unwrap())
}

#[tokio::test]
async fn row_11_a_refused_selector_is_reported_and_leaves_nothing_behind() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    sandbox.fail(U2c::limited()).with(400).body(json!({"message": "unknown org"})).once();
    let selector = CatalogSelector::Org("wrong".to_owned());
    let error = webex.limited_catalog(&selector).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().contains("unknown org"), "{error}");
    // Later requests work, for this catalog and for the other.
    for selector in [
        selector,
        CatalogSelector::Email("Ann@Example.com".to_owned()),
        CatalogSelector::User("u".to_owned()),
        CatalogSelector::Nearest,
    ] {
        let catalog = webex.limited_catalog(&selector).await.unwrap();
        assert!(catalog.service_url("idbroker").is_ok());
        assert_eq!(catalog.service_url("wdm").unwrap_err().kind(), ErrorKind::Forbidden);
        let requests = sandbox.requests().of(U2c::limited());
        assert_eq!(requests.last().unwrap().header("authorization"), None);
    }
    assert!(webex.ready().await.unwrap().service_url("wdm").is_ok());
}

#[tokio::test]
async fn row_11_a_wait_that_is_given_up_does_not_block_the_next() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let fault = sandbox.fail(U2c::postauth()).hang().once();
    let waiting = tokio::spawn({
        let webex = webex.clone();
        async move { webex.ready().await.map(drop) }
    });
    sandbox.wait_for(|_| fault.fired() == 1).await.unwrap();
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    webex.ready().await.unwrap();
}

#[tokio::test]
async fn row_12_every_waiter_gets_the_cause_and_the_next_tries_again() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    sandbox
        .fail(U2c::postauth())
        .delay(Duration::from_millis(100))
        .with(503)
        .body(json!({"message": "the catalog is at lunch"}))
        .once();
    let waiters: Vec<_> = (0..8)
        .map(|_| {
            let webex = webex.clone();
            tokio::spawn(async move { webex.service_url("wdm").await })
        })
        .collect();
    for waiter in waiters {
        let error = waiter.await.unwrap().unwrap_err();
        assert!(matches!(error, CatalogError::Fetch(_)), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Server);
        assert!(error.to_string().contains("at lunch"), "{error}");
    }
    assert_eq!(sandbox.requests().of(U2c::postauth()).count(), 1);
    webex.ready().await.unwrap();
    // The link reports it, too.
    let other = client(&sandbox);
    sandbox.fail(U2c::postauth()).with(503).once();
    let lease = other.link().acquire().await.unwrap();
    assert_eq!(lease.online().await.unwrap_err().kind(), ErrorKind::Server);
}

#[tokio::test]
async fn row_13_the_catalog_is_renewed_when_the_service_says_so() {
    for format in [CatalogFormat::HostMap, CatalogFormat::U2cV2] {
        let sandbox = Sandbox::start().await.unwrap();
        let webex = with_format(&sandbox, format);
        let lease = webex.link().acquire().await.unwrap();
        lease.online().await.unwrap();
        let push = |timestamp: u64| {
            let event = json!({"eventType": "u2c.cache-invalidation",
                               "timestamp": timestamp.to_string()});
            assert_eq!(sandbox.push_event(sandbox.user(), &event), 1);
        };
        let alias = CatalogHost::new(alias(&sandbox), 1);
        sandbox.u2c_policy(|policy| drop(policy.hosts.insert("wdm".to_owned(), vec![alias])));
        let before = webex.service_url("wdm").await.unwrap();
        // Several in a row lead to one request.
        for _ in 0..3 {
            push(4_000_000_000_000);
        }
        sandbox.wait_for(|s| fetched(s) == 2).await.unwrap();
        let renewed = async {
            while webex.service_url("wdm").await.unwrap() == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), renewed).await.unwrap();
        let requests = sandbox.requests().of(U2c::postauth());
        assert!(requests.last().unwrap().query_value("timestamp").is_some(), "past any cache");
        if format == CatalogFormat::U2cV2 {
            // Older than the current catalog: nothing new.
            push(1_700_000_000_000);
            let read = |s: &Sandbox| s.sockets()[0].unacknowledged.is_empty();
            sandbox.wait_for(read).await.unwrap();
            advance(Duration::from_secs(3)).await;
            webex.ready().await.unwrap();
        }
        assert_eq!(fetched(&sandbox), 2);
        lease.release("done").await.unwrap();
    }
}

#[tokio::test]
async fn row_13_the_catalog_is_renewed_when_hosts_keep_failing() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let dead = CatalogHost::new(DEAD, 1);
    sandbox.u2c_policy(|policy| drop(policy.hosts.insert("conversation".to_owned(), vec![dead])));
    for failures in 0..3 {
        assert_eq!(fetched(&sandbox), usize::from(failures > 0));
        let url = webex.service_url("conversation").await.unwrap();
        assert_eq!(url.port(), Some(1));
        sandbox.u2c_policy(|policy| policy.hosts.clear());
        let error = webex.http().send(Request::get(url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network);
    }
    sandbox.wait_for(|s| fetched(s) == 2).await.unwrap();
    let moved = async {
        while webex.service_url("conversation").await.unwrap().port() == Some(1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), moved).await.unwrap();
}

/// What fails may be the network, and then every request does.
#[tokio::test]
async fn row_13_hosts_that_go_on_failing_lead_to_one_request_in_five_minutes() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let dead = CatalogHost::new(DEAD, 1);
    sandbox.u2c_policy(|policy| drop(policy.hosts.insert("conversation".to_owned(), vec![dead])));
    let url = webex.service_url("conversation").await.unwrap();
    let fail = async || {
        for _ in 0..6 {
            assert!(webex.http().send(Request::get(url.clone())).await.is_err());
        }
    };
    fail().await;
    sandbox.wait_for(|s| fetched(s) == 2).await.unwrap();
    for minutes in [0, 4] {
        advance(Duration::from_secs(minutes * 60)).await;
        fail().await;
        webex.ready().await.unwrap();
        assert_eq!(fetched(&sandbox), 2, "{minutes}");
    }
    advance(Duration::from_secs(60)).await;
    fail().await;
    sandbox.wait_for(|s| fetched(s) == 3).await.unwrap();
}

/// Lets time pass at once.
async fn advance(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn row_14_a_failed_host_is_replaced_by_the_next_and_comes_back_in_both_formats() {
    for format in [CatalogFormat::HostMap, CatalogFormat::U2cV2] {
        let sandbox = Sandbox::start().await.unwrap();
        let own = sandbox.origin().authority().to_owned();
        let hosts = vec![
            CatalogHost::new("never.example", -1),
            CatalogHost::new(&own, 10),
            CatalogHost::new(alias(&sandbox), 20),
            CatalogHost::new(DEAD, 5),
        ];
        sandbox.u2c_policy(|policy| drop(policy.hosts.insert("wdm".to_owned(), hosts)));
        let webex = with_format(&sandbox, format);
        let asked = async || {
            let url = webex.service_url("wdm").await.unwrap();
            let url = webex_core::join(&url, "devices");
            let _ = webex.http().send(Request::get(url.clone())).await;
            url.authority().to_owned()
        };
        assert_eq!(asked().await, DEAD, "the smallest priority above zero");
        sandbox.fail(Wdm::list()).with(503).once();
        assert_eq!(asked().await, own, "the next, once the first has failed");
        assert_eq!(asked().await, alias(&sandbox));
        assert_eq!(sandbox.requests().last().unwrap().host(), alias(&sandbox));

        // A URL that a service handed out follows the same rule.
        let device = sandbox.url("/wdm/api/v1/devices");
        webex.http().send(Request::get(device)).await.unwrap();
        assert_eq!(sandbox.requests().last().unwrap().host(), alias(&sandbox));
        // A refusal says nothing about the host.
        sandbox.fail(Wdm::list()).with(403).once();
        asked().await;
        assert_eq!(asked().await, alias(&sandbox));
    }
}

/// A failed host was perhaps one that this network did not lead to.
#[tokio::test]
async fn a_failed_host_has_another_chance_on_another_network_and_after_a_sleep() {
    let sandbox = Sandbox::start().await.unwrap();
    let own = sandbox.origin().authority().to_owned();
    let hosts = vec![CatalogHost::new(DEAD, 5), CatalogHost::new(&own, 10)];
    sandbox.u2c_policy(|policy| drop(policy.hosts.insert("conversation".to_owned(), hosts)));
    let webex = client(&sandbox);
    let place = async || webex.service_url("conversation").await.unwrap().authority().to_owned();
    let fail = async || {
        assert_eq!(place().await, DEAD);
        let url = webex.service_url("conversation").await.unwrap();
        assert!(webex.http().send(Request::get(url)).await.is_err());
        assert_eq!(place().await, own);
    };
    fail().await;
    webex.network_changed();
    fail().await;
    webex.resumed();
    fail().await;
    // Nobody tells of this sleep: much more time passes than anybody meant to wait.
    let mut events = webex.link().subscribe();
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    advance(SLEEP_CHECK_INTERVAL * 6).await;
    while !matches!(events.next().await, Some(LinkEvent::Resumed)) {}
    assert_eq!(place().await, DEAD);
    lease.release("done").await.unwrap();
}

/// tokio's clock, which a test pauses.
#[derive(Debug)]
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Moment {
        let monotonic = self.0.elapsed();
        Moment { wall: UNIX_EPOCH + Duration::from_secs(1_700_000_000) + monotonic, monotonic }
    }
}

/// An application's source of tokens that is not there for a while.
#[tokio::test(start_paused = true)]
async fn another_network_is_another_chance_for_a_token() {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let credentials = Credentials::provider(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Err(ProviderError::temporary("no network")) }
    });
    let tokens = Tokens::builder(credentials).clock(Arc::new(Paused(Instant::now())));
    let webex = Webex::builder().tokens(tokens.build().unwrap()).build().unwrap();
    let next = async || {
        let (begun, before) = (Instant::now(), asked.load(Ordering::Relaxed));
        while asked.load(Ordering::Relaxed) == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    };
    let _ = webex.tokens().token().await;
    // The pauses grow: half to all of 1, 2, 4, 8 s.
    for _ in 0..3 {
        next().await;
    }
    let before = asked.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(asked.load(Ordering::Relaxed), before, "it would wait for longer");
    webex.network_changed();
    let waited = next().await;
    assert!(waited <= Duration::from_millis(1_020), "{waited:?}");
}

#[tokio::test]
async fn a_saved_catalog_saves_the_request() {
    for format in [CatalogFormat::HostMap, CatalogFormat::U2cV2] {
        let sandbox = Sandbox::start().await.unwrap();
        let store = store();
        let make = || {
            let builder = builder(&sandbox).state_store(Arc::clone(&store), "me");
            builder.catalog_format(format).build().unwrap()
        };
        let first = make().ready().await.unwrap();
        let text = saved(&store).await;
        assert!(!text.to_string().contains(sandbox.token()));
        let second = make();
        assert!(Arc::ptr_eq(&first, &second.ready().await.unwrap()));
        assert!(second.service_url("wdm").await.is_ok());
        assert_eq!(sandbox.requests().of(U2c::postauth()).count(), 1);
    }
}

#[tokio::test]
async fn an_old_catalog_is_used_at_once_and_renewed_and_one_past_its_day_is_not_used() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = store();
    kept(&sandbox, &store).ready().await.unwrap();
    let fresh = saved(&store).await;
    let aged = |hours| {
        let mut value = fresh.clone();
        value["fetched"] = hours_ago(hours).into();
        value
    };
    for (hours, waits) in [(11, false), (13, false), (25, true)] {
        save(&store, &aged(hours)).await;
        sandbox.clear_requests();
        let webex = kept(&sandbox, &store);
        // A client waits for a catalog only when it has none.
        let fault = sandbox.fail(U2c::postauth()).hang().always();
        let ready = tokio::time::timeout(Duration::from_millis(300), webex.ready());
        assert_eq!(ready.await.is_err(), waits, "{hours} h");
        let asked = sandbox.requests().of(U2c::postauth()).count();
        if hours == 11 {
            assert_eq!(asked, 0);
        } else {
            sandbox.wait_for(|s| !s.requests().of(U2c::postauth()).is_empty()).await.unwrap();
        }
        fault.clear();
    }
    // After the clock was set back, a catalog seems to be from the future, and its age is unknown.
    let mut future = fresh.clone();
    future["fetched"] = (hours_ago(0) + 7200).into();
    save(&store, &future).await;
    sandbox.clear_requests();
    kept(&sandbox, &store).ready().await.unwrap();
    assert_eq!(fetched(&sandbox), 1);
}

#[tokio::test]
async fn a_kept_catalog_is_for_one_organisation_and_one_cloud() {
    let [sandbox, other] = [Sandbox::start().await.unwrap(), Sandbox::start().await.unwrap()];
    let store = store();
    kept(&sandbox, &store).ready().await.unwrap();
    saved(&store).await;
    // The same name in the store, another cloud.
    kept(&other, &store).ready().await.unwrap();
    assert_eq!(fetched(&other), 1);

    // The same name, a user of another organisation; and one whose token does not name it.
    kept(&sandbox, &store).ready().await.unwrap();
    sandbox.clear_requests();
    for token in ["abc_P0A1_another-organisation", "abc"] {
        let webex = builder(&sandbox)
            .state_store(Arc::clone(&store), "me")
            .credentials(Credentials::access_token(token))
            .build()
            .unwrap();
        assert_eq!(webex.ready().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    }
    assert_eq!(sandbox.requests().of(U2c::postauth()).answered(401).count(), 2);
}

#[tokio::test]
async fn a_service_missing_in_a_saved_catalog_is_requested_again() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = store();
    sandbox.fail(U2c::postauth()).merge(json!({"serviceLinks": {"wdm": null}})).once();
    let first = kept(&sandbox, &store);
    assert!(matches!(first.service_url("wdm").await, Err(CatalogError::NoService(_))));
    saved(&store).await;
    assert!(kept(&sandbox, &store).service_url("wdm").await.is_ok());
    assert_eq!(fetched(&sandbox), 2);
}

#[tokio::test]
async fn the_users_of_an_organisation_hold_one_catalog() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.u2c_policy(|policy| policy.size = 50_000);
    let transport = trusting(&sandbox).build().unwrap();
    let mut catalogs = Vec::new();
    for number in 0..20 {
        let user = sandbox.add_user(NewUser::from(format!("user{number}@example.com").as_str()));
        let mut cloud = support::cloud(&sandbox);
        // The large catalog lists hosts of the Webex domains.
        cloud.domains = WebexDomains::Commercial;
        let webex = builder(&sandbox)
            .endpoints(cloud)
            .transport(transport.clone())
            .credentials(Credentials::access_token(user.token()))
            .build()
            .unwrap();
        catalogs.push(webex.ready().await.unwrap());
    }
    assert!(catalogs.iter().all(|catalog| Arc::ptr_eq(catalog, &catalogs[0])));
    assert!(catalogs[0].services().count() > 50);
}

#[tokio::test]
async fn known_clusters_become_active_and_unknown_ones_cause_a_refresh() {
    let sandbox = Sandbox::start().await.unwrap();
    let there = format!("https://{}/wdm/api/v1", alias(&sandbox));
    let second = json!({"id": "urn:TEAM:eu_a:wdm", "serviceName": "wdm",
        "serviceUrls": [{"baseUrl": there, "priority": 1}]});
    let own = |path: &str| sandbox.url(path);
    let first = json!({"id": "urn:TEAM:us_a:wdm", "serviceName": "wdm",
        "serviceUrls": [{"baseUrl": own("/wdm/api/v1"), "priority": 1}]});
    sandbox
        .fail(U2c::postauth())
        .with(200)
        .body(json!({"activeServices": {"wdm": "urn:TEAM:us_a:wdm"}, "services": [first, second],
                     "timestamp": "1", "format": "U2CV2"}))
        .always();
    let webex = with_format(&sandbox, CatalogFormat::U2cV2);
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    let push = |id: &str| {
        let event = json!({"eventType": "ActiveClusterStatusEvent", "activeClusters": {"wdm": id}});
        assert_eq!(sandbox.push_event(sandbox.user(), &event), 1);
    };
    assert_eq!(webex.service_url("wdm").await.unwrap(), own("/wdm/api/v1"));
    push("urn:TEAM:eu_a:wdm");
    let switched = async {
        while webex.service_url("wdm").await.unwrap().as_str() != there {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), switched).await.unwrap();
    assert_eq!(fetched(&sandbox), 1, "nothing had to be asked");
    push("urn:TEAM:unheard:wdm");
    sandbox.wait_for(|s| fetched(s) == 2).await.unwrap();
    lease.release("done").await.unwrap();
}
