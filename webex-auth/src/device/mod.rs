//! Signing in on another device (RFC 8628): the program shows a short code and a link, the user
//! opens the link on a phone, and the program polls until the user has decided.
//!
//! ```no_run
//! use std::sync::Arc;
//! use webex_auth::{DeviceState, Integration, TokenHttp};
//!
//! # async fn run(integration: Integration, http: Arc<dyn TokenHttp>) -> Result<(), Box<dyn std::error::Error>> {
//! let mut sign_in = integration.device_sign_in(http).await?;
//! println!("open {} and enter {}", sign_in.prompt().link(), sign_in.prompt().code());
//! while let Some(state) = sign_in.next().await {
//!     match state {
//!         DeviceState::Waiting { time_left } => println!("{} s left", time_left.as_secs()),
//!         DeviceState::SignedIn(tokens) => println!("done: {tokens:?}"),
//!         DeviceState::Failed(error) => println!("{error}"),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```

mod machine;
mod state;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{Stream, stream};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{self, Instant};
use url::Url;

use crate::{
    device::machine::{Schedule, Verdict},
    http::{BoxFuture, TokenHttp, TokenTransportError},
    oauth::{
        answer::Fields, client::plain, endpoints::ClientAuth, error::OAuthError,
        integration::Integration, wire,
    },
    server_text::ServerText,
    timings,
    token_set::TokenSet,
};

pub use self::state::{DeviceError, DeviceState};

/// What to show to the user.
#[derive(Clone)]
pub struct DevicePrompt {
    code: SecretString,
    link: Url,
    link_with_code: Option<Url>,
    life: Duration,
}

impl DevicePrompt {
    /// The code to enter. Anyone who has it in time can decide about the sign-in: show it only to
    /// the user.
    pub fn code(&self) -> &str {
        self.code.expose_secret()
    }

    /// The page on which the code is entered.
    pub fn link(&self) -> &Url {
        &self.link
    }

    /// The same page with the code filled in, if the server sends one. As secret as the code.
    pub fn link_with_code(&self) -> Option<&Url> {
        self.link_with_code.as_ref()
    }

    /// How long the code is valid from the start.
    pub fn life(&self) -> Duration {
        self.life
    }

    /// The link (with the code, if there is one) as a QR code in lines of text, for a dark
    /// terminal. As secret as the code.
    ///
    /// `None` when the link is too long for a QR code.
    #[cfg(feature = "qr")]
    pub fn qr(&self) -> Option<String> {
        use qrcode::{QrCode, render::unicode::Dense1x2};

        let link = self.link_with_code.as_ref().unwrap_or(&self.link);
        let code = QrCode::new(link.as_str()).ok()?;
        let (dark, light) = (Dense1x2::Light, Dense1x2::Dark); // the terminal is the dark side
        Some(code.render::<Dense1x2>().dark_color(dark).light_color(light).build())
    }
}

impl fmt::Debug for DevicePrompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevicePrompt")
            .field("link", &self.link.as_str())
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// A device sign-in in progress. Dropping it cancels it.
pub struct DeviceSignIn {
    integration: Integration,
    http: Arc<dyn TokenHttp>,
    device_code: SecretString,
    prompt: DevicePrompt,
    started: Instant,
    schedule: Schedule,
    phase: Phase,
    /// Survives a cancelled [`next`](Self::next): its answer may be the tokens, which come only once.
    poll: Option<BoxFuture<'static, Result<TokenSet, OAuthError>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Begun,
    Polling,
    Over,
}

