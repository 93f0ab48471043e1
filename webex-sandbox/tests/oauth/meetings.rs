//! Meetings integrations (XML API), which have additional fields and rules.

use serde_json::json;
use webex_sandbox::{MeetingsQuirk, OAuthClient};

use crate::{T, assert_error, text, value};

#[tokio::test]
async fn a_meetings_integration_has_its_own_rules() {
    let t = T::start().await;
    let uri = "https://xml.example/cb";
    let client = OAuthClient::confidential("xml", "pw").redirect_uri(uri).meetings_site("acme");
    t.sandbox.identity().add_client(client);
    let base = [("client_id", "xml"), ("redirect_uri", uri), ("scope", "all_read user_modify")];
    let long = [&base[..], &[("code_challenge", "elevenchars")]].concat();
    assert_eq!(value(&t.redirected(&long).await, "error"), "invalid_request");
    let short =
        [&base[..], &[("code_challenge", "tenletters"), ("code_challenge_method", "plain")]];
    let code = t.code(&short.concat()).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "xml"),
        ("client_secret", "pw"),
        ("redirect_uri", uri),
        ("code", &code),
        ("code_verifier", "tenletters"),
    ];
    let body = t.client.form("/v1/oauth2/token", &fields).await.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("bearer"), &json!(7200)));
    assert_eq!(body["iss"], "https://acme.webex.com");
    assert_eq!(body["email"], t.sandbox.user().email);
    // Only these fields are documented.
    let documented = [
        "access_token",
        "authentication_id",
        "email",
        "expires_in",
        "iss",
        "refresh_token",
        "scope",
        "siteid",
        "token_type",
        "user_name",
        "userid",
    ];
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), documented);

    let refresh_token = text(&body, "refresh_token");
    let refresh = async |value: &str| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", "xml"),
            ("client_secret", "pw"),
            ("redirect_uri", uri),
            ("refresh_token", value),
        ];
        t.client.form("/v1/oauth2/token", &fields).await
    };
    assert_error(&refresh(&refresh_token).await, 400, "invalid_grant");
    let refreshed = refresh(&format!("acme_{refresh_token}")).await;
    assert_eq!(refreshed.json().as_object().unwrap().keys().collect::<Vec<_>>(), documented);

    // Everything else is optional.
    let with = async |quirks: &[MeetingsQuirk]| {
        t.sandbox.oauth_policy(|policy| {
            policy.meetings_quirks = quirks.iter().copied().collect();
        });
        refresh(&format!("acme_{refresh_token}")).await.json()
    };
    let odd = with(&[MeetingsQuirk::ScopeList, MeetingsQuirk::NumericAuthenticationId]).await;
    assert_eq!(odd["scope"], json!(["all_read", "user_modify"]));
    assert_eq!(odd["authentication_id"], 3_000_001);
    let odd = with(&[MeetingsQuirk::NoExpiresIn, MeetingsQuirk::RefreshTokenExpiresIn]).await;
    assert_eq!(
        (&odd["expires_in"], &odd["refresh_token_expires_in"]),
        (&json!(null), &json!(5_184_000))
    );
    let odd = with(&[MeetingsQuirk::TextNumbers, MeetingsQuirk::UnknownFields]).await;
    assert_eq!((&odd["expires_in"], &odd["siteid"]), (&json!("7200"), &json!("1000001")));
    assert_eq!(odd["attributes"]["level"], 3);
    let odd = with(&[MeetingsQuirk::OddIgnoredFields]).await;
    assert!(odd["iss"].is_object() && odd["siteid"].is_array() && odd["userid"].is_boolean());
}
