//! Common to every kind of integration: the client's id and how it authenticates.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use crate::{
    http::TokenRequest,
    oauth::{authorize::CodeGrant, endpoints::ClientAuth, error::OAuthError},
    pasted,
};

/// The fields of a form.
pub(crate) type Form = Vec<(&'static str, SecretString)>;

/// A registered OAuth client.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: Option<SecretString>,
    pub(crate) redirect_uri: Option<String>,
}

impl Client {
    pub(crate) fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), secret: None, redirect_uri: None }
    }

    /// The secret, without characters that were pasted around it.
    ///
    /// # Errors
    /// [`OAuthError::BadSecret`] when it is malformed, which is found out without a request.
    pub(crate) fn secret(&self) -> Result<Option<&str>, OAuthError> {
        let secret = self.secret.as_ref().map(ExposeSecret::expose_secret);
        Ok(secret.map(pasted::secret).transpose()?)
    }

    pub(crate) fn redirect_uri(&self) -> Result<&str, OAuthError> {
        self.redirect_uri.as_deref().ok_or(OAuthError::NotConfigured("redirect URI"))
    }

    /// The form that exchanges a code.
    pub(crate) fn code_form(grant: CodeGrant) -> Form {
        let mut form = vec![
            ("grant_type", plain("authorization_code")),
            ("code", grant.code),
            ("redirect_uri", plain(grant.redirect_uri)),
        ];
        if let Some(verifier) = grant.verifier {
            form.push(("code_verifier", verifier));
        }
        form
    }

    /// The form that renews tokens.
    pub(crate) fn refresh_form(&self, token: SecretString) -> Form {
        let mut form = vec![("grant_type", plain("refresh_token")), ("refresh_token", token)];
        if let Some(uri) = &self.redirect_uri {
            form.push(("redirect_uri", plain(uri)));
        }
        form
    }

    /// Adds the client authentication. A public client, which has no secret, only sends its id in the form.
    pub(crate) fn authenticate(
        &self,
        request: TokenRequest,
        mut form: Form,
        how: ClientAuth,
    ) -> Result<TokenRequest, OAuthError> {
        Ok(match (self.secret()?, how) {
            (Some(secret), ClientAuth::Basic) => {
                request.authorization(basic(&self.id, secret)).form(form)
            }
            (secret, _) => {
                form.push(("client_id", plain(&self.id)));
                if let Some(secret) = secret {
                    form.push(("client_secret", plain(secret)));
                }
                request.form(form)
            }
        })
    }
}

/// Does not show the secret.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("secret", &self.secret.is_some())
            .field("redirect_uri", &self.redirect_uri)
            .finish()
    }
}

/// The value of HTTP Basic authorization; id and secret are form-encoded first (RFC 6749 §2.3.1).
fn basic(id: &str, secret: &str) -> SecretString {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = SecretString::from(format!("{}:{}", encoded(id), encoded(secret)));
    SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())))
}

/// A form value that is not secret itself, but is sent together with secrets.
pub(crate) fn plain(value: impl Into<String>) -> SecretString {
    SecretString::from(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_authentication_follows_the_standard() {
        assert_eq!(basic("id", "a:b").expose_secret(), "Basic aWQ6YSUzQWI=");
    }

    #[test]
    fn a_pasted_secret_is_accepted_or_refused_locally() {
        let request = |secret: &str| {
            let client = Client { secret: Some(SecretString::from(secret)), ..Client::new("id") };
            let request = TokenRequest::new("https://auth.example/".parse().unwrap());
            client.authenticate(request, Vec::new(), ClientAuth::Basic)
        };
        for pasted in ["a:b", "\u{feff}a:b\r\n", "WEBEX_CLIENT_SECRET=\"a:b\""] {
            let request = request(pasted).unwrap();
            assert_eq!(request.authorization_header(), Some("Basic aWQ6YSUzQWI="), "{pasted:?}");
        }
        let error = request("two words").unwrap_err();
        assert!(matches!(error, OAuthError::BadSecret(_)) && error.is_configuration(), "{error}");
        assert!(error.to_string().contains("a space at character 4"), "{error}");
    }
}
