//! HTTP and socket through a real proxy, and the errors when it blocks them.

mod support;

use std::collections::BTreeSet;

use support::{
    client, people,
    tinyproxy::{PASSWORD, Tinyproxy, USER, free_port},
    trusting,
};
use webex_core::{ErrorKind, HttpError, Phase, Proxy};
use webex_sandbox::Sandbox;

#[tokio::test]
async fn requests_and_socket_go_through_the_proxy() {
    let sandbox = Sandbox::start().await.unwrap();
    let proxy = Tinyproxy::start();
    let given = Proxy::new(&proxy.url()).unwrap();
    let webex = client(&sandbox, trusting(&sandbox).proxy(given));

    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    assert_eq!(webex.link().state().phase, Phase::Up);
    assert_eq!(sandbox.sockets().len(), 1);
    lease.release("done").await.unwrap();

    // Every connection at the sandbox was requested from the proxy.
    let seen = sandbox.requests();
    let connections: BTreeSet<_> = seen.iter().map(webex_sandbox::Request::connection).collect();
    let asked = proxy.stop();
    let origin = sandbox.origin();
    let connect = format!("CONNECT 127.0.0.1:{} HTTP/1.1", origin.port().unwrap());
    assert!(asked.iter().all(|request| *request == connect), "{asked:?}");
    assert_eq!(asked.len(), connections.len(), "{asked:?}");
    assert!(connections.len() >= 2, "one for HTTP, one for the socket");
}

#[tokio::test]
async fn credentials_can_be_given_apart_from_the_url() {
    let sandbox = Sandbox::start().await.unwrap();
    let proxy = Tinyproxy::start();
    let given = Proxy::new(proxy.address()).unwrap().basic_auth(USER, &PASSWORD.into());
    client(&sandbox, trusting(&sandbox).proxy(given)).http().send(people(&sandbox)).await.unwrap();
    assert_eq!(proxy.stop().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_an_error_of_its_own() {
    let sandbox = Sandbox::start().await.unwrap();
    let proxy = Tinyproxy::start();
    let bare = Proxy::new(proxy.address()).unwrap();
    let wrong = bare.clone().basic_auth(USER, &"wrong-word".into());
    for given in [bare, wrong] {
        let webex = client(&sandbox, trusting(&sandbox).proxy(given));
        let error = webex.http().send(people(&sandbox)).await.unwrap_err();
        let HttpError::ProxyAuthentication { proxy: named } = &error else { panic!("{error:?}") };
        assert_eq!(named, proxy.address());
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(!format!("{error} {error:?}").contains("wrong-word"), "{error:?}");
    }
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn a_proxy_that_is_down_is_named() {
    let sandbox = Sandbox::start().await.unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let given = Proxy::new(&format!("http://{USER}:{PASSWORD}@{address}")).unwrap();
    let webex = client(&sandbox, trusting(&sandbox).proxy(given));
    // The link and its callers get the same error.
    let lease = webex.link().acquire().await.unwrap();
    let error = lease.device().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("proxy"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn a_proxy_that_cannot_reach_the_service_says_so() {
    let sandbox = Sandbox::start().await.unwrap();
    let proxy = Tinyproxy::start();
    let webex = client(&sandbox, trusting(&sandbox).proxy(Proxy::new(&proxy.url()).unwrap()));
    let nowhere = format!("https://127.0.0.1:{}/", free_port());
    let request = webex_core::Request::get(nowhere.parse().unwrap()).unlisted();
    let error = webex.http().send(request).await.unwrap_err();
    let HttpError::Proxy { proxy: named, reason } = &error else { panic!("{error:?}") };
    assert_eq!(named, proxy.address());
    assert!(reason.contains("500"), "{reason}");
}

#[tokio::test]
async fn excepted_hosts_are_reached_directly() {
    let sandbox = Sandbox::start().await.unwrap();
    // Nothing listens there, so whatever arrives has bypassed it.
    let dead = Proxy::new(&format!("127.0.0.1:{}", free_port())).unwrap();
    let port = sandbox.origin().port().unwrap();
    for list in ["127.0.0.0/8".to_owned(), format!("10.0.0.1,127.0.0.1:{port}"), "*".to_owned()] {
        let webex = client(&sandbox, trusting(&sandbox).proxy(dead.clone().except(&list)));
        let lease = webex.link().acquire().await.unwrap();
        lease.online().await.unwrap();
        lease.release("done").await.unwrap();
    }
    let elsewhere = dead.except(&format!("127.0.0.1:{}", port.wrapping_add(1)));
    let webex = client(&sandbox, trusting(&sandbox).proxy(elsewhere));
    let error = webex.http().send(people(&sandbox)).await.unwrap_err();
    assert!(matches!(error, HttpError::Proxy { .. }), "{error:?}");
}
