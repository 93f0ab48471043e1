//! The driver's work with network and store: one job at a time.
//!
//! The order of a renewal is: stored tokens (another process may have renewed them) → lock → stored
//! tokens again → authorization server → store → unlock. New tokens are stored before they are
//! used.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use secrecy::{ExposeSecret, SecretString};
use tokio::time;
use tracing::{debug, error, warn};

use crate::{
    credentials::{Renewable, Source},
    http::{BoxFuture, TokenHttp, TokenReply, TokenRequest, TokenTransportError},
    lifecycle::state::{ReauthReason, RenewError},
    oauth::error::OAuthError,
    provider::ProviderError,
    store::{
        error::StoreError,
        interface::{Store, StoreLock},
    },
    timings,
    token::AccessToken,
    token_error::TokenError,
    token_set::TokenSet,
    tokens::shared::Reply,
};

/// A job for the driver.
pub(super) enum Task {
    /// Get tokens other than `replacing`.
    Renew { replacing: Option<AccessToken> },
    /// Store tokens that could not be stored earlier.
    Save,
    /// Use the tokens of a new sign-in.
    Supply(Box<TokenSet>, Reply<()>),
    /// Revoke and erase.
    SignOut(Reply<()>),
}

/// The result of a job.
pub(super) enum End {
    Renewed(TokenSet),
    Unchanged,
    Failed(RenewError),
    Ended(ReauthReason),
    Saved,
    Supplied(TokenSet, Reply<()>, Result<(), TokenError>),
    SignedOut(Reply<()>, Result<(), TokenError>),
}

/// Renews and stores the tokens. A job owns it while it runs.
pub(super) struct Renewer {
    source: Source,
    http: Arc<dyn TokenHttp>,
    store: Option<(Arc<dyn Store>, String)>,
    /// The latest known tokens.
    set: Option<TokenSet>,
    /// A refresh token to start with.
    refresh_token: Option<SecretString>,
    /// Whether this process has seen tokens in the store: if they are gone, someone has signed out.
    was_stored: bool,
    /// Whether `set` is newer than the stored tokens.
    unsaved: bool,
}

