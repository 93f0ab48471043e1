//! The control API over HTTP.

mod common;

use common::{Client, MercuryClient};
use http::Method;
use serde_json::{Value, json};
use webex_sandbox::Sandbox;

async fn plain() -> (Sandbox, Client) {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    (sandbox, client)
}

impl Client {
    async fn put(&self, path: &str, body: Value) -> u16 {
        self.send(Method::PUT, path, Some(body)).await.status
    }
}

#[tokio::test]
async fn the_overview_tells_what_a_client_needs() {
    let (sandbox, client) = plain().await;
    let overview = client.get("/sandbox").await.json();
    assert_eq!(client.get("/sandbox/").await.json()["counts"], overview["counts"]);
    assert_eq!(overview["default_user"]["token"], sandbox.token());
    assert_eq!(overview["default_user"]["id"], sandbox.user().id);
    assert_eq!(overview["counts"]["users"], 1);
    assert_eq!(overview["mobius_instances"][3]["name"], "backup-2");
    assert_eq!(overview["policies"]["mobius"]["keepalive_interval"], 30);
    // Control calls are not in the log.
    assert!(sandbox.requests().is_empty());
    assert_eq!(client.get("/sandbox/nowhere").await.status, 404);
}

#[tokio::test]
async fn users_and_tokens_are_made_and_ended() {
    let (sandbox, client) = plain().await;
    let made = client.post("/sandbox/users", json!({"email": "bob@example.com"})).await;
    assert_eq!(made.status, 201);
    let bob = made.json();
    let id = bob["id"].as_str().unwrap();
    let me = async |token: &str| {
        Client { token: token.to_owned(), ..client.clone() }.get("/v1/people/me").await.status
    };
    let first = bob["token"].as_str().unwrap();
    assert_eq!(me(first).await, 200);
    let path = format!("/sandbox/users/{id}/tokens");
    let second = client.send(Method::POST, &path, None).await.json()["token"].clone();
    let second = second.as_str().unwrap();
    assert_eq!(me(second).await, 200);
    assert_eq!(client.post("/sandbox/tokens/expire", json!({"token": first})).await.status, 204);
    assert_eq!(client.post("/sandbox/tokens/revoke", json!({"token": second})).await.status, 204);
    assert_eq!((me(first).await, me(second).await), (401, 401));
    assert_eq!(client.post("/sandbox/tokens/revoke", json!({"token": "x"})).await.status, 404);
    assert_eq!(client.post("/sandbox/users", json!({"mail": "typo"})).await.status, 400);
    assert_eq!(sandbox.users().len(), 2);
    assert_eq!(client.get("/sandbox/users").await.json()[1]["email"], "bob@example.com");
}

#[tokio::test]
async fn faults_are_added_listed_and_cleared() {
    let (_sandbox, client) = plain().await;
    let fault = json!({
        "target": "mobius.register",
        "instance": "primary-1",
        "times": 2,
        "status": 429,
        "headers": {"Retry-After": "5"},
    });
    let added = client.post("/sandbox/faults", fault).await;
    assert_eq!(added.status, 201);
    let id = added.json()["id"].clone();
    let answer = client.line("primary-1", "https://x.example/1").await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("5")));
    let listed = client.get("/sandbox/faults").await.json();
    assert_eq!((&listed[0]["fired"], &listed[0]["times"]), (&json!(1), &json!(1)));
    assert_eq!(client.delete(&format!("/sandbox/faults/{id}")).await.status, 204);
    assert_eq!(client.line("primary-1", "https://x.example/1").await.status, 200);

    client.post("/sandbox/faults", json!({"target": "hydra", "break": "refuse"})).await;
    assert!(client.try_send(Method::GET, "/v1/people/me", None).await.is_err());
    client.delete("/sandbox/faults").await;
    assert_eq!(client.get("/v1/people/me").await.status, 200);

    for wrong in [json!({"target": "mobius.dance"}), json!({"target": "wdm", "satus": 500})] {
        let answer = client.post("/sandbox/faults", wrong).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["message"].is_string());
    }
}

