//! The log of requests has enough to find a request, and no secret. The socket's frames are checked
//! from another process (`webex-cli/tests/leak.rs`), because the sandbox would log them here.

mod support;

use support::{
    client, people,
    tinyproxy::{PASSWORD, Tinyproxy, free_port},
    trusting,
};
use webex_core::{Proxy, Request};
use webex_sandbox::Sandbox;
use webex_tests::leak::LeakCheck;

/// Captures every crate's log at trace level, and panics on a secret.
#[tokio::test]
async fn no_query_no_token_and_no_password_is_logged() {
    let sandbox = Sandbox::start().await.unwrap();
    let leaks = LeakCheck::install([sandbox.token(), PASSWORD, "query-secret", "body-secret"]);
    let proxy = Tinyproxy::start();
    let given = Proxy::new(&proxy.url()).unwrap();
    leaks.assert_absent("the proxy", format!("{given:?}"));
    let builder = trusting(&sandbox).proxy(given);
    leaks.assert_absent("the builder", format!("{builder:?}"));
    let webex = client(&sandbox, builder);
    leaks.assert_absent("the client", format!("{webex:?}"));

    let mut url = sandbox.url("/v1/people/me");
    url.set_query(Some("code=query-secret"));
    let request = Request::get(url.clone()).json(&serde_json::json!({"password": "body-secret"}));
    webex.http().send(request).await.unwrap();
    webex.ready().await.unwrap();

    // Failures are logged as well.
    let mut nowhere = url.clone();
    nowhere.set_port(Some(free_port())).unwrap();
    let failed = webex.http().send(Request::get(nowhere).unlisted()).await.unwrap_err();
    leaks.assert_absent("an error of the proxy", format!("{failed} {failed:?}"));
    proxy.stop();
    let failed = webex.http().send(Request::get(url)).await.unwrap_err();
    leaks.assert_absent("an error without the proxy", format!("{failed} {failed:?}"));
    let refused = client(&sandbox, trusting(&sandbox).no_proxy());
    sandbox.fail(webex_sandbox::Hydra::me()).with(500).once();
    refused.http().send(people(&sandbox)).await.unwrap_err();
    leaks.assert_clean();
    assert!(leaks.seen() > 100, "{} events", leaks.seen());
}
