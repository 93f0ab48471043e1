//! The browser's part of a sign-in: link, redirect, checks.
//!
//! An integration's `authorization()` makes an [`AuthorizationRequest`]. Its
//! [`start`](AuthorizationRequest::start) returns an [`Authorization`]: the link to open, and the
//! only way to turn the redirect into a [`CodeGrant`]. This consumes it, so a `state` works once. A
//! web server with many sign-ins in progress keeps them in [`Authorizations`].

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use thiserror::Error;
use url::{Url, form_urlencoded};

use crate::{
    oauth::{
        error::OAuthError,
        pkce::{Pkce, PkceMethod},
    },
    random,
    scope::Scopes,
    server_text::ServerText,
    timings,
};

/// Characters of a `state`: 192 random bits.
const STATE: usize = 32;

/// Builds the link that the user's browser opens.
#[must_use = "start() makes the link"]
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    endpoint: Url,
    client_id: String,
    redirect_uri: String,
    scopes: Scopes,
    pkce: Option<PkceMethod>,
    life: Duration,
    state: Option<SecretString>,
    extra: Vec<(Cow<'static, str>, String)>,
}

impl AuthorizationRequest {
    pub(crate) fn new(
        endpoint: Url,
        client_id: &str,
        redirect_uri: &str,
        scopes: Scopes,
        pkce: Option<PkceMethod>,
    ) -> Self {
        let (client_id, redirect_uri) = (client_id.to_owned(), redirect_uri.to_owned());
        let life = timings::AUTHORIZATION;
        Self {
            endpoint,
            client_id,
            redirect_uri,
            scopes,
            pkce,
            life,
            state: None,
            extra: Vec::new(),
        }
    }

    /// Requests other scopes than the integration's.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Redirects to another address than the integration's, for example to the port of a loopback
    /// listener. The authorization server must know the address.
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = uri.into();
        self
    }

    /// Names the user who should sign in, usually by e-mail (`login_hint`).
    pub fn login_hint(self, hint: impl Into<String>) -> Self {
        self.parameter("login_hint", hint)
    }

    /// Requests a certain page (`prompt`), for example `select_account`.
    pub fn prompt(self, prompt: impl Into<String>) -> Self {
        self.parameter("prompt", prompt)
    }

    /// Adds any other parameter. Those that this type sets itself cannot be replaced.
    pub fn parameter(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// Sets the `state`, which the redirect returns, and which is checked as usual. Default: 192
    /// random bits; an empty text counts as none.
    ///
    /// Danger: with a `state` that others can guess, a web page can sign the user in to another
    /// account. It must have a random part.
    pub fn state(mut self, state: impl Into<SecretString>) -> Self {
        self.state = Some(state.into()).filter(|state| !state.expose_secret().is_empty());
        self
    }

    /// Sets how long the user may take. Default: 10 minutes.
    pub fn expires_in(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// Makes the link, with a new PKCE verifier, and a new `state` unless one was set.
    pub fn start(self) -> Authorization {
        let state = self.state.unwrap_or_else(|| random::text(STATE));
        let pkce = self.pkce.map(Pkce::generate);
        let mut url = self.endpoint;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code");
            query.append_pair("client_id", &self.client_id);
            query.append_pair("redirect_uri", &self.redirect_uri);
            if !self.scopes.is_empty() {
                query.append_pair("scope", &self.scopes.to_string());
            }
            query.append_pair("state", state.expose_secret());
            if let Some(pkce) = &pkce {
                query.append_pair("code_challenge", &pkce.challenge());
                query.append_pair("code_challenge_method", pkce.method().as_str());
            }
            for (name, value) in self.extra.iter().filter(|(name, _)| !OURS.contains(&&**name)) {
                query.append_pair(name, value);
            }
        }
        let verifier = pkce.map(Pkce::into_verifier);
        let expires = Instant::now().checked_add(self.life);
        Authorization { url, state, verifier, redirect_uri: self.redirect_uri, expires }
    }
}

const OURS: [&str; 7] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

