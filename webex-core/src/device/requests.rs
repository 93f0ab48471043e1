//! The requests about a device, and its saved state.

use std::sync::Arc;

use serde::Deserialize;
use tracing::debug;
use url::Url;

use super::{
    config::DeviceConfig,
    record::{Device, Saved},
};
use crate::{
    endpoints::join,
    error::{ErrorKind, HttpError},
    http::{Http, Request, Response},
    saved::SavedState,
};

/// The text of the refusal when the user has too many devices. Clients recognise it by this text
/// alone; no source documents its status.
const EXCESSIVE: &str = "User has excessive device registrations";

/// Key of the device in the saved state.
const SAVED: &str = "device";

impl Device {
    /// Registers a device. With `keep`, keeps its whole record.
    pub(crate) async fn register(
        http: &Http,
        wdm: &Url,
        config: &DeviceConfig,
        keep: bool,
    ) -> Result<Arc<Self>, HttpError> {
        let request = Request::post(with_details(join(wdm, "devices"))).json(config);
        let response = http.send(request.answer_limit(RECORD_LIMIT)).await?;
        let outcome = Self::answered(http, &response, keep, None);
        if outcome.is_err()
            && let Ok(Made { url }) = response.json()
        {
            // It is useless but exists, and nobody else would delete it.
            debug!("a device without the address of its socket is given up");
            let _ = delete(http, url).await;
        }
        outcome
    }

    /// Refreshes the device, so that it is kept for another [`DeviceConfig::ttl`].
    pub(crate) async fn refresh(
        &self,
        http: &Http,
        config: &DeviceConfig,
        keep: bool,
    ) -> Result<Arc<Self>, HttpError> {
        let body = self.refresh_body(config);
        let mut request = Request::put(with_details(self.url.clone())).json(&body);
        if let Some(etag) = &self.etag {
            request = request.header("if-none-match", etag);
        }
        let unchanged = || Ok(Arc::new(self.clone()));
        match http.send(request.answer_limit(RECORD_LIMIT)).await {
            // Unchanged: an answer to the condition, or one without a body.
            Ok(response) if response.body().is_empty() => unchanged(),
            Ok(response) => Self::answered(http, &response, keep, Some(self)),
            Err(error) => Err(error),
        }
    }

    /// Deletes the device. One that is already gone counts as deleted.
    pub(crate) async fn delete(&self, http: &Http) -> Result<(), HttpError> {
        delete(http, self.url.clone()).await
    }

    /// Loads the device of an earlier run, if one is saved for this cloud and organisation.
    pub(crate) async fn restore(
        saved: &SavedState,
        environment: &Url,
        org_id: Option<&str>,
    ) -> Option<Arc<Self>> {
        let saved = saved.load::<Saved>(SAVED).await?;
        Some(Arc::new(saved.into_device(environment, org_id)?))
    }

    /// Saves the device for the next start. Does nothing without a store.
    pub(crate) async fn save(&self, saved: &SavedState, environment: &Url) {
        if let Some(value) = self.to_saved(environment) {
            saved.save(SAVED, &value).await;
        }
    }

    /// Removes the device that is saved for the next start.
    pub(crate) async fn forget(saved: &SavedState) {
        saved.forget(SAVED).await;
    }

    fn answered(
        http: &Http,
        response: &Response,
        keep: bool,
        known: Option<&Self>,
    ) -> Result<Arc<Self>, HttpError> {
        let read = |body: &_| Self::read(body, response.header("etag"), keep, known);
        let device = response.read(read)?;
        // Requests go to it, and other services get it. The socket's address is checked when it is dialled.
        http.allow().check(&device.url)?;
        Ok(Arc::new(device))
    }
}

/// The largest record that is read, in bytes. One with all features takes tens of kilobytes.
const RECORD_LIMIT: usize = 1024 * 1024;

/// The device that an unusable registration has created nevertheless.
#[derive(Deserialize)]
struct Made {
    url: Url,
}

/// Whether the user was refused because of too many devices.
pub(crate) fn is_excessive(error: &HttpError) -> bool {
    error
        .service()
        .is_some_and(|error| error.message.as_ref().is_some_and(|it| it.as_str() == EXCESSIVE))
}

pub(super) async fn delete(http: &Http, device: Url) -> Result<(), HttpError> {
    match http.send(Request::delete(device).ignore_body()).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Requests the whole record, features included.
fn with_details(mut url: Url) -> Url {
    url.query_pairs_mut().append_pair("includeUpstreamServices", "all");
    url
}
