//! Guests: created by a service app, and signed in by a JWT.

mod common;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use common::Client;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use webex_sandbox::{OAuthClient, Sandbox};

const ID: &str = OAuthClient::DEFAULT_ID;
const SECRET: &str = OAuthClient::DEFAULT_SECRET;

async fn plain() -> (Sandbox, Client) {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    (sandbox, client)
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned()
}

#[tokio::test]
async fn a_service_app_makes_guests() {
    let (_sandbox, client) = plain().await;
    let fields = [("grant_type", "client_credentials"), ("scope", "guest-issuer:write")];
    let app = client.form_as("/v1/access_token", &fields, Some((ID, SECRET))).await.json();
    let service = Client { token: text(&app, "access_token"), ..client.clone() };
    let wish = json!({"subject": "visitor-1", "displayName": "A Visitor"});
    let guest = service.post("/v1/guests/token", wish.clone()).await.json();
    let token = text(&guest, "accessToken");
    let me = Client { token, ..client.clone() }.get("/v1/people/me").await.json();
    assert_eq!((&me["type"], &me["displayName"]), (&json!("appuser"), &json!("A Visitor")));
    // The same subject is the same guest.
    let again = text(&service.post("/v1/guests/token", wish.clone()).await.json(), "accessToken");
    let again = Client { token: again, ..client.clone() }.get("/v1/people/me").await.json();
    assert_eq!(again["id"], me["id"]);
    // A person's token lacks the scope; a service's token belongs to no person.
    assert_eq!(client.post("/v1/guests/token", wish).await.status, 403);
    assert_eq!(service.get("/v1/people/me").await.status, 401);
}

#[tokio::test]
async fn a_guest_jwt_signs_in_when_its_signature_is_right() {
    let (sandbox, client) = plain().await;
    let login = async |jwt: &str| {
        let url = sandbox.url("/v1/jwt/login");
        let request = client.http.request(Method::POST, url).header("authorization", jwt);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap())
    };
    let future = jiff::Timestamp::now().as_second() + 3600;
    let claims = json!({"sub": "guest-1", "iss": ID, "name": "G", "exp": future});
    let (status, body) = login(&jwt(&claims, OAuthClient::DEFAULT_GUEST_SECRET)).await;
    assert_eq!(status, 200);
    assert_eq!(body["expiresIn"], 21_599);
    let guest = Client { token: text(&body, "token"), ..client.clone() };
    assert_eq!(guest.get("/v1/people/me").await.json()["type"], "appuser");

    let other_secret = BASE64_STANDARD.encode("another secret");
    assert_eq!(login(&jwt(&claims, &other_secret)).await.0, 401);
    let stale = json!({"sub": "guest-1", "iss": ID, "exp": 1});
    assert_eq!(login(&jwt(&stale, OAuthClient::DEFAULT_GUEST_SECRET)).await.0, 401);
    assert_eq!(login("not.a.jwt").await.0, 401);
}

fn jwt(claims: &Value, base64_secret: &str) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT"})), encode(claims));
    let secret = BASE64_STANDARD.decode(base64_secret).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