/// A sign-in that waits for the user. `Debug` shows neither `state` nor verifier.
pub struct Authorization {
    url: Url,
    state: SecretString,
    verifier: Option<SecretString>,
    redirect_uri: String,
    expires: Option<Instant>,
}

impl Authorization {
    /// The link to open in the user's browser.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The address that the browser will be redirected to.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Returns whether `redirect` belongs to this link, whether it has a code or an error.
    pub fn recognizes(&self, redirect: &Redirect) -> bool {
        let ours = self.state.expose_secret().as_bytes();
        let theirs = redirect.state.as_ref().map_or("", |state| state.expose_secret());
        ours.ct_eq(theirs.as_bytes()).into()
    }

    /// Checks the redirect, and returns the code grant to exchange for tokens.
    ///
    /// # Errors
    /// [`RedirectError::UnknownState`] for a redirect that belongs to another link or none,
    /// [`RedirectError::Expired`] when it comes too late, [`RedirectError::Refused`] with the
    /// server's reason, [`RedirectError::NoCode`].
    pub fn finish(self, redirect: Redirect) -> Result<CodeGrant, RedirectError> {
        if !self.recognizes(&redirect) {
            return Err(RedirectError::UnknownState);
        }
        if self.expires.is_some_and(|expires| Instant::now() >= expires) {
            return Err(RedirectError::Expired);
        }
        if let Some(code) = redirect.error {
            let secrets = [Some(&self.state), self.verifier.as_ref()];
            let secrets = secrets.into_iter().flatten().map(ExposeSecret::expose_secret);
            let error = OAuthError::from_redirect(&code, redirect.description.as_deref(), secrets);
            return Err(RedirectError::Refused(error));
        }
        let code = redirect.code.ok_or(RedirectError::NoCode)?;
        Ok(CodeGrant { code, verifier: self.verifier, redirect_uri: self.redirect_uri })
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("redirect_uri", &self.redirect_uri)
            .field("pkce", &self.verifier.is_some())
            .finish_non_exhaustive()
    }
}

/// The redirect that the browser followed. `Debug` shows neither code nor `state`.
#[derive(Clone)]
pub struct Redirect {
    code: Option<SecretString>,
    state: Option<SecretString>,
    error: Option<String>,
    description: Option<String>,
}

impl Redirect {
    /// Parses the whole address, or only its query, with or without the `?`.
    ///
    /// ```
    /// # use webex_auth::Redirect;
    /// Redirect::parse("https://app.example/callback?code=abc&state=def");
    /// Redirect::parse("error=access_denied&state=def");
    /// ```
    pub fn parse(address: &str) -> Self {
        let query = address.split_once('?').map_or(address, |(_, query)| query);
        let query = query.split_once('#').map_or(query, |(query, _)| query);
        let mut redirect = Self { code: None, state: None, error: None, description: None };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" => redirect.code = Some(SecretString::from(&*value)),
                "state" => redirect.state = Some(SecretString::from(&*value)),
                "error" => redirect.error = Some(value.into_owned()),
                "error_description" => redirect.description = Some(value.into_owned()),
                _ => {}
            }
        }
        redirect.code = redirect.code.filter(|code| !code.expose_secret().is_empty());
        redirect
    }

    /// Whether the server refused.
    pub fn is_refusal(&self) -> bool {
        self.error.is_some()
    }
}

impl fmt::Debug for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redirect")
            .field("code", &self.code.is_some())
            .field("state", &self.state.is_some())
            .field("error", &self.error.as_deref().map(ServerText::new))
            .finish_non_exhaustive()
    }
}

/// An authorization code with what is needed to exchange it. Codes are valid for a minute and work once.
pub struct CodeGrant {
    pub(crate) code: SecretString,
    pub(crate) verifier: Option<SecretString>,
    pub(crate) redirect_uri: String,
}

impl CodeGrant {
    /// A code obtained in another way, with the redirect URI of its link.
    pub fn new(code: impl Into<SecretString>, redirect_uri: impl Into<String>) -> Self {
        Self { code: code.into(), verifier: None, redirect_uri: redirect_uri.into() }
    }

    /// Adds the PKCE verifier whose challenge was in the link.
    #[must_use]
    pub fn verifier(mut self, verifier: impl Into<SecretString>) -> Self {
        self.verifier = Some(verifier.into());
        self
    }

