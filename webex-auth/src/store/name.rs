//! The names of stored values, which are the same for every store.

use crate::store::error::StoreError;

/// Checks a name; every store calls it, so that what works with one works with all.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= 100 && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(StoreError::BadName(name.chars().take(100).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_store() {
        for name in ["tokens", "a", "ada.b+c@example.com", &"x".repeat(100)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".hidden", "../up", "a/b", "a\\b", "a:b", "ä", "a b", &"x".repeat(101)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
