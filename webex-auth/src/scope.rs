//! Scopes: what a token allows.
//!
//! A [`Scope`] is one word, [`Scopes`] an ordered set of them. The order of requested and granted
//! scopes differs, so sets are compared, never texts.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use thiserror::Error;

/// One OAuth scope.
///
/// The constants are those that the SDK and its documentation mention; use [`Scope::new`] for any
/// other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Cow<'static, str>);

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Scope {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($value));)*
        }
    };
}

scopes! {
    /// Everything a Webex client may do for its user, except calling.
    SPARK_ALL = "spark:all";
    /// Keys of encrypted content; used together with [`Scope::SPARK_ALL`].
    SPARK_KMS = "spark:kms";
    /// Webex Calling from a WebRTC client.
    WEBRTC_CALLING = "spark:webrtc_calling";
    /// Reading calls and call history.
    CALLS_READ = "spark:calls_read";
    /// Making and controlling calls.
    CALLS_WRITE = "spark:calls_write";
    /// The XSI services of Webex Calling.
    XSI = "spark:xsi";
    /// Who the user is (`people/me`).
    PEOPLE_READ = "spark:people_read";
    /// Reading scheduled meetings.
    MEETINGS_SCHEDULES_READ = "meeting:schedules_read";
    /// Creating and changing scheduled meetings.
    MEETINGS_SCHEDULES_WRITE = "meeting:schedules_write";
    /// Creating guests with a service app.
    GUEST_ISSUER_WRITE = "guest-issuer:write";
    /// Reading guests created with a service app.
    GUEST_ISSUER_READ = "guest-issuer:read";
    /// The identity broker's default for client credentials.
    SQUARED_ADMIN = "webexsquare:admin";
}

impl Scope {
    /// A scope by its name.
    ///
    /// # Errors
    /// [`InvalidScope`] for a name that RFC 6749 §3.3 does not allow: empty, or with white space,
    /// quotes, backslashes or non-ASCII characters.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidScope> {
        let name = name.into();
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(InvalidScope(name));
        }
        Ok(Self(Cow::Owned(name)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot be a scope.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a scope: a scope is visible ASCII without quotes and backslashes")]
pub struct InvalidScope(String);

/// A set of scopes, in alphabetical order.
///
/// ```
/// use webex_auth::{Scope, Scopes};
///
/// let wanted = Scopes::calling() | [Scope::SPARK_ALL, Scope::SPARK_KMS];
/// let granted: Scopes = "spark:all spark:kms spark:xsi spark:calls_read".parse()?;
/// assert_eq!(wanted.missing_from(&granted).to_string(), "spark:calls_write spark:webrtc_calling");
/// # Ok::<(), webex_auth::InvalidScope>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// The scopes that Webex Calling requires, according to its documentation.
    pub fn calling() -> Self {
        [Scope::WEBRTC_CALLING, Scope::CALLS_READ, Scope::CALLS_WRITE, Scope::XSI].into()
    }

    /// The usual scopes of the Meetings SDK: `spark:all spark:kms`.
    pub fn meetings() -> Self {
        [Scope::SPARK_ALL, Scope::SPARK_KMS].into()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of scopes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `scope` is in the set.
    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.contains(scope)
    }

    /// The scopes in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// The scopes that `granted` lacks.
    #[must_use]
    pub fn missing_from(&self, granted: &Self) -> Self {
        Self(self.0.difference(&granted.0).cloned().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Scopes {
    type Err = InvalidScope;

    /// Parses scopes separated by any white space.
    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        text.split_whitespace().map(Scope::new).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl<const N: usize> From<[Scope; N]> for Scopes {
    fn from(scopes: [Scope; N]) -> Self {
        scopes.into_iter().collect()
    }
}

impl IntoIterator for Scopes {
    type Item = Scope;
    type IntoIter = std::collections::btree_set::IntoIter<Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<I: IntoIterator<Item = Scope>> std::ops::BitOr<I> for Scopes {
    type Output = Self;

    fn bitor(mut self, other: I) -> Self {
        self.0.extend(other);
        self
    }
}

/// A token lacks scopes that the program needs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the token lacks the scopes `{missing}`: add them to the integration and sign in again")]
pub struct MissingScopes {
    /// The missing scopes.
    pub missing: Scopes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calling_is_the_documented_set() {
        assert_eq!(
            Scopes::calling().to_string(),
            "spark:calls_read spark:calls_write spark:webrtc_calling spark:xsi"
        );
    }

    #[test]
    fn the_documents_table_has_each_sets_scopes() {
        let document = include_str!("../docs/auth.md");
        for (name, scopes) in [
            ("`Scopes::calling()`", Scopes::calling()),
            ("`Scopes::meetings()`", Scopes::meetings()),
            ("`Scope::PEOPLE_READ`", [Scope::PEOPLE_READ].into()),
            ("`Scope::GUEST_ISSUER_WRITE`", [Scope::GUEST_ISSUER_WRITE].into()),
        ] {
            let row = document.lines().find(|line| line.starts_with('|') && line.contains(name));
            let cell = row.and_then(|row| row.split('|').nth(2)).expect(name);
            let written: Scopes = cell.replace(['`', ','], " ").parse().unwrap();
            assert_eq!(written, scopes, "{name}");
        }
    }

    #[test]
    fn order_and_white_space_do_not_matter() {
        let one: Scopes = "b a\t c\n".parse().unwrap();
        assert_eq!(one, "c b a".parse().unwrap());
        assert_eq!(one.to_string(), "a b c");
    }

    #[test]
    fn refuses_text_that_would_break_a_request() {
        for name in ["", "two words", "quote\"", "back\\slash", "ümlaut", "new\nline"] {
            assert!(Scope::new(name).is_err(), "{name:?}");
        }
    }
}