    /// The organisation of the user, which is the third part of a broker's code.
    pub fn org_id(&self) -> Option<String> {
        crate::org::org_id(self.code.expose_secret()).ok()
    }
}

impl fmt::Debug for CodeGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeGrant")
            .field("redirect_uri", &self.redirect_uri)
            .field("pkce", &self.verifier.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a redirect has no usable code.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// The redirect belongs to no link of ours: it is forged, or was used before.
    #[error("the redirect belongs to no sign-in in progress: start the sign-in again")]
    UnknownState,
    /// The redirect came too late.
    #[error("the sign-in took too long: start it again")]
    Expired,
    /// The server refused; the error has the reason.
    #[error("the sign-in was refused")]
    Refused(#[source] OAuthError),
    /// The redirect has neither a code nor an error.
    #[error("the redirect holds no code: check the redirect URI of the integration")]
    NoCode,
}

/// Sign-ins in progress, for a program with many of them, such as a web server.
///
/// Each waits until its redirect comes or it expires. There are never more than
/// [`capacity`](Self::with_capacity): those that expire first are dropped, so that links nobody
/// follows cannot fill the memory.
#[derive(Debug)]
pub struct Authorizations {
    capacity: usize,
    waiting: Mutex<HashMap<String, Authorization>>,
}

impl Authorizations {
    /// Holds up to 10,000 sign-ins, about 10 MB.
    pub fn new() -> Self {
        Self::with_capacity(10_000)
    }

    /// Holds up to `capacity` sign-ins, at least one.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), waiting: Mutex::default() }
    }

    /// Starts a sign-in and returns the link for the user's browser.
    pub fn start(&self, request: AuthorizationRequest) -> Url {
        let authorization = request.start();
        let url = authorization.url.clone();
        let mut waiting = self.waiting.lock();
        if waiting.len() >= self.capacity {
            let now = Instant::now();
            waiting.retain(|_, other| other.expires.is_none_or(|expires| expires > now));
        }
        if waiting.len() >= self.capacity {
            // `None` sorts first: a sign-in that never expires is dropped before the others.
            let first = waiting.iter().min_by_key(|(_, other)| other.expires);
            if let Some(state) = first.map(|(state, _)| state.clone()) {
                waiting.remove(&state);
            }
        }
        waiting.insert(authorization.state.expose_secret().to_owned(), authorization);
        url
    }

    /// Finds the sign-in of a redirect, and finishes it. A second use of the same redirect is
    /// [`RedirectError::UnknownState`].
    ///
    /// # Errors
    /// As [`Authorization::finish`].
    pub fn finish(&self, redirect: Redirect) -> Result<CodeGrant, RedirectError> {
        let state = redirect.state.as_ref().ok_or(RedirectError::UnknownState)?;
        let authorization = self.waiting.lock().remove(state.expose_secret());
        authorization.ok_or(RedirectError::UnknownState)?.finish(redirect)
    }
}

impl Default for Authorizations {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> AuthorizationRequest {
        let endpoint = "https://auth.example/v1/authorize".parse().unwrap();
        let (redirect, pkce) = ("https://app.example/cb", Some(PkceMethod::S256));
        AuthorizationRequest::new(endpoint, "client", redirect, Scopes::calling(), pkce)
    }

    fn parameters(url: &Url) -> HashMap<String, String> {
        url.query_pairs().into_owned().collect()
    }

    fn answer(url: &Url, query: &str) -> Redirect {
        Redirect::parse(&format!("{query}&state={}", parameters(url)["state"]))
    }

