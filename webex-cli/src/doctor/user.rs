//! The token: whether it is valid, whose, for how long, and for what.

use std::time::{Duration, SystemTime};

use webex_sdk::{
    Scopes, TokenSet, TokenState,
    core::{ErrorKind, User, Webex},
};

use super::{examination::Doctor, finding::Finding, id::Id};
use crate::{cloud::Place, commands::whoami::timestamp, profile};

/// A sign-in that ends within this time is worth a look.
const SOON: Duration = Duration::from_secs(3 * 86_400);

/// So much of an id is shown: enough to compare it with one that is known, and to find nobody.
const SHOWN: usize = 8;

/// Checks the token of a place.
pub(super) async fn examine(doctor: &mut Doctor, place: &Place) {
    let known = match &place.user {
        Ok(known) => known.as_ref(),
        Err(failure) => {
            if let Some(because) = doctor.blocked(Id::Token) {
                doctor.add(Id::Token, None, Finding::skipped(because));
            } else {
                doctor.add(Id::Token, None, Finding::from(failure));
            }
            return;
        }
    };
    let asking = async {
        let (finding, user) = token(&place.webex, known).await;
        (finding, Some(user))
    };
    if let Some(Some(user)) = doctor.check(Id::Token, asking).await {
        doctor.redactor.learn_user(&user);
    }
}

async fn token(webex: &Webex, known: Option<&TokenSet>) -> (Finding, Option<std::sync::Arc<User>>) {
    let token = match webex.tokens().token().await {
        Ok(token) => token,
        Err(error) => return (Finding::from(&profile::no_token(&error)), None),
    };
    let (confirmed, user) = match webex.user().await {
        Ok(user) => (None, Some(user)),
        Err(error) if error.kind() == ErrorKind::Unauthorized => {
            return (Finding::from(&error), None);
        }
        Err(error) => (Some(error), None),
    };
    let org = token.org_id().ok().or_else(|| user.as_ref()?.org_id.clone());
    let until = match webex.tokens().state() {
        TokenState::Valid { until: Some(until) } => format!("until {}", timestamp(until)),
        _ => "expiry not told".to_owned(),
    };
    let granted = known.and_then(TokenSet::granted);
    let detail = format!(
        "{}, {until}, organisation {}, scopes {}",
        if confirmed.is_none() { "valid" } else { "not refused so far" },
        org.as_deref().map_or_else(|| "not told".to_owned(), shortened),
        granted.map_or_else(|| "not told".to_owned(), ToString::to_string),
    );
    let finding = match (confirmed, scopes(granted)) {
        (_, Some(Lack::Both(missing))) => {
            let detail = format!("{detail}; lacks {missing}");
            let advice = "sign in again with the scopes of Webex Calling or Meetings";
            Finding::failed(ErrorKind::Unauthorized, &detail).advised(advice).going_on()
        }
        (_, Some(Lack::One(product, missing))) => Finding::warning(
            format!("{detail}; lacks {missing}"),
            format!("sign in again with these scopes to use {product}"),
        ),
        (Some(error), None) => {
            let advice =
                "the user's record cannot be read: the scope spark:people_read, or that service";
            Finding::warning(format!("{detail}; {error}"), advice)
        }
        (None, None) => match known.and_then(TokenSet::refresh_expires) {
            Some(end) if end < SystemTime::now() + SOON => Finding::warning(
                format!("{detail}; the sign-in ends at {}", timestamp(end)),
                "sign in again before that",
            ),
            _ => Finding::ok(detail),
        },
    };
    (finding, user)
}

/// Scopes that a token lacks.
enum Lack {
    /// Those of one product.
    One(&'static str, Scopes),
    /// Of both: it is for something else.
    Both(Scopes),
}

fn scopes(granted: Option<&Scopes>) -> Option<Lack> {
    let granted = granted?;
    let calling = Scopes::calling().missing_from(granted);
    let meetings = Scopes::meetings().missing_from(granted);
    match (calling.is_empty(), meetings.is_empty()) {
        (true, true) => None,
        (false, true) => Some(Lack::One("Webex Calling", calling)),
        (true, false) => Some(Lack::One("Webex Meetings", meetings)),
        (false, false) => Some(Lack::Both(calling | meetings)),
    }
}

/// The beginning of an id.
pub(super) fn shortened(id: &str) -> String {
    match id.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &id[..at]),
        None => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_those_of_a_product_or_of_none() {
        let lack = |granted: Scopes| match scopes(Some(&granted)) {
            None => "none".to_owned(),
            Some(Lack::One(product, missing)) => format!("{product}: {missing}"),
            Some(Lack::Both(_)) => "both".to_owned(),
        };
        assert_eq!(lack(Scopes::calling() | Scopes::meetings()), "none");
        assert_eq!(lack(Scopes::calling()), "Webex Meetings: spark:all spark:kms");
        assert!(lack(Scopes::meetings()).starts_with("Webex Calling: spark:calls_read"));
        assert_eq!(lack("spark:people_read".parse().unwrap()), "both");
        assert!(scopes(None).is_none(), "a ready-made token does not tell");
    }

    #[test]
    fn an_id_is_shown_to_compare_and_not_to_find() {
        assert_eq!(shortened("0e600000-0000-4000-8000-000000000003"), "0e600000…");
        assert_eq!(shortened("äöüäöüäöüäöü"), "äöüäöüäö…");
        assert_eq!(shortened("short"), "short");
    }
}
