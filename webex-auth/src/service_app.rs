//! Service apps: programs that act for an organisation, authorized by its administrator.
//!
//! Their first tokens come from the developer portal, or from [`Integration::service_app_tokens`].
//! Afterwards they are renewed like any others: [`Credentials::refresh_token`] or
//! [`Credentials::integration`].
//!
//! [`Credentials::refresh_token`]: crate::Credentials::refresh_token
//! [`Credentials::integration`]: crate::Credentials::integration

use std::time::SystemTime;

use secrecy::SecretString;
use serde_json::json;

use crate::{
    http::TokenHttp,
    oauth::{error::OAuthError, integration::Integration, wire},
    token::AccessToken,
    token_set::TokenSet,
};

impl Integration {
    /// Gets the tokens of a service app in an organisation that authorized it (`POST
    /// applications/{id}/token`).
    ///
    /// `application_id` is the app's id in the developer portal, which is not its client id;
    /// `admin` is a token of an administrator who may issue the app's tokens.
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] without a secret, or with endpoints that have no service apps;
    /// otherwise the server's error.
    pub async fn service_app_tokens(
        &self,
        http: &dyn TokenHttp,
        application_id: &str,
        admin: &AccessToken,
        org_id: &str,
    ) -> Result<TokenSet, OAuthError> {
        let missing = OAuthError::NotConfigured("service app endpoint");
        let mut url = self.endpoints().applications.clone().ok_or(missing.clone())?;
        url.path_segments_mut().map_err(|()| missing)?.extend([application_id, "token"]);
        let secret = self.client().secret()?.ok_or(OAuthError::NotConfigured("client secret"))?;
        let body = json!({
            "clientId": self.client_id(),
            "clientSecret": secret,
            "targetOrgId": org_id,
        });
        let request = self
            .endpoints()
            .request(url)
            .authorization(SecretString::from(admin.authorization()))
            .json(&body, vec![SecretString::from(secret)]);
        wire::obtain(http, request, SystemTime::now()).await
    }
}
