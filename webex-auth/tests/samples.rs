//! The requests and answers of the public documentation about tokens, in the order in which it has them.
//!
//! Two pages: "Webex Calling | Authorization" (here: the Calling page) and "Webex Meetings
//! Integrations" (the integrations page).

#[path = "common/wire.rs"]
mod wire;

use std::time::Duration;

use secrecy::ExposeSecret;
use url::Url;
use webex_auth::{
    Redirect, Scope, Scopes,
    meetings_xml::{MeetingsIntegration, MeetingsScope, SecurityContext},
};
use webex_sandbox::{OAuth, OAuthClient};

use wire::{Cloud, REDIRECT};

/// The Calling page, "Obtain an Access Token": the request of its `curl` example, field by field.
#[tokio::test]
async fn the_token_request_of_the_calling_page_is_sent_as_written() {
    let cloud = Cloud::start().await;
    // "Webex Calling requires these scopes."
    let scopes: Scopes =
        "spark:webrtc_calling spark:calls_read spark:calls_write spark:xsi".parse().unwrap();
    assert_eq!(scopes, Scopes::calling());
    // The example has no proof key.
    let integration = cloud.integration().scopes(scopes.clone()).pkce(None).build();
    let grant = cloud.grant(integration.authorization().unwrap()).await.unwrap();

    // curl -X POST https://webexapis.com/v1/access_token -d "…"
    let tokens = integration.exchange(&*cloud.http, grant).await.unwrap();
    let request = cloud.http.last();
    assert_eq!((request.path.as_str(), request.basic), ("/v1/access_token", false));
    assert_eq!(
        request.fields(),
        ["client_id", "client_secret", "code", "grant_type", "redirect_uri"]
    );
    assert_eq!(request.field("grant_type"), Some("authorization_code"));
    assert_eq!(request.field("client_id"), Some(OAuthClient::DEFAULT_ID));
    assert_eq!(request.field("client_secret"), Some(OAuthClient::DEFAULT_SECRET));
    assert_eq!(request.field("redirect_uri"), Some(REDIRECT));
    tokens.require(&scopes).unwrap();
    assert_eq!(cloud.whoami(tokens.access_token()).await, 200, "it is a credential");
}

const SITE_REDIRECT: &str = "https://xml.example/callback";