    #[test]
    fn the_link_holds_the_documented_parameters() {
        let authorization = request().login_hint("ada@example.com").parameter("state", "x").start();
        let mut parameters = parameters(authorization.url());
        assert_eq!(parameters.remove("state").unwrap().len(), STATE);
        assert_eq!(parameters.remove("code_challenge").unwrap().len(), 43);
        let mut rest: Vec<_> = parameters.into_iter().collect();
        rest.sort();
        let expected = [
            ("client_id", "client"),
            ("code_challenge_method", "S256"),
            ("login_hint", "ada@example.com"),
            ("redirect_uri", "https://app.example/cb"),
            ("response_type", "code"),
            ("scope", "spark:calls_read spark:calls_write spark:webrtc_calling spark:xsi"),
        ];
        assert_eq!(rest, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(
            authorization.url().query_pairs().filter(|(name, _)| name == "state").count(),
            1
        );
    }

    #[test]
    fn only_the_redirect_of_the_link_is_accepted() {
        for forged in ["code=abc", "code=abc&state=", "code=abc&state=other"] {
            let error = request().start().finish(Redirect::parse(forged)).unwrap_err();
            assert!(matches!(error, RedirectError::UnknownState), "{forged}");
        }
        let authorization = request().start();
        let redirect = answer(authorization.url(), "code=a_b_org");
        let grant = authorization.finish(redirect).unwrap();
        assert_eq!(grant.org_id().unwrap(), "org");
        assert_eq!(grant.code.expose_secret(), "a_b_org");
        assert!(grant.verifier.is_some());
    }

    #[test]
    fn the_applications_own_state_is_sent_and_checked() {
        let authorization = || request().state("app st8te/17").start();
        assert_eq!(parameters(authorization().url())["state"], "app st8te/17");
        for other in ["code=abc", "code=abc&state=", "code=abc&state=app+st8te/18"] {
            let error = authorization().finish(Redirect::parse(other)).unwrap_err();
            assert!(matches!(error, RedirectError::UnknownState), "{other}");
        }
        let redirect = Redirect::parse("code=abc&state=app+st8te%2F17");
        assert!(authorization().finish(redirect.clone()).is_ok());
        let server = Authorizations::new();
        server.start(request().state("app st8te/17"));
        assert!(server.finish(redirect.clone()).is_ok());
        assert!(matches!(server.finish(redirect), Err(RedirectError::UnknownState)));
        assert_eq!(parameters(request().state("").start().url())["state"].len(), STATE);
    }

    #[test]
    fn refusals_and_empty_answers_have_different_errors() {
        let finish = |query: &str| {
            let authorization = request().start();
            let redirect = answer(authorization.url(), query);
            authorization.finish(redirect).unwrap_err()
        };
        let refused = finish("error=access_denied&error_description=no+thanks");
        let RedirectError::Refused(error @ OAuthError::AccessDenied(_)) = refused else {
            panic!("{refused}");
        };
        assert_eq!(error.reply().unwrap().description(), Some("no thanks"));
        assert!(matches!(finish("other=1"), RedirectError::NoCode));
        assert!(matches!(finish("code="), RedirectError::NoCode));
    }

    #[test]
    fn a_late_redirect_is_refused() {
        let authorization = request().expires_in(Duration::ZERO).start();
        let redirect = answer(authorization.url(), "code=abc");
        assert!(matches!(authorization.finish(redirect), Err(RedirectError::Expired)));
    }

    #[test]
    fn a_server_accepts_each_redirect_once_and_keeps_a_limited_number() {
        let server = Authorizations::with_capacity(2);
        let [first, second, third] = [1, 2, 3]
            .map(|minutes| server.start(request().expires_in(Duration::from_secs(60 * minutes))));
        let finish = |url: &Url| server.finish(answer(url, "code=abc"));
        assert!(matches!(finish(&first), Err(RedirectError::UnknownState)), "made room");
        assert!(finish(&third).is_ok());
        assert!(finish(&second).is_ok());
        assert!(matches!(finish(&second), Err(RedirectError::UnknownState)));
        assert!(matches!(
            server.finish(Redirect::parse("code=abc")),
            Err(RedirectError::UnknownState)
        ));
    }

    #[test]
    fn debug_shows_no_secret() {
        let authorization = request().start();
        let state = parameters(authorization.url())["state"].clone();
        let redirect = answer(authorization.url(), "code=s3cret-code");
        let before = format!("{authorization:?} {redirect:?}");
        let text = format!("{before} {:?}", authorization.finish(redirect).unwrap());
        assert!(!text.contains(&state) && !text.contains("s3cret"), "{text}");
    }
}
