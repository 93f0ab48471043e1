//! The typed control API of the authorization server: [`Identity`].

use std::sync::Arc;

use tokio::time::Instant;

use crate::services::oauth::OAuthClient;
use crate::state::users::User;
use crate::state::{Change, World};

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
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub(crate) world: &'a Arc<World>,
}

impl Identity<'_> {
    /// Adds a client, or replaces the one with the same id.
    pub fn add_client(&self, client: OAuthClient) {
        self.world.oauth.lock().add_client(client);
        self.world.changed(|| Change::Settings);
    }

    /// Sets who signs in at the authorize page when the request has no `login_hint`. `false` when
    /// there is no such user. From the start it is the default user.
    pub fn sign_in_as(&self, user: impl AsRef<str>) -> bool {
        self.world.sign_in_as(user.as_ref())
    }

    /// Lets users refuse with this error code until [`agree`](Self::agree).
    pub fn refuse(&self, error: impl Into<String>) {
        self.world.set_refusal(Some(error.into()));
    }

    /// Lets users agree again.
    pub fn agree(&self) {
        self.world.set_refusal(None);
    }

    /// Confirms the user code of a device grant for a user. `false` when the code or the user is not
    /// known.
    pub fn approve_device(&self, user_code: &str, user: impl AsRef<str>) -> bool {
        let user = self.world.users.lock().by_id(user.as_ref());
        user.is_some_and(|user| self.world.decide_device(user_code, Some(user)))
    }

    /// Denies the user code of a device grant. `false` when it is not known.
    pub fn deny_device(&self, user_code: &str) -> bool {
        self.world.decide_device(user_code, None)
    }

    /// How many live access tokens a user has.
    pub fn live_tokens(&self, user: impl AsRef<str>) -> usize {
        self.world.tokens.lock().live(user.as_ref(), Instant::now())
    }

    /// Revokes all access and refresh tokens of a user and says how many there were.
    pub fn revoke_all(&self, user: impl AsRef<str>) -> usize {
        self.world.revoke_all(user.as_ref())
    }
}

impl World {
    pub(crate) fn sign_in_as(&self, user_id: &str) -> bool {
        let user: Option<Arc<User>> = self.users.lock().by_id(user_id);
        let is_known = user.is_some();
        if is_known {
            self.oauth.lock().consent.user = user;
            self.changed(|| Change::Settings);
        }
        is_known
    }

    pub(crate) fn set_refusal(&self, error: Option<String>) {
        self.oauth.lock().consent.refusal = error;
        self.changed(|| Change::Settings);
    }

    pub(crate) fn revoke_all(&self, user_id: &str) -> usize {
        let revoked = self.tokens.lock().revoke_user(user_id);
        self.changed(|| Change::TokensChanged);
        revoked
    }
}
