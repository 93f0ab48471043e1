//! Access and refresh tokens.
//!
//! A token is `{random}_{cluster}_{org id}`: three fields, the third of which tells a client its
//! organization. Expiry is checked when a token is used. The number of a user's access tokens is
//! capped.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{seconds, state::users::User};

/// Second field of every token and code.
const CLUSTER: &str = "SBX1";

/// Scopes of ready-made tokens.
const USER_SCOPES: [&str; 7] = [
    "spark:all",
    "spark:kms",
    "spark:people_read",
    "spark:webrtc_calling",
    "spark:calls_read",
    "spark:calls_write",
    "spark:xsi",
];

/// What an access token stands for.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// `None` for tokens of a client rather than a person.
    pub(crate) user: Option<Arc<User>>,
    /// The client it was issued to; `None` for ready-made tokens.
    pub(crate) client_id: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires: Option<Instant>,
}

impl Access {
    /// All scopes of a person, no expiry.
    pub(crate) fn unlimited(user: &Arc<User>) -> Self {
        let scopes = USER_SCOPES.map(str::to_owned).into();
        Self { user: Some(Arc::clone(user)), client_id: None, scopes, expires: None }
    }
}

/// What a refresh token stands for.
#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    pub(crate) user: Arc<User>,
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires: Instant,
    /// The access token last issued with it.
    pub(crate) access: String,
}

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    /// Access tokens per user id, oldest first.
    by_user: HashMap<String, VecDeque<String>>,
}

impl Tokens {
    /// Returns a new unguessable token string.
    pub(crate) fn mint(org_id: &str) -> String {
        let random = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
        format!("{}{}_{CLUSTER}_{org_id}", random[0].simple(), random[1].simple())
    }

    /// Adds an access token, and revokes the user's oldest ones beyond `cap`.
    pub(crate) fn insert_access(&mut self, token: String, access: Access, cap: usize) {
        if let Some(user) = &access.user {
            let list = self.by_user.entry(user.id.clone()).or_default();
            list.push_back(token.clone());
            while list.len() > cap.max(1) {
                if let Some(oldest) = list.pop_front() {
                    self.access.remove(&oldest);
                }
            }
        }
        self.access.insert(token, access);
    }

    pub(crate) fn insert_refresh(&mut self, token: String, refresh: Refresh) {
        self.refresh.insert(token, refresh);
    }

    /// Looks up a live access token.
    pub(crate) fn access(&self, token: &str, now: Instant) -> Option<&Access> {
        self.access.get(token).filter(|access| access.expires.is_none_or(|expires| now < expires))
    }

    /// Looks up a live refresh token.
    pub(crate) fn refresh(&self, token: &str, now: Instant) -> Option<&Refresh> {
        self.refresh.get(token).filter(|refresh| now < refresh.expires)
    }

    pub(crate) fn refresh_mut(&mut self, token: &str) -> Option<&mut Refresh> {
        self.refresh.get_mut(token)
    }

    /// The client a token was issued to, if it is known and was issued to one.
    pub(crate) fn client_of(&self, token: &str) -> Option<&str> {
        let access = self.access.get(token).and_then(|access| access.client_id.as_deref());
        access.or_else(|| self.refresh.get(token).map(|refresh| refresh.client_id.as_str()))
    }

    /// Sets the expiry of an access or refresh token to `after` from `now`.
    pub(crate) fn expire(&mut self, token: &str, now: Instant, after: Duration) -> bool {
        let at = seconds::after(now, after);
        if let Some(access) = self.access.get_mut(token) {
            access.expires = Some(at);
            true
        } else if let Some(refresh) = self.refresh.get_mut(token) {
            refresh.expires = at;
            true
        } else {
            false
        }
    }

    /// Sets the expiry of all access tokens of a user to `after` from `now`; returns how many there are.
    pub(crate) fn expire_user(&mut self, user_id: &str, now: Instant, after: Duration) -> usize {
        let list = self.by_user.get(user_id).map(|list| list.iter()).into_iter().flatten();
        let mut count = 0;
        for token in list {
            if let Some(access) = self.access.get_mut(token) {
                access.expires = Some(seconds::after(now, after));
                count += 1;
            }
        }
        count
    }

    /// Revokes a token. Returns `false` when it was unknown.
    pub(crate) fn revoke(&mut self, token: &str) -> bool {
        if let Some(access) = self.access.remove(token) {
            if let Some(list) = access.user.and_then(|user| self.by_user.get_mut(&user.id)) {
                list.retain(|other| other != token);
            }
            return true;
        }
        self.refresh.remove(token).is_some()
    }

    /// Revokes all tokens of a user and returns how many there were.
    pub(crate) fn revoke_user(&mut self, user_id: &str) -> usize {
        let list = self.by_user.remove(user_id).unwrap_or_default();
        for token in &list {
            self.access.remove(token);
        }
        let before = self.refresh.len();
        self.refresh.retain(|_, refresh| refresh.user.id != user_id);
        list.len() + before - self.refresh.len()
    }

    /// Number of live access tokens of a user.
    pub(crate) fn live(&self, user_id: &str, now: Instant) -> usize {
        self.by_user
            .get(user_id)
            .map_or(0, |list| list.iter().filter(|token| self.access(token, now).is_some()).count())
    }
}
