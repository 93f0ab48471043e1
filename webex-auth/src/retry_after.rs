//! `Retry-After`, in either of its forms: whole seconds, or a date (RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime};

use crate::timings;

/// The delay a server asks for, capped at an hour; `None` when it cannot be read.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use webex_auth::retry_after;
///
/// assert_eq!(retry_after::parse("17", SystemTime::now()), Some(Duration::from_secs(17)));
/// assert_eq!(retry_after::parse("soon", SystemTime::now()), None);
/// ```
pub fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let delay = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(delay.min(timings::RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let seconds = |value| parse(value, now).map(|delay| delay.as_secs());
        assert_eq!(seconds("0"), Some(0));
        assert_eq!(seconds(" 17 "), Some(17));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!(seconds("86400"), Some(3_600));
        assert_eq!(seconds("-1"), None);
        assert_eq!(seconds("soon"), None);
    }
}
