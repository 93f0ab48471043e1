//! The names of stored values, with the same rules for every store.

use crate::store::error::StoreError;

/// Checks a name. Every store calls it, so that a name that works with one works with all.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    if name.len() <= LONGEST && name.split(SEPARATOR).all(is_part) {
        Ok(())
    } else {
        Err(StoreError::BadName(name.chars().take(LONGEST).collect()))
    }
}

/// Checks a name that a user or program chooses: one part. The SDK's own values have names of
/// several parts, so that the two cannot collide.
pub(crate) fn check_own_name(name: &str) -> Result<(), StoreError> {
    if name.contains(SEPARATOR) {
        Err(StoreError::BadName(name.to_owned()))
    } else {
        check_name(name)
    }
}

/// Separates the parts of a name.
pub(crate) const SEPARATOR: char = ':';

/// Longest name, in bytes. File names have at most 255, and a capital takes two.
const LONGEST: usize = 100;

fn is_part(part: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_store() {
        for name in ["tokens", "a", "ada.b+c@example.com", "ada:device", &"x".repeat(100)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            ".hidden",
            "../up",
            "a/b",
            "a\\b",
            "a:",
            ":b",
            "a:.b",
            "ä",
            "a b",
            &"x".repeat(101),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_own_name("ada").is_ok() && check_own_name("ada:device").is_err());
    }
}