/// The integrations page from its first table to its last: the link, the redirect, the exchange, the
/// answer, the refresh, and the request that the token is for.
#[tokio::test]
async fn the_meetings_integrations_page_goes_as_written() {
    let cloud = Cloud::start().await;
    let app = OAuthClient::confidential("xml-app", OAuthClient::DEFAULT_SECRET);
    cloud.sandbox.identity().add_client(app.redirect_uri(SITE_REDIRECT).meetings_site("acme"));
    let scopes = [
        (MeetingsScope::AllRead, "all_read"),
        (MeetingsScope::UserModify, "user_modify"),
        (MeetingsScope::MeetingModify, "meeting_modify"),
        (MeetingsScope::RecordingModify, "recording_modify"),
        (MeetingsScope::SettingModify, "setting_modify"),
    ];
    for (scope, name) in scopes {
        assert_eq!(scope.as_str(), name);
    }
    let integration = MeetingsIntegration::builder("xml-app")
        .secret(OAuthClient::DEFAULT_SECRET)
        .redirect_uri(SITE_REDIRECT)
        .scopes(scopes.map(|(scope, _)| scope))
        .endpoints(cloud.sandbox.url("/v1/oauth2/authorize"), cloud.sandbox.url("/v1/oauth2/token"))
        .build();

    // Authorization, "Request Parameters".
    let authorization = integration.authorization().unwrap().state("of your choosing").start();
    let link = authorization.url();
    let challenge = check_link(link);
    let query = link.query().unwrap();
    let written = query.split('&').find_map(|field| field.strip_prefix("scope=")).unwrap();
    // "Multiple scopes separated by +".
    let mut asked: Vec<_> = written.split('+').collect();
    let mut all: Vec<_> = scopes.iter().map(|(_, name)| *name).collect();
    asked.sort_unstable();
    all.sort_unstable();
    assert_eq!(asked, all);

    // The redirect brings `code` and `state`, the latter as it was set.
    let location = cloud.open(link).await;
    let redirect = Url::parse(&location).unwrap();
    assert!(location.starts_with(SITE_REDIRECT), "{}", redirect.path());
    assert!(redirect.query_pairs().any(|(name, _)| name == "code"));
    let state = redirect.query_pairs().find(|(name, _)| name == "state").unwrap().1;
    assert_eq!(state, "of your choosing");
    let grant = authorization.finish(Redirect::parse(&location)).unwrap();

    // Authentication, "Request Parameters" with `authorization_code`.
    let signed_in = integration.exchange(&*cloud.http, grant).await.unwrap();
    let request = cloud.http.last();
    let fields =
        ["client_id", "client_secret", "code", "code_verifier", "grant_type", "redirect_uri"];
    assert_eq!(request.fields(), fields);
    assert_eq!(request.field("grant_type"), Some("authorization_code"));
    assert_eq!(request.field("code_verifier"), Some(&*challenge), "must match");

    // The answer: the sandbox gives the documented fields, and none beside them.
    let mut given: Vec<_> = request.body.as_object().unwrap().keys().map(String::as_str).collect();
    given.sort_unstable();
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
    assert_eq!(given, documented);
    assert_eq!(request.body["token_type"], "bearer");
    assert_eq!(request.body["expires_in"], 2 * 60 * 60, "seconds");
    let user = cloud.sandbox.user();
    assert_eq!(signed_in.user_name(), request.body["user_name"].as_str());
    assert_eq!(signed_in.email(), Some(&*user.email));
    assert_eq!(signed_in.site_name().unwrap().as_str(), "acme", "the subdomain of the issuer");
    let tokens = signed_in.into_tokens();
    let life =
        |end: Option<std::time::SystemTime>| end.unwrap().duration_since(tokens.issued()).unwrap();
    assert_eq!(life(tokens.expires()), Duration::from_hours(2));
    assert_eq!(life(tokens.refresh_expires()), Duration::from_hours(60 * 24));
    let mut granted: Vec<_> = tokens.granted().unwrap().iter().map(Scope::as_str).collect();
    granted.sort_unstable();
    assert_eq!(granted, all, "the scopes the user has granted");

    // Authentication with `refresh_token`, "prepended with the user's Webex site name followed by an
    // underscore".
    let bare = request.body["refresh_token"].as_str().unwrap().to_owned();
    let renewed = integration.refresh(&*cloud.http, &tokens).await.unwrap();
    let request = cloud.http.last();
    let fields = ["client_id", "client_secret", "grant_type", "redirect_uri", "refresh_token"];
    assert_eq!(request.fields(), fields);
    assert_eq!(request.field("grant_type"), Some("refresh_token"));
    assert_eq!(request.field("refresh_token"), Some(&*format!("acme_{bare}")));
    assert_eq!(
        cloud.sandbox.requests().of(OAuth::authorize()).count(),
        1,
        "nobody was asked again"
    );

    // "Added to the <webExAccessToken> element inside of <securityContext>."
    let token = renewed.tokens().access_token();
    let message =
        SecurityContext::new(&"acme".parse().unwrap(), token).to_message("<bodyContent/>");
    let message = message.expose_secret();
    let inside = message.split_once("<securityContext>").unwrap().1;
    let inside = inside.split_once("</securityContext>").unwrap().0;
    let element = format!("<webExAccessToken>{}</webExAccessToken>", token.expose());
    assert!(inside.contains(&element), "the token is where it is documented");
}

/// Checks the parameters of the authorization link, the scopes aside; returns the challenge.
fn check_link(link: &Url) -> String {
    let mut names: Vec<_> = link.query_pairs().map(|(name, _)| name.into_owned()).collect();
    names.sort_unstable();
    let documented = [
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
    ];
    assert_eq!(names, documented);
    let parameter = |name: &str| {
        let found = link.query_pairs().find(|(key, _)| key == name);
        found.unwrap_or_else(|| panic!("no {name}")).1.into_owned()
    };
    assert_eq!(parameter("response_type"), "code");
    assert_eq!(
        (parameter("client_id").as_str(), parameter("state").as_str()),
        ("xml-app", "of your choosing")
    );
    assert_eq!(parameter("redirect_uri"), SITE_REDIRECT);
    assert_eq!(parameter("code_challenge_method"), "plain");
    let challenge = parameter("code_challenge");
    assert!((1..=10).contains(&challenge.len()), "up to 10 characters");
    challenge
}