impl Integration {
    /// Starts a sign-in on another device, with the integration's scopes.
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] when the endpoints have no device sign-in; otherwise the
    /// server's error.
    pub async fn device_sign_in(
        &self,
        http: Arc<dyn TokenHttp>,
    ) -> Result<DeviceSignIn, OAuthError> {
        let missing = OAuthError::NotConfigured("device sign-in endpoint");
        let url = self.endpoints().device_authorize.clone().ok_or(missing)?;
        // This request has no client authentication (RFC 8628 §3.1).
        let form = vec![
            ("client_id", plain(self.client_id())),
            ("scope", plain(self.scopes().to_string())),
        ];
        let started = Instant::now();
        let reply = wire::send(&*http, self.endpoints().request(url).form(form)).await?;
        let answer = DeviceAnswer::read(&wire::fields(&reply)?, self.endpoints().plain_http)?;
        Ok(DeviceSignIn {
            integration: self.clone(),
            http,
            device_code: answer.device_code,
            started,
            schedule: Schedule::new(answer.interval, answer.prompt.life),
            prompt: answer.prompt,
            phase: Phase::Begun,
            poll: None,
        })
    }
}

impl DeviceSignIn {
    /// What to show to the user.
    pub fn prompt(&self) -> &DevicePrompt {
        &self.prompt
    }

    /// How long the code is still valid.
    pub fn time_left(&self) -> Duration {
        self.schedule.time_left(self.started.elapsed())
    }

    /// Waits for the next state; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Option<DeviceState> {
        match self.phase {
            Phase::Begun => {
                self.phase = Phase::Polling;
                return Some(DeviceState::Waiting { time_left: self.time_left() });
            }
            Phase::Polling => {}
            Phase::Over => return None,
        }
        if self.poll.is_none() {
            let Some(pause) = self.schedule.pause(self.started.elapsed()) else {
                time::sleep(self.time_left()).await;
                self.phase = Phase::Over;
                return Some(DeviceState::Failed(DeviceError::Expired));
            };
            time::sleep(pause).await;
        }
        let poll = match &mut self.poll {
            Some(poll) => poll,
            none => none.insert(Box::pin(poll(
                self.integration.clone(),
                Arc::clone(&self.http),
                self.device_code.clone(),
            ))),
        };
        let answer = poll.await;
        self.poll = None;
        let error = match answer {
            Ok(tokens) => {
                self.phase = Phase::Over;
                return Some(DeviceState::SignedIn(tokens));
            }
            Err(error) => error,
        };
        let asked = matches!(
            error,
            OAuthError::AuthorizationPending(_)
                | OAuthError::SlowDown(_)
                | OAuthError::RateLimited(_)
        );
        Some(match self.schedule.handle_error(self.started.elapsed(), error.clone()) {
            Verdict::Wait if !asked => {
                DeviceState::Unreachable { error, time_left: self.time_left() }
            }
            Verdict::Wait => DeviceState::Waiting { time_left: self.time_left() },
            Verdict::Over(error) => {
                self.phase = Phase::Over;
                DeviceState::Failed(error)
            }
        })
    }

    /// Waits for the end of the sign-in.
    ///
    /// # Errors
    /// [`DeviceError`] when the user refused, was too slow, or the server refused.
    pub async fn finish(mut self) -> Result<TokenSet, DeviceError> {
        loop {
            match self.next().await {
                Some(DeviceState::SignedIn(tokens)) => return Ok(tokens),
                Some(DeviceState::Failed(error)) => return Err(error),
                Some(_) => {}
                None => return Err(DeviceError::Expired),
            }
        }
    }

    /// Returns the states as a stream.
    pub fn into_stream(self) -> impl Stream<Item = DeviceState> + Send {
        stream::unfold(self, |mut sign_in| async move {
            let state = sign_in.next().await?;
            Some((state, sign_in))
        })
    }
}

impl fmt::Debug for DeviceSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceSignIn")
            .field("prompt", &self.prompt)
            .field("time_left", &self.time_left())
            .finish_non_exhaustive()
    }
}

