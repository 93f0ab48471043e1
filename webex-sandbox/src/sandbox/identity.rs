//! The typed control API of the authorization server: [`Identity`].

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    control::{Control, Outcome, apply::apply},
    state::clients::OAuthClient,
    world::World,
};

/// Control over who signs in and which clients exist; made by
/// [`Sandbox::identity`](crate::Sandbox::identity).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use webex_sandbox::{OAuthClient, Sandbox};
/// # let sandbox = Sandbox::builder().plain(true).start().await?;
/// let bob = sandbox.add_user("bob@example.com");
/// let identity = sandbox.identity();
/// identity.add_client(OAuthClient::public("app").redirect_uri("http://127.0.0.1:9/cb"));
/// identity.sign_in_as(&bob); // whoever opens the authorize page now is Bob
/// identity.refuse("access_denied"); // … and says no
/// identity.agree();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    pub(crate) world: &'a Arc<World>,
}

impl Identity<'_> {
    /// Adds a client, or replaces the one with the same id.
    pub fn add_client(&self, client: OAuthClient) {
        self.apply(Control::AddClient(client));
    }

    /// Sets who signs in at the authorize page when the request has no `login_hint`. Returns
    /// `false` when the user does not exist. Default: the default user.
    pub fn sign_in_as(&self, user: impl AsRef<str>) -> bool {
        let refusal = self.world.oauth.lock().consent.refusal.clone();
        self.apply(Control::SetConsent { user: Some(user.as_ref().to_owned()), refusal })
    }

    /// Makes users refuse with this error code until [`agree`](Self::agree).
    pub fn refuse(&self, error: impl Into<String>) {
        self.apply(Control::SetConsent { user: None, refusal: Some(error.into()) });
    }

    /// Makes users agree again.
    pub fn agree(&self) {
        self.apply(Control::SetConsent { user: None, refusal: None });
    }

    /// Confirms the user code of a device grant for a user. Returns `false` when the code or the
    /// user is unknown.
    pub fn approve_device(&self, user_code: &str, user: impl AsRef<str>) -> bool {
        let user = Some(user.as_ref().to_owned());
        self.apply(Control::DecideDevice { user_code: user_code.to_owned(), approve: true, user })
    }

    /// Denies the user code of a device grant. Returns `false` when it is unknown.
    pub fn deny_device(&self, user_code: &str) -> bool {
        let user_code = user_code.to_owned();
        self.apply(Control::DecideDevice { user_code, approve: false, user: None })
    }

    /// How many live access tokens a user has.
    pub fn live_tokens(&self, user: impl AsRef<str>) -> usize {
        self.world.tokens.lock().live(user.as_ref(), Instant::now())
    }

    /// Revokes all access and refresh tokens of a user and returns how many there were.
    pub fn revoke_all(&self, user: impl AsRef<str>) -> usize {
        match apply(self.world, Control::RevokeTokens { user: user.as_ref().to_owned() }) {
            Ok(Outcome::Revoked { revoked }) => revoked,
            _ => 0,
        }
    }

    /// Applies a control. Returns `false` when its target does not exist.
    fn apply(self, control: Control) -> bool {
        apply(self.world, control).is_ok()
    }
}
