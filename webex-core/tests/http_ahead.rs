//! Hosts that are dialled before they are needed: which ones, how often, and what is sent to them.

mod support;

use std::{sync::Arc, time::Duration};

use support::{builder, cloud, people, trusting};
use tokio::io::AsyncReadExt;
use webex_auth::MemoryStore;
use webex_core::{Endpoints, Request, SavedState, Transport, Webex, WebexBuilder, join};
use webex_sandbox::{Sandbox, U2c};
use webex_tests::relay::Relay;

/// A sandbox whose WDM and Mercury have addresses of their own.
struct Cloud {
    sandbox: Sandbox,
    wdm: Relay,
    mercury: Relay,
}

impl Cloud {
    async fn start() -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let at = sandbox.origin().socket_addrs(|| None).unwrap()[0];
        let (wdm, mercury) = (Relay::start(at, Duration::ZERO), Relay::start(at, Duration::ZERO));
        assert!(sandbox.place("wdm", &wdm.authority()));
        assert!(sandbox.place("mercury", &mercury.authority()));
        Self { sandbox, wdm, mercury }
    }

    fn client(&self, store: &Arc<MemoryStore>, transport: &Transport) -> Webex {
        self.builder()
            .state_store(Arc::clone(store) as _, "ann")
            .transport(transport.clone())
            .build()
            .unwrap()
    }

    fn builder(&self) -> WebexBuilder {
        builder(&self.sandbox).endpoints(self.endpoints())
    }

    fn endpoints(&self) -> Endpoints {
        let trusting = |cloud: Endpoints, relay: &Relay| cloud.trusting(&relay.origin()).unwrap();
        [&self.wdm, &self.mercury].into_iter().fold(cloud(&self.sandbox), trusting)
    }

    fn connections(&self) -> (usize, usize) {
        (self.wdm.connections(), self.mercury.connections())
    }
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("in time");
}

async fn up_and_down(webex: &Webex) {
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    lease.release("done").await.unwrap();
}

#[tokio::test]
async fn hosts_of_the_catalog_are_dialled_while_the_device_is_registered() {
    let cloud = Cloud::start().await;
    let transport = trusting(&cloud.sandbox).build().unwrap();
    let webex = cloud.builder().transport(transport).build().unwrap();
    // The device's answer is delayed; by then the socket's connection is open.
    let register = cloud.sandbox.fail(webex_sandbox::Wdm::register());
    register.delay(Duration::from_millis(300)).once();
    let lease = webex.link().acquire().await.unwrap();
    until(|| cloud.mercury.connections() == 1).await;
    assert!(cloud.sandbox.devices().is_empty(), "not yet registered");
    lease.online().await.unwrap();
    assert_eq!(cloud.connections(), (1, 1), "each once, and used");
    lease.release("done").await.unwrap();
    // Only the necessary requests were sent.
    assert!(cloud.sandbox.requests().of(webex_sandbox::Service::Other).is_empty());
}

#[tokio::test]
async fn the_hosts_of_the_last_start_are_dialled_at_time_zero_without_a_request() {
    let cloud = Cloud::start().await;
    let store = Arc::new(MemoryStore::default());
    let first = trusting(&cloud.sandbox).build().unwrap();
    up_and_down(&cloud.client(&store, &first)).await;
    let saved = SavedState::new(Arc::clone(&store) as _, "ann");
    let remembered = async || saved.load::<serde_json::Value>("hosts").await.unwrap().to_string();
    let (wdm, mercury) = (cloud.wdm.authority(), cloud.mercury.authority());
    let kept = async {
        while !remembered().await.contains(&mercury) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), kept).await.expect("in time");
    let hosts = remembered().await;
    assert!(hosts.contains(&format!("https://{wdm}")), "{hosts}");
    assert!(hosts.contains(&format!("wss://{mercury}")), "{hosts}");
    assert!(!hosts.contains("/wdm") && !hosts.contains("devices"), "origins only: {hosts}");

    // Another process, as far as connections are concerned, whose catalog is late.
    saved.forget("catalog").await;
    let before = cloud.connections();
    cloud.sandbox.clear_requests();
    cloud.sandbox.fail(U2c::postauth()).delay(Duration::from_millis(300)).once();
    let second = trusting(&cloud.sandbox).build().unwrap();
    let webex = cloud.client(&store, &second);
    let catalog = tokio::spawn({
        let webex = webex.clone();
        async move { webex.ready().await.map(drop) }
    });
    until(|| cloud.connections() == (before.0 + 1, before.1 + 1)).await;
    // No request, and so no token: the catalog's is the only one.
    let asked = |sandbox: &Sandbox| sandbox.requests().of(U2c::postauth()).count() == 1;
    cloud.sandbox.wait_for(asked).await.unwrap();
    assert_eq!(cloud.sandbox.requests().count(), 1);
    catalog.await.unwrap().unwrap();
    up_and_down(&webex).await;
    assert_eq!(cloud.connections(), (before.0 + 1, before.1 + 1), "they were used");
}