/// One poll.
async fn poll(
    integration: Integration,
    http: Arc<dyn TokenHttp>,
    device_code: SecretString,
) -> Result<TokenSet, OAuthError> {
    let missing = OAuthError::NotConfigured("device sign-in endpoint");
    let url = integration.endpoints().device_token.clone().ok_or(missing)?;
    let mut form = vec![
        ("grant_type", plain("urn:ietf:params:oauth:grant-type:device_code")),
        ("device_code", device_code),
    ];
    // Webex requires Basic here, whatever the other endpoints accept, and also the client id.
    if integration.client().secret.is_some() {
        form.push(("client_id", plain(integration.client_id())));
    }
    let request = integration.endpoints().request(url);
    let request = integration.client().authenticate(request, form, ClientAuth::Basic)?;
    let poll = wire::obtain(&*http, request, SystemTime::now());
    time::timeout(timings::REQUEST, poll)
        .await
        .unwrap_or(Err(OAuthError::Transport(TokenTransportError::Timeout)))
}

/// The answer of the device endpoint (RFC 8628 §3.2).
struct DeviceAnswer {
    device_code: SecretString,
    prompt: DevicePrompt,
    interval: Option<Duration>,
}

impl DeviceAnswer {
    fn read(fields: &Fields<'_>, plain_http: bool) -> Result<Self, OAuthError> {
        // The user opens this link, so it must be a web page.
        let link = |name: &str| {
            let link: Url = fields.text(name)?.trim().parse().ok()?;
            wire::check_private(&link, plain_http).ok().map(|()| link)
        };
        let missing = OAuthError::BadAnswer("a code or the link is missing");
        let page = link("verification_uri").or_else(|| link("verification_url"));
        let life = fields.number("expires_in").map_or(timings::DEVICE_LIFE, Duration::from_secs);
        Ok(Self {
            device_code: fields.secret("device_code").ok_or(missing.clone())?,
            prompt: DevicePrompt {
                code: fields
                    .text("user_code")
                    .map(|code| SecretString::from(String::from(ServerText::new(&code))))
                    .filter(|code| !code.expose_secret().is_empty())
                    .ok_or(missing.clone())?,
                link: page.ok_or(missing)?,
                link_with_code: link("verification_uri_complete"),
                life: life.min(timings::DEVICE_LIFE_MAX),
            },
            interval: fields.number("interval").map(Duration::from_secs),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DeviceAnswer, OAuthError> {
        DeviceAnswer::read(&Fields::parse(json).unwrap(), false)
    }

    const CODES: &str =
        r#""device_code":"d","user_code":"u","verification_uri":"https://x.example/""#;

    #[test]
    fn only_codes_and_link_are_needed() {
        let answer = read(&format!("{{{CODES}}}")).unwrap();
        assert_eq!((answer.prompt.life, answer.interval), (timings::DEVICE_LIFE, None));
        for odd in ["null", "[]", "{}", "true", "\"x\""] {
            for name in ["expires_in", "interval", "verification_uri_complete", "message"] {
                let answer = read(&format!("{{{CODES},\"{name}\":{odd}}}")).unwrap();
                assert_eq!((answer.prompt.life, answer.interval), (timings::DEVICE_LIFE, None));
                assert_eq!(answer.prompt.link_with_code(), None);
            }
            for name in ["device_code", "user_code", "verification_uri"] {
                let odd = if odd == "\"x\"" { "\"\"" } else { odd };
                assert!(read(&format!("{{{CODES},\"{name}\":{odd}}}")).is_err(), "{name}: {odd}");
            }
        }
    }

    #[test]
    fn shown_codes_and_links_are_harmless() {
        let json =
            r#"{"device_code":"d","user_code":"A\u001b[2JB\u202e","verification_uri":"LINK"}"#;
        let prompt = read(&json.replace("LINK", "https://x.example/\\u202ea b")).unwrap().prompt;
        assert_eq!(prompt.code(), "A\u{fffd}[2JB\u{fffd}");
        assert!(prompt.link().as_str().is_ascii(), "{}", prompt.link());
        for link in ["javascript:alert(1)", "file:///etc/passwd", "http://x.example/", "x"] {
            assert!(read(&json.replace("LINK", link)).is_err(), "{link}");
        }
        assert!(read(&json.replace("LINK", "http://localhost:8443/")).is_ok());
    }
}