#[tokio::test]
async fn everything_can_be_listed_and_ended() {
    let (sandbox, client) = plain().await;
    let device = client.device().await;
    let line = client.line("primary-1", device["url"].as_str().unwrap()).await.json();
    let (mut socket, _) = MercuryClient::authorized(&sandbox, &device, &client.token).await;
    let devices = client.get("/sandbox/devices").await.json();
    assert_eq!(devices[0]["url"], device["url"]);
    assert_eq!(devices[0]["body"]["ttl"], 1800);
    let lines = client.get("/sandbox/lines").await.json();
    assert_eq!(lines[0]["device_id"], line["device"]["deviceId"]);
    assert_eq!(lines[0]["instance"], "primary-1");
    let sockets = client.get("/sandbox/sockets").await.json();
    assert_eq!(sockets[0]["authorized"], true);

    let to = format!("/sandbox/sockets/{}", sockets[0]["id"]);
    let events = format!("/sandbox/users/{}/events", client.user_id);
    let pushed = client.post(&events, json!({"eventType": "mobius.call"})).await.json();
    assert_eq!(pushed["sockets"], 1);
    assert_eq!(socket.next().await["data"]["eventType"], "mobius.call");
    client.post(&to, json!({"do": "inject", "text": "{\"raw\":1}"})).await;
    assert_eq!(socket.next().await, json!({"raw": 1}));
    let close = json!({"do": "close", "code": 4000, "reason": "Replaced"});
    assert_eq!(client.post(&to, close).await.status, 204);
    assert_eq!(socket.closed().await, Some((4000, "Replaced".into())));
    assert_eq!(client.post(&to, json!({"do": "shutdown"})).await.status, 404);
    let closed = client.get("/sandbox/sockets/closed").await.json();
    assert_eq!(closed[0]["closed"], json!({"by": "server", "code": 4000, "reason": "Replaced"}));

    let id = lines[0]["device_id"].as_str().unwrap();
    assert_eq!(client.delete(&format!("/sandbox/lines/{id}")).await.status, 204);
    let id = devices[0]["id"].as_str().unwrap();
    assert_eq!(client.delete(&format!("/sandbox/devices/{id}")).await.status, 204);
    assert!(sandbox.devices().is_empty() && sandbox.lines().is_empty());
}

#[tokio::test]
async fn the_request_log_can_be_searched() {
    let (_sandbox, client) = plain().await;
    client.get("/v1/people/me").await;
    client.get("/v1/region").await;
    client.get("/nowhere").await;
    let all = client.get("/sandbox/requests").await.json();
    assert_eq!(all.as_array().unwrap().len(), 3);
    let me = client.get("/sandbox/requests?target=hydra.me&status=200").await.json();
    assert_eq!(me[0]["path"], "/v1/people/me");
    assert_eq!(me[0]["tracking_id"], "test_1");
    assert!(!me.to_string().contains(&client.token));
    let later = client.get("/sandbox/requests?after=1&limit=1").await.json();
    assert_eq!((later[0]["number"].as_u64(), later.as_array().unwrap().len()), (Some(3), 1));
    assert_eq!(client.get("/sandbox/requests?target=nothing").await.status, 400);
    client.delete("/sandbox/requests").await;
    assert_eq!(client.get("/sandbox/requests").await.json(), json!([]));
}

#[tokio::test]
async fn a_program_can_wait_for_a_condition() {
    let (_sandbox, client) = plain().await;
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move {
            client.get("/sandbox/wait?lines=1&requests=1&target=mobius.register").await
        })
    };
    client.line("primary-1", "https://x.example/1").await;
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, &answer.json()["counts"]["lines"]), (200, &json!(1)));
    assert_eq!(client.get("/sandbox/wait?lines=9&timeout_s=0.01").await.status, 408);
}

#[tokio::test]
async fn settings_change_at_once_and_do_not_touch_the_control_api() {
    let (sandbox, client) = plain().await;
    assert_eq!(client.put("/sandbox/latency", json!({"request_s": 0.25})).await, 204);
    let start = std::time::Instant::now();
    client.get("/v1/region").await;
    let slow = start.elapsed();
    client.get("/sandbox").await;
    assert!(slow.as_secs_f64() >= 0.25 && start.elapsed() < 2 * slow);
    client.put("/sandbox/latency", json!({"request_s": 0})).await;

    client.post("/sandbox/faults", json!({"target": "*", "status": 500})).await;
    assert_eq!(client.get("/v1/region").await.status, 500);
    assert_eq!(client.get("/sandbox").await.status, 200);
    client.delete("/sandbox/faults").await;

    assert_eq!(client.put("/sandbox/instances/primary-1", json!({"down": true})).await, 204);
    let ping = "/mobius/primary-1/api/v1/ping";
    assert!(client.try_send(Method::GET, ping, None).await.is_err());
    assert_eq!(client.put("/sandbox/instances/nowhere", json!({"down": true})).await, 404);

    assert_eq!(client.put("/sandbox/mutations", json!({"missing_cors": true})).await, 204);
    assert_eq!(client.get("/sandbox").await.json()["mutations"], json!(["missing_cors"]));

    let patch = json!({"mobius": {"keepalive_interval": 5, "line_limit": 1}});
    let shown = client.send(Method::PATCH, "/sandbox/policies", Some(patch)).await;
    assert_eq!(shown.json()["mobius"]["keepalive_interval"], 5);
    let line = client.line("backup-1", "https://x.example/1").await.json();
    assert_eq!(line["keepaliveInterval"], 5);
    let wrong = json!({"mobius": {"keepalive": 5}});
    assert_eq!(client.send(Method::PATCH, "/sandbox/policies", Some(wrong)).await.status, 400);
    assert_eq!(sandbox.counts().lines, 1);
}

