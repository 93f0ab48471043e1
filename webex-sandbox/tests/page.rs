//! The page's files as a browser gets them, and the parts of the control API that it uses.

mod common;

use std::collections::BTreeSet;

use common::Client;
use http::Method;
use serde_json::{Value, json};
use webex_sandbox::Sandbox;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn plain() -> (Sandbox, Client) {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    (sandbox, client)
}

#[tokio::test]
async fn browsers_get_the_page_and_programs_the_overview() {
    let (sandbox, client) = plain().await;
    let get = async |path: &str, accept: &str| {
        client.http.get(sandbox.url(path)).header("accept", accept).send().await.unwrap()
    };
    for path in ["/sandbox", "/sandbox/"] {
        let page = get(path, BROWSER).await;
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(page.headers()["vary"], "Accept");
        assert!(page.text().await.unwrap().starts_with("<!doctype html>"));
        for accept in ["*/*", "application/json"] {
            let overview = get(path, accept).await;
            assert_eq!(overview.headers()["content-type"], "application/json");
            assert_eq!(overview.headers()["vary"], "Accept");
        }
    }
    assert_eq!(client.get("/sandbox/page/other.js").await.status, 404);
    // Another site may not show the page in a frame.
    let foreign = client.http.get(sandbox.url("/sandbox/")).header("sec-fetch-site", "cross-site");
    assert_eq!(foreign.header("accept", BROWSER).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn the_page_loads_its_own_files_and_nothing_else() {
    let (_sandbox, client) = plain().await;
    let page = client.http.get(client.origin.join("/sandbox/").unwrap()).header("accept", BROWSER);
    let page = page.send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let html = page.text().await.unwrap();
    assert!(!html.contains("style=") && !html.contains("<script>"), "the policy stops inline code");
    let linked = quoted(&html, "href=\"/").chain(quoted(&html, "src=\"/"));
    let mut wanted: Vec<_> = linked.collect();
    let mut seen = BTreeSet::new();
    while let Some(path) = wanted.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let file = client.get(&path).await;
        assert_eq!(file.status, 200, "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        let kind = file.header("content-type").unwrap();
        let wanted_kind = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(kind, wanted_kind, "{path}");
        assert!(!file.text.contains("innerHTML"), "{path} writes HTML");
        wanted.extend(quoted(&file.text, "from './").map(|name| format!("/sandbox/page{name}")));
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
}

/// Every text between `mark` and the next quotation mark, with a leading slash.
fn quoted<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(mark)
        .skip(1)
        .filter_map(|rest| rest.split(['"', '\'']).next())
        .map(|path| format!("/{path}"))
}

#[tokio::test]
async fn the_page_never_gets_a_token() {
    let (sandbox, client) = plain().await;
    sandbox.add_user("bob@example.com");
    for path in ["/sandbox?tokens=false", "/sandbox/?tokens=false", "/sandbox/users?tokens=false"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200);
        for user in sandbox.users() {
            assert!(!answer.text.contains(user.token()), "{path}");
        }
        assert!(answer.text.contains(&Sandbox::fingerprint(sandbox.token())), "{path}");
    }
}

#[tokio::test]
async fn lists_come_in_parts() {
    let (sandbox, client) = plain().await;
    for name in ["bob", "cid", "dan"] {
        sandbox.add_user(format!("{name}@example.com").as_str());
    }
    for _ in 0..3 {
        client.device().await;
    }
    let part = |list: Value, name: &str| -> Vec<String> {
        let items = list.as_array().unwrap().iter();
        items.map(|item| item[name].as_str().unwrap().to_owned()).collect()
    };
    let users = client.get("/sandbox/users?offset=1&limit=2").await.json();
    assert_eq!(part(users, "email"), ["bob@example.com", "cid@example.com"]);
    let all = part(client.get("/sandbox/devices").await.json(), "id");
    let last = part(client.get("/sandbox/devices?offset=2&limit=50").await.json(), "id");
    assert_eq!(last, all[2..]);
    let brief = client.get("/sandbox/devices?limit=1&brief=true").await.json();
    assert_eq!((brief[0].get("body"), brief[0]["id"].as_str()), (None, Some(all[0].as_str())));
    assert_eq!(client.get("/sandbox/lines?offset=5").await.json(), json!([]));
    assert_eq!(client.get("/sandbox/sockets?page=1").await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn lines_show_when_the_next_keepalive_is_due() {
    let (_sandbox, client) = plain().await;
    let line = client.line("primary-1", "https://x.example/1").await.json();
    let due = async || {
        let line = client.get("/sandbox/lines").await.json()[0].clone();
        assert_eq!(line["keepalive_interval_s"], 30.0);
        (line["keepalive_in_s"].as_f64().unwrap(), line["expires_in_s"].as_f64().unwrap())
    };
    let near = |is: f64, wanted: f64| (is - wanted).abs() < 1.0;
    let (keepalive, end) = due().await;
    assert!(near(keepalive, 30.0) && near(end, 105.0), "{keepalive} {end}");
    tokio::time::advance(std::time::Duration::from_secs(40)).await;
    let (keepalive, end) = due().await;
    assert!(near(keepalive, -10.0) && near(end, 65.0), "{keepalive} {end}");
    let id = line["device"]["deviceId"].as_str().unwrap();
    let path = format!("/mobius/primary-1/api/v1/calling/web/devices/{id}/status");
    assert_eq!(client.post(&path, json!({})).await.status, 200);
    let (keepalive, end) = due().await;
    assert!(near(keepalive, 30.0) && near(end, 105.0), "{keepalive} {end}");
    let overview = client.get("/sandbox").await.json();
    assert_eq!(overview["mobius_instances"][0]["lines"], 1);
}

#[tokio::test]
async fn the_log_is_searched_and_cut_into_pages() {
    let (sandbox, client) = plain().await;
    for _ in 0..3 {
        client.get("/v1/people/me").await;
    }
    client.device().await;
    client.get("/nowhere/at/all").await;
    sandbox.fail(webex_sandbox::Region::lookup()).refuse().once();
    client.try_send(Method::GET, "/v1/region", None).await.unwrap_err();
    let numbers = async |query: &str| -> Vec<u64> {
        let answer = client.get(&format!("/sandbox/requests?{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        answer.json().as_array().unwrap().iter().map(|r| r["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers("text=PEOPLE").await, [1, 2, 3]);
    assert_eq!(numbers("text=%22devicetype%22").await, [4], "in a body");
    assert_eq!(numbers("text=test_1").await.len(), 6, "by tracking id");
    assert_eq!(numbers("status=4xx").await, [5]);
    assert_eq!(numbers("status=200&target=wdm").await, [4]);
    assert_eq!(numbers("status=none").await, [6]);
    assert_eq!(numbers("before=4&limit=2").await, [2, 3]);
    assert_eq!(client.get("/sandbox/requests?status=bad").await.status, 400);

    let brief = client.get("/sandbox/requests?brief=true&target=wdm").await.json();
    assert_eq!((brief[0].get("headers"), brief[0].get("body")), (None, None));
    let whole = client.get("/sandbox/requests/4").await.json();
    assert_eq!(whole["headers"]["trackingid"], "test_1");
    assert!(whole["body"].as_str().unwrap().contains("deviceType"));
    assert_eq!(client.get("/sandbox/requests/7").await.status, 404);

    let operations = client.get("/sandbox/operations").await.json();
    let names: Vec<_> = operations.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(names.contains(&"mobius") && names.contains(&"mercury.ping"));
}

#[tokio::test]
async fn all_tokens_of_a_user_can_expire_together() {
    let (sandbox, client) = plain().await;
    let bob = sandbox.add_user("bob@example.com");
    let second = sandbox.issue_token(&bob, None).unwrap();
    let live = async || {
        let users = client.get("/sandbox/users").await.json();
        [users[0]["live_tokens"].as_u64().unwrap(), users[1]["live_tokens"].as_u64().unwrap()]
    };
    assert_eq!(live().await, [1, 2]);
    let path = format!("/sandbox/users/{}/tokens/expire", bob.id);
    let later = client.post(&path, json!({"after_s": 60})).await;
    assert_eq!(later.json(), json!({"expired": 2}));
    assert_eq!(live().await, [1, 2]);
    client.post(&path, json!({})).await;
    assert_eq!(live().await, [1, 0]);
    let me = Client::with_token(&sandbox, &second, &bob.id).get("/v1/people/me").await;
    assert_eq!(me.status, 401);
    assert_eq!(client.post(&path, json!({"when": 1})).await.status, 400);
}

#[tokio::test]
async fn changes_of_faults_and_settings_are_streamed() {
    let (sandbox, client) = plain().await;
    let mut stream = client.http.get(sandbox.url("/sandbox/events")).send().await.unwrap();
    stream.chunk().await.unwrap();
    let fault = sandbox.fail(webex_sandbox::Mobius::status()).with(503).once();
    fault.clear();
    sandbox.set_latency(std::time::Duration::ZERO);
    sandbox.clear_requests();
    let mut text = String::new();
    while !text.contains("requests_forgotten") {
        text.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    }
    let kinds: Vec<_> =
        text.split("\"kind\":\"").skip(1).filter_map(|t| t.split('"').next()).collect();
    assert_eq!(kinds, ["faults_changed", "faults_changed", "settings", "requests_forgotten"]);
}