impl Renewer {
    pub(super) fn new(
        source: Source,
        http: Arc<dyn TokenHttp>,
        store: Option<(Arc<dyn Store>, String)>,
        set: Option<TokenSet>,
        refresh_token: Option<SecretString>,
    ) -> Self {
        Self { source, http, store, set, refresh_token, was_stored: false, unsaved: false }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn set(&self) -> Option<&TokenSet> {
        self.set.as_ref()
    }

    /// Whether there is no store.
    pub(super) fn is_alone(&self) -> bool {
        self.store.is_none()
    }

    pub(super) fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    pub(super) async fn run(mut self, task: Task, now: SystemTime) -> (Self, End) {
        let end = match task {
            Task::Renew { replacing } => self.renew(replacing.as_ref(), now).await,
            Task::Save => self.save_late().await,
            Task::Supply(set, reply) => self.supply(*set, reply).await,
            Task::SignOut(reply) => {
                let result = self.sign_out().await;
                End::SignedOut(reply, result)
            }
        };
        (self, end)
    }

    async fn renew(&mut self, replacing: Option<&AccessToken>, now: SystemTime) -> End {
        let Some((store, name)) = self.store.clone() else {
            return self.request(replacing, now, None).await;
        };
        if !self.unsaved
            && let Ok(Some(set)) = self.load().await
            && is_fresh(&set, replacing, now)
        {
            return self.adopt(set);
        }
        let lock = match store.lock(&name).await {
            Ok(lock) => lock,
            Err(error) => return End::Failed(error.into()),
        };
        let end = self.renew_locked(replacing, now, &lock).await;
        lock.release().await;
        end
    }

    async fn renew_locked(
        &mut self,
        replacing: Option<&AccessToken>,
        now: SystemTime,
        lock: &StoreLock,
    ) -> End {
        if self.unsaved {
            if let Err(error) = self.save().await {
                return End::Failed(error.into()); // its refresh token must not be used before it is stored
            }
        } else {
            match self.load().await {
                Ok(Some(set)) if is_fresh(&set, replacing, now) => return self.adopt(set),
                Ok(Some(set)) => {
                    self.set = Some(set);
                    self.was_stored = true;
                }
                Ok(None) if self.was_stored => return End::Ended(ReauthReason::SignedOut),
                Ok(None) => {
                    let given = self.set.clone().filter(|set| is_fresh(set, replacing, now));
                    if let Some(set) = given {
                        self.keep(set.clone()).await;
                        return End::Renewed(set);
                    }
                }
                // The tokens of this process are good; the store moves the damaged value aside when it is replaced.
                Err(error @ (StoreError::Corrupt(_) | StoreError::Foreign(_)))
                    if self.was_stored =>
                {
                    warn!(%error, "going on with the tokens in memory");
                }
                Err(error @ (StoreError::Corrupt(_) | StoreError::Foreign(_))) => {
                    return End::Ended(ReauthReason::Store(error));
                }
                Err(error) => return End::Failed(error.into()),
            }
        }
        self.request(replacing, now, Some(lock)).await
    }

    /// Requests new tokens from the source and stores them.
    async fn request(
        &mut self,
        replacing: Option<&AccessToken>,
        now: SystemTime,
        lock: Option<&StoreLock>,
    ) -> End {
        let before = self.set.as_ref().map(|set| set.access_token().clone());
        let old = match (&self.set, &self.refresh_token) {
            (Some(set), _) => Renewable::Tokens(set),
            (None, Some(token)) => Renewable::RefreshToken(token),
            (None, None) => Renewable::Nothing,
        };
        let renewal = time::timeout(timings::REQUEST, self.source.renew(&*self.http, old));
        let renewed = renewal.await.unwrap_or_else(|_| {
            Err(ProviderError::OAuth(OAuthError::Transport(TokenTransportError::Timeout)))
        });
        let granted = self.set.as_ref().and_then(TokenSet::granted).cloned().unwrap_or_default();
        let mut set = match renewed {
            Ok(set) => set,
            Err(error) => return self.not_renewed(error).await,
        };
        if !matches!(self.source, Source::Provider(_)) {
            set = set.counted_from(now);
        }
        if let Err(lost) = set.require(&granted) {
            warn!(scopes = %lost.missing, "the renewed token lost scopes");
        }
        if [replacing, before.as_ref()].contains(&Some(set.access_token())) {
            return self.unchanged(set).await;
        }
        if let (Some(lock), Some(before)) = (lock, before)
            && !lock.is_held()
            && let Ok(Some(stored)) = self.load().await
            && *stored.access_token() != before
        {
            warn!("the lock was lost and another process renewed the tokens");
            return self.adopt(stored);
        }
        self.keep(set.clone()).await;
        End::Renewed(set)
    }

    async fn not_renewed(&mut self, error: ProviderError) -> End {
        match error {
            error if error.is_temporary() => End::Failed(match error {
                ProviderError::OAuth(error) => error.into(),
                error => error.into(),
            }),
            ProviderError::OAuth(OAuthError::NotConfigured("refresh token")) => {
                End::Ended(match self.set {
                    Some(_) => ReauthReason::NotRenewable,
                    None => ReauthReason::NotSignedIn,
                })
            }
            ProviderError::OAuth(error) if error.is_configuration() => {
                End::Ended(ReauthReason::Configuration(error))
            }
            // Only a code of the protocol ends a sign-in, and a provider's request has none.
            ProviderError::OAuth(error @ OAuthError::Refused(_))
                if !matches!(self.source, Source::Provider(_)) =>
            {
                End::Failed(error.into())
            }
            ProviderError::OAuth(error) => {
                if matches!(error, OAuthError::InvalidGrant(_)) {
                    // No process can use it any longer.
                    let _ = self.erase().await; // logged there
                }
                End::Ended(ReauthReason::Refused(error))
            }
            error => End::Ended(ReauthReason::Provider(error)),
        }
    }

    /// The server returned the old access token; a new refresh token in the answer is kept.
    async fn unchanged(&mut self, set: TokenSet) -> End {
        if let Some(old) = &self.set
            && old.expose_refresh_token() != set.expose_refresh_token()
            && let Some(token) = set.expose_refresh_token()
        {
            let kept = old.clone().refresh_token(token);
            self.keep(kept).await;
        }
        End::Unchanged
    }

    async fn save_late(&mut self) -> End {
        if let Err(error) = self.save().await {
            warn!(%error, "the tokens still cannot be stored");
        }
        End::Saved
    }

    async fn supply(&mut self, set: TokenSet, reply: Reply<()>) -> End {
        let lock = match &self.store {
            // Done under the lock, or another process' renewal of the old tokens could overwrite them.
            Some((store, name)) => match store.lock(name).await {
                Ok(lock) => Some(lock),
                Err(error) => {
                    warn!(%error, "supplying tokens without the lock");
                    None
                }
            },
            None => None,
        };
        let result = self.try_keep(set.clone()).await;
        if let Some(lock) = lock {
            lock.release().await;
        }
        End::Supplied(set, reply, result.map_err(|error| failed(&error)))
    }

    async fn sign_out(&mut self) -> Result<(), TokenError> {
        let lock = match &self.store {
            Some((store, name)) => Some(store.lock(name).await.map_err(|error| failed(&error))?),
            None => None,
        };
        if let Ok(Some(set)) = self.load().await {
            self.set = Some(set);
        }
        let revoked = match (&self.source, &self.set) {
            (Source::Integration(integration), Some(set))
                if integration.endpoints().can_revoke() =>
            {
                time::timeout(timings::REQUEST, integration.revoke_set(&*self.http, set))
                    .await
                    .unwrap_or(Err(OAuthError::Transport(TokenTransportError::Timeout)))
            }
            _ => Ok(()),
        };
        let erased = self.erase().await;
        if let Some(lock) = lock {
            lock.release().await;
        }
        erased.map_err(|error| failed(&error))?;
        revoked.map_err(|error| TokenError::Unavailable { reason: error.to_string() })
    }

    // --- the store ---------------------------------------------------------------------------

    fn adopt(&mut self, set: TokenSet) -> End {
        debug!("using the tokens in the store");
        self.set = Some(set.clone());
        self.was_stored = true;
        End::Renewed(set)
    }

    async fn load(&self) -> Result<Option<TokenSet>, StoreError> {
        let Some((store, name)) = &self.store else { return Ok(None) };
        let Some(json) = store.load(name).await? else { return Ok(None) };
        let set = TokenSet::from_json(json.expose_secret());
        set.map(Some).map_err(|_| StoreError::Foreign(name.clone()))
    }

    /// Makes `set` the current one, and stores it. If it cannot be stored it is still used, because
    /// there is no other; but its refresh token is not used before it is stored.
    async fn keep(&mut self, set: TokenSet) {
        if let Err(error) = self.try_keep(set).await {
            error!(%error, "the new tokens are in memory only");
        }
    }

    async fn try_keep(&mut self, set: TokenSet) -> Result<(), StoreError> {
        self.set = Some(set);
        self.unsaved = true;
        let mut result = self.save().await;
        for pause in SAVE_AGAIN {
            let Err(error) = &result else { break };
            warn!(%error, "the tokens were not stored, trying again");
            time::sleep(pause).await;
            result = self.save().await;
        }
        result
    }

    async fn save(&mut self) -> Result<(), StoreError> {
        if let (Some((store, name)), Some(set)) = (&self.store, &self.set) {
            store.save(name, set.to_json()).await?;
            self.was_stored = true;
        }
        self.unsaved = false;
        Ok(())
    }

    async fn erase(&mut self) -> Result<(), StoreError> {
        self.set = None;
        self.refresh_token = None;
        self.unsaved = false;
        let Some((store, name)) = &self.store else { return Ok(()) };
        store.delete(name).await.inspect_err(|error| {
            warn!(%error, "the tokens were not erased from the store");
        })
    }
}

/// Pauses between attempts to store new tokens: short, since requests wait for them.
const SAVE_AGAIN: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

/// Whether a stored set can be used instead of a renewal.
fn is_fresh(set: &TokenSet, replacing: Option<&AccessToken>, now: SystemTime) -> bool {
    replacing != Some(set.access_token()) && set.expires().is_none_or(|expires| now < expires)
}

fn failed(error: &StoreError) -> TokenError {
    TokenError::Store { reason: error.to_string() }
}

/// For credentials whose requests the SDK does not make.
pub(super) struct NoHttp;

impl TokenHttp for NoHttp {
    fn send<'a>(
        &'a self,
        _: &'a TokenRequest,
    ) -> BoxFuture<'a, Result<TokenReply, TokenTransportError>> {
        let error = TokenTransportError::connection("the tokens were made without an HTTP client");
        Box::pin(std::future::ready(Err(error)))
    }
}
