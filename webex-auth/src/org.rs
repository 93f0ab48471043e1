//! The organisation id in a Webex token.
//!
//! Needed only when a catalog is fetched before sign-in is complete; otherwise the services return
//! the organisation.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use thiserror::Error;

/// Why a token has no readable organisation id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OrgIdError {
    /// The token is a JWT, but its claims have no `realm`.
    #[error("the token is a JWT without a `realm` claim")]
    NoRealm,
    /// The token is opaque and not made of three `_`-separated parts.
    #[error("the token does not carry an organisation id")]
    Opaque,
}

/// Reads the organisation id: the `realm` of a JWT, or the third of three `_`-separated parts.
pub(crate) fn org_id(token: &str) -> Result<String, OrgIdError> {
    if let Some(claims) = jwt_claims(token) {
        return claims.realm.ok_or(OrgIdError::NoRealm);
    }
    match *token.split('_').collect::<Vec<_>>() {
        [_, _, org] if !org.is_empty() => Ok(org.to_owned()),
        _ => Err(OrgIdError::Opaque),
    }
}

#[derive(Deserialize)]
struct Claims {
    realm: Option<String>,
}

/// The claims of a token in JWT form, unverified: only the service that issued it can verify it.
fn jwt_claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let bytes = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn reads_both_shapes() {
        assert_eq!(org_id("a_P0A1_org-1").unwrap(), "org-1");
        assert_eq!(org_id(&jwt(r#"{"realm":"org-2"}"#)).unwrap(), "org-2");
    }

    #[test]
    fn says_why_it_cannot() {
        assert_eq!(org_id(&jwt("{}")), Err(OrgIdError::NoRealm));
        for token in ["plain", "a_b", "a_b_c_d", "a_b_", "x.y.z"] {
            assert_eq!(org_id(token), Err(OrgIdError::Opaque), "{token}");
        }
    }
}