#[tokio::test]
async fn sign_in_can_be_controlled() {
    let (sandbox, client) = plain().await;
    let new =
        json!({"id": "app", "redirect_uris": ["https://a.example/cb"], "scopes": ["spark:all"]});
    assert_eq!(client.post("/sandbox/identity/clients", new).await.status, 201);
    let authorize = "/v1/authorize?response_type=code&client_id=app&redirect_uri=https://a.example/cb\
                     &scope=spark:all&code_challenge=a-challenge-that-is-long-enough-0123456789-abc";
    let location =
        async || client.get(authorize).await.header("location").unwrap_or_default().to_owned();
    assert!(location().await.contains("code="));
    let consent = "/sandbox/identity/consent";
    assert_eq!(client.put(consent, json!({"refusal": "access_denied"})).await, 204);
    assert!(location().await.contains("error=access_denied"));
    assert_eq!(client.put(consent, json!({"user": sandbox.user().id})).await, 204);
    assert!(location().await.contains("code="));
    assert_eq!(client.put(consent, json!({"user": "nobody"})).await, 404);

    let fields = [("client_id", "app"), ("scope", "spark:all")];
    let begun = client.form("/v1/device/authorize", &fields).await.json();
    let path = format!("/sandbox/identity/devices/{}", begun["user_code"].as_str().unwrap());
    assert_eq!(client.put(&path, json!({"approve": true})).await, 204);
    assert_eq!(client.put("/sandbox/identity/devices/X", json!({"approve": true})).await, 404);
}

#[tokio::test]
async fn changes_are_streamed() {
    let (sandbox, client) = plain().await;
    let mut stream = client.http.get(sandbox.url("/sandbox/events")).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b":"));
    client.line("primary-1", "https://x.example/1").await;
    let mut kinds = Vec::new();
    while !kinds.contains(&"line_registered".to_owned()) {
        let chunk = stream.chunk().await.unwrap().unwrap();
        for data in
            std::str::from_utf8(&chunk).unwrap().lines().filter_map(|l| l.strip_prefix("data: "))
        {
            let event: Value = serde_json::from_str(data).unwrap();
            kinds.push(event["kind"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(kinds[0], "request");
}

#[tokio::test]
async fn web_pages_are_kept_out() {
    let (sandbox, client) = plain().await;
    let origin = sandbox.origin().as_str().trim_end_matches('/').to_owned();
    let send = async |name: &str, value: &str| {
        let request = client.http.post(sandbox.url("/sandbox/users")).header(name, value);
        request.body("{}").send().await.unwrap().status().as_u16()
    };
    assert_eq!(send("origin", "https://page.example").await, 403);
    assert_eq!(send("origin", "null").await, 403);
    assert_eq!(send("sec-fetch-site", "cross-site").await, 403);
    assert_eq!(send("host", "rebound.example").await, 403);
    assert_eq!(sandbox.users().len(), 1);
    assert_eq!(send("origin", &origin).await, 201);
    assert_eq!(send("sec-fetch-site", "none").await, 201);

    let named = Sandbox::builder().plain(true).host_name("sandbox.internal").start().await.unwrap();
    let request = client.http.get(named.url("/sandbox")).header("host", "sandbox.internal");
    assert_eq!(request.send().await.unwrap().status(), 200);
}

/// What was logged, as text.
#[derive(Clone, Default)]
struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_sandbox_that_others_can_reach_says_so() {
    for (address, is_warned) in [("127.0.0.1:0", false), ("0.0.0.0:0", true)] {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let _logging = tracing::subscriber::set_default(log);
        let _sandbox = Sandbox::builder().listen(address.parse().unwrap()).start().await.unwrap();
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.contains("WARN") && text.contains("no password"), is_warned, "{text}");
    }
}

#[tokio::test]
async fn one_call_takes_every_control() {
    let (sandbox, client) = plain().await;
    let token = json!({"expire_token": {"token": client.token, "after_s": 5}});
    assert_eq!(client.post("/sandbox/controls", token).await.status, 204);
    let fault = json!({"add_fault": {"target": "region", "status": 500}});
    let id = client.post("/sandbox/controls", fault).await.json()["id"].clone();
    assert_eq!(client.get("/v1/region").await.status, 500);
    let clear = json!({"clear_fault": {"fault": id}});
    assert_eq!(client.post("/sandbox/controls", clear).await.status, 204);
    assert_eq!(client.post("/sandbox/controls", json!("clear_requests")).await.status, 204);
    assert!(sandbox.requests().is_empty());
    // Fields that are left out keep their values.
    let change = json!({"set_policies": {"mobius": {"line_limit": 3}}});
    sandbox.mobius_policy(|policy| policy.missed_keepalives = 9);
    let policies = client.post("/sandbox/controls", change).await.json();
    let mobius = (&policies["mobius"]["line_limit"], &policies["mobius"]["missed_keepalives"]);
    assert_eq!(mobius, (&json!(3), &json!(9)));
    let unknown = json!({"dance": {}});
    assert_eq!(client.post("/sandbox/controls", unknown).await.status, 400);
    let place = json!({"authority": "127.0.0.1:9"});
    assert_eq!(client.put("/sandbox/places/wdm", place.clone()).await, 204);
    assert_eq!(client.put("/sandbox/places/nowhere", place).await, 404);
}
