//! The steps of a registration that only serve joining a meeting.
//!
//! The device and its socket decide whether the device is registered. Three optional steps run
//! beside them: the preferred site, the geo hint and the media clusters. They start with the
//! registration and never delay it or make it fail. Each reports its end, and its result is in
//! [`MeetingsInfo`](crate::MeetingsInfo).

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use tracing::debug;
use url::Url;
use webex_core::{HttpError, Request, Webex, join, lenient};

use crate::{progress::Step, status::Status};

/// How long cluster discovery may take (reference client: 5,000 ms).
pub const SIDE_STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the optional steps in parallel.
pub(crate) async fn run(webex: Webex, status: Arc<Status>) {
    let site = async {
        let found = preferred_site(&webex).await;
        let found = report(Step::FetchWebexSite, found);
        status.step(Step::FetchWebexSite, found.is_some(), |info| {
            info.preferred_site = found.flatten().map(Into::into);
        });
    };
    let hint = async {
        let found = report(Step::GetGeoHint, webex.region().await);
        status.step(Step::GetGeoHint, found.is_some(), |info| {
            info.geo_hint = found;
        });
    };
    let clusters = async {
        let found = report(Step::StartReachability, join_cookie(&webex).await);
        status.step(Step::StartReachability, found.is_some(), |info| {
            info.join_cookie = found.flatten().map(Into::into);
        });
    };
    tokio::join!(site, hint, clusters);
}

/// Reports the failure of an optional step, with no more than a line in the log.
fn report<T>(step: Step, outcome: Result<T, HttpError>) -> Option<T> {
    outcome.inspect_err(|error| debug!(%error, step = step.name(), "tolerated")).ok()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Preferences {
    #[serde(deserialize_with = "lenient::list")]
    sites: Vec<Site>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Site {
    #[serde(deserialize_with = "lenient::field")]
    site_url: String,
    #[serde(deserialize_with = "lenient::field")]
    default: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConversationUser {
    #[serde(deserialize_with = "lenient::field")]
    user_preferences: UserPreferences,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UserPreferences {
    #[serde(deserialize_with = "lenient::field")]
    user_preferences_items: PreferenceItems,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PreferenceItems {
    #[serde(rename = "preferredWebExSite", deserialize_with = "lenient::field")]
    preferred_site: String,
}

/// The default site of the user's meeting preferences, otherwise the first, otherwise the one that
/// the conversation service has. Guests have none.
async fn preferred_site(webex: &Webex) -> Result<Option<String>, HttpError> {
    let hydra = &webex.endpoints().hydra;
    if webex.user().await?.is_guest() {
        return Ok(None);
    }
    let answer = get::<Preferences>(webex, join(hydra, "meetingPreferences")).await;
    let mut sites = report(Step::FetchWebexSite, answer).unwrap_or_default().sites;
    sites.retain(|site| !site.site_url.is_empty());
    // The sort is stable: the default comes first, the rest keep their order.
    sites.sort_by_key(|site| !site.default);
    if let Some(site) = sites.into_iter().next() {
        return Ok(Some(site.site_url));
    }
    let Some(conversation) = service(webex, "conversation").await else { return Ok(None) };
    let user: ConversationUser = get(webex, join(&conversation, "users")).await?;
    let site = user.user_preferences.user_preferences_items.preferred_site;
    Ok(Some(site).filter(|site| !site.is_empty()))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Clusters {
    join_cookie: Option<Value>,
}

/// Fetches the media clusters, twice if necessary, and keeps the join cookie.
async fn join_cookie(webex: &Webex) -> Result<Option<String>, HttpError> {
    let Some(calliope) = service(webex, "calliopeDiscovery").await else { return Ok(None) };
    let request =
        Request::post(join(&calliope, "clusters")).timeout(SIDE_STEP_TIMEOUT).json(&json!({
            "supported-options": {"report-version": 1, "early-call-min-clusters": true},
            "previous-report": null,
            "client-environment": {"components": {"app": "1.0"}},
            "trigger": "startup",
        }));
    let answer = match webex.http().send(request.clone()).await {
        Ok(answer) => answer,
        Err(error) => {
            debug!(%error, "cluster discovery is tried again");
            webex.http().send(request).await?
        }
    };
    Ok(answer.json::<Clusters>()?.join_cookie.map(|cookie| cookie.to_string()))
}

async fn get<T: serde::de::DeserializeOwned>(webex: &Webex, url: Url) -> Result<T, HttpError> {
    webex.http().send(Request::get(url)).await?.json()
}

/// The address of a service that not every organization has.
async fn service(webex: &Webex, name: &str) -> Option<Url> {
    webex.service_url(name).await.inspect_err(|error| debug!(%error, "tolerated")).ok()
}

#[cfg(test)]
mod tests {
    use webex_tests::mutate::mutations;

    use super::*;

    #[test]
    fn one_odd_field_hides_no_other_site() {
        let whole = json!({"sites": [
            {"siteUrl": "a.webex.com", "default": false}, {"siteUrl": "b.webex.com", "default": true},
        ]});
        for (path, mutated) in mutations(&whole) {
            let read: Preferences = serde_json::from_value(mutated.clone()).unwrap();
            let other = read.sites.iter().any(|site| site.site_url == "b.webex.com");
            assert!(!path.starts_with("/sites/0") || other, "{mutated}");
        }
        let user = json!({"userPreferences": {"userPreferencesItems": {
            "preferredWebExSite": "a.webex.com", "other": 1,
        }}, "id": "x"});
        for (path, mutated) in mutations(&user) {
            let read: ConversationUser = serde_json::from_value(mutated.clone()).unwrap();
            let site = read.user_preferences.user_preferences_items.preferred_site;
            assert!(!path.ends_with("other") || site == "a.webex.com", "{mutated}");
        }
        for (_, mutated) in mutations(&json!({"joinCookie": {"a": 1}, "clusters": {}})) {
            assert!(serde_json::from_value::<Clusters>(mutated).is_ok());
        }
    }
}