#[tokio::test]
async fn clients_of_one_transport_dial_a_host_once() {
    let cloud = Cloud::start().await;
    let store = Arc::new(MemoryStore::default());
    up_and_down(&cloud.client(&store, &trusting(&cloud.sandbox).build().unwrap())).await;
    let before = cloud.wdm.connections();
    let transport = trusting(&cloud.sandbox).build().unwrap();
    let clients: Vec<_> = (0..5).map(|_| cloud.client(&store, &transport)).collect();
    futures_util::future::join_all(clients.iter().map(Webex::ready)).await;
    until(|| cloud.wdm.connections() > before).await;
    for webex in &clients {
        webex.http().send(people(&cloud.sandbox)).await.unwrap();
    }
    assert_eq!(cloud.wdm.connections(), before + 1);
}

#[tokio::test]
async fn what_is_not_allowed_or_not_protected_is_not_dialled() {
    let cloud = Cloud::start().await;
    let [stranger, plain] = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let store = Arc::new(MemoryStore::default());
    // The last start may have trusted other hosts.
    let endpoints = cloud.endpoints();
    let origins = [
        format!("https://{}", stranger.local_addr().unwrap()),
        format!("http://{}", plain.local_addr().unwrap()),
        cloud.sandbox.origin().origin().ascii_serialization(),
    ];
    let used = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let hosts: Vec<_> =
        origins.iter().map(|origin| serde_json::json!({"origin": origin, "used": used})).collect();
    let environment = endpoints.u2c.to_string();
    let saved = SavedState::new(Arc::clone(&store) as _, "ann");
    saved.save("hosts", &serde_json::json!({"environment": environment, "hosts": hosts})).await;
    let webex = builder(&cloud.sandbox)
        .endpoints(endpoints)
        .state_store(Arc::clone(&store) as _, "ann")
        .build()
        .unwrap();
    up_and_down(&webex).await;
    for listener in [stranger, plain] {
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "{:?}", listener.local_addr());
    }
}

#[tokio::test]
async fn a_dead_host_does_no_harm_and_gets_only_a_handshake() {
    let cloud = Cloud::start().await;
    let store = Arc::new(MemoryStore::default());
    up_and_down(&cloud.client(&store, &trusting(&cloud.sandbox).build().unwrap())).await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let saved = SavedState::new(Arc::clone(&store) as _, "ann");
    let mut hosts = saved.load::<serde_json::Value>("hosts").await.unwrap();
    let origin = format!("https://{}", gone.local_addr().unwrap());
    hosts["hosts"][0]["origin"] = origin.as_str().into();
    saved.save("hosts", &hosts).await;
    let webex = cloud
        .builder()
        .endpoints(cloud.endpoints().trusting(&origin).unwrap())
        .state_store(store, "ann")
        .build()
        .unwrap();
    let (accepted, ()) = tokio::join!(gone.accept(), up_and_down(&webex));
    let mut bytes = vec![0; 4096];
    let (mut stream, _) = accepted.unwrap();
    let length = stream.read(&mut bytes).await.unwrap();
    assert_eq!(bytes[0], 0x16, "a TLS handshake");
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    assert!(!text.contains(cloud.sandbox.token()));
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_request() {
    let cloud = Cloud::start().await;
    let webex = cloud.builder().build().unwrap();
    webex.expect_service("wdm");
    webex.ready().await.unwrap();
    // Dialled ahead, and closed before it carried anything. The first request over it is a POST,
    // which is normally not repeated.
    until(|| cloud.wdm.heard() >= 2).await;
    let url = join(&webex.service_url("wdm").await.unwrap(), "devices");
    cloud.wdm.hang_up();
    let device = serde_json::json!({"name": "n", "deviceType": "WEB", "model": "m",
        "localizedModel": "m", "systemName": "s", "systemVersion": "1"});
    webex.http().send(Request::post(url.clone()).json(&device)).await.unwrap();
    assert_eq!(cloud.sandbox.devices().len(), 1, "once");
    // Kept alive after use, and closed: repeatable requests are repeated.
    for _ in 0..3 {
        cloud.wdm.hang_up();
        webex.http().send(Request::get(url.clone())).await.unwrap();
    }
}
