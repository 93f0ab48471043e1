//! The users (and guests) of the sandbox.

use std::{collections::HashMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A user, with a ready-made access token.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct User {
    /// Person id, a uuid: `userId` of WDM and Mobius.
    pub id: String,
    /// E-mail address.
    pub email: String,
    /// Name shown to others.
    pub display_name: String,
    /// Organization, a uuid: third field of every token of this user.
    pub org_id: String,
    /// Person or guest.
    pub kind: UserKind,
    /// SIP address of the user's calling lines.
    pub sip_address: String,
    /// Phone number, as in a `tel:` URI.
    pub phone_number: String,
    /// Extension within the organization.
    pub extension: String,
    /// Preferred Webex site, for example `acme.webex.com`.
    pub site: String,
    /// Whether Mobius accepts lines of this user; if not it answers 403 with error code 102.
    pub webrtc_calling: bool,
    /// Whether Mercury accepts sockets of this user; if not it closes them with 4403.
    pub mercury: bool,
    token: String,
}

impl User {
    /// The access token made with the user. It does not expire by itself.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

impl AsRef<str> for User {
    /// The user's id, so that a `&User` can be passed as an id.
    fn as_ref(&self) -> &str {
        &self.id
    }
}

/// What kind of account a user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum UserKind {
    /// An ordinary account.
    #[default]
    Person,
    /// A guest (`type` is `appuser`).
    AppUser,
}

/// Description of a user to be added; unset fields are filled in.
///
/// An e-mail address alone is enough: `sandbox.add_user("ann@example.com")`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NewUser {
    /// E-mail address. Default: a generated one.
    pub email: Option<String>,
    /// Name shown to others. Default: the part of the e-mail before `@`.
    pub display_name: Option<String>,
    /// Organization (uuid). Default: the one of the default user.
    pub org_id: Option<String>,
    /// Person or guest. Default: person.
    pub kind: UserKind,
    /// Extension. Default: counted up from 5000.
    pub extension: Option<String>,
    /// Preferred site. Default: `acme.webex.com`.
    pub site: Option<String>,
    /// Entitled to Webex Calling. Default: yes.
    pub webrtc_calling: Option<bool>,
    /// Entitled to Mercury. Default: yes.
    pub mercury: Option<bool>,
}

impl From<&str> for NewUser {
    fn from(email: &str) -> Self {
        Self { email: Some(email.to_owned()), ..Self::default() }
    }
}

impl NewUser {
    /// Sets the organization.
    #[must_use]
    pub fn in_org(mut self, org_id: impl Into<String>) -> Self {
        self.org_id = Some(org_id.into());
        self
    }

    /// Makes the user a guest.
    #[must_use]
    pub fn guest(mut self) -> Self {
        self.kind = UserKind::AppUser;
        self
    }

    /// Removes the entitlement to Webex Calling.
    #[must_use]
    pub fn without_calling(mut self) -> Self {
        self.webrtc_calling = Some(false);
        self
    }

    /// Removes the entitlement to Mercury.
    #[must_use]
    pub fn without_mercury(mut self) -> Self {
        self.mercury = Some(false);
        self
    }

    /// Sets the extension.
    #[must_use]
    pub fn with_extension(mut self, extension: impl Into<String>) -> Self {
        self.extension = Some(extension.into());
        self
    }
}

/// All users, in the order they were added.
#[derive(Debug, Default)]
pub(crate) struct Users {
    by_id: HashMap<String, Arc<User>>,
    order: Vec<Arc<User>>,
}

impl Users {
    /// Completes `new` and makes a token with `mint(org id)`.
    pub(crate) fn add(
        &mut self,
        new: NewUser,
        default_org: &str,
        mint: impl FnOnce(&str) -> String,
    ) -> Arc<User> {
        let number = self.order.len();
        let email = new.email.unwrap_or_else(|| format!("user{number}@sandbox.example"));
        let name = email.split('@').next().unwrap_or_default().to_owned();
        let org_id = new.org_id.unwrap_or_else(|| default_org.to_owned());
        let user = Arc::new(User {
            id: Uuid::new_v4().to_string(),
            display_name: new.display_name.unwrap_or_else(|| name.clone()),
            token: mint(&org_id),
            org_id,
            kind: new.kind,
            sip_address: format!("sip:{name}@12345678.calling.sandbox.example"),
            phone_number: format!("+1555{number:07}"),
            extension: new.extension.unwrap_or_else(|| (5000 + number).to_string()),
            site: new.site.unwrap_or_else(|| "acme.webex.com".to_owned()),
            webrtc_calling: new.webrtc_calling.unwrap_or(true),
            mercury: new.mercury.unwrap_or(true),
            email,
        });
        self.by_id.insert(user.id.clone(), Arc::clone(&user));
        self.order.push(Arc::clone(&user));
        user
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<User>> {
        self.by_id.get(id).cloned()
    }

    /// The first user with this e-mail address, ignoring case.
    pub(crate) fn by_email(&self, email: &str) -> Option<Arc<User>> {
        self.order.iter().find(|user| user.email.eq_ignore_ascii_case(email)).cloned()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<User>> {
        self.order.iter()
    }
}
