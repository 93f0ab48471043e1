//! `Retry-After`, in either of its forms: whole seconds, or a date (RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime};

use crate::timings;

/// Returns the delay that a server asks for, at most an hour; `None` when it is unreadable.
///
/// A date counts from `date`, the value of the answer's own `Date` header, so that a wrong clock
/// here makes no difference; without that header from `now`.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use webex_auth::retry_after;
///
/// let now = SystemTime::now();
/// assert_eq!(retry_after::parse("17", None, now), Some(Duration::from_secs(17)));
/// let (then, date) = ("Sun, 06 Nov 1994 08:49:47 GMT", "Sun, 06 Nov 1994 08:49:37 GMT");
/// assert_eq!(retry_after::parse(then, Some(date), now), Some(Duration::from_secs(10)));
/// assert_eq!(retry_after::parse("soon", None, now), None);
/// ```
pub fn parse(value: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let delay = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        let answered = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok());
        until.duration_since(answered.unwrap_or(now)).unwrap_or_default()
    };
    Some(delay.min(timings::RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let seconds = |value| parse(value, None, now).map(|delay| delay.as_secs());
        assert_eq!(seconds("0"), Some(0));
        assert_eq!(seconds(" 17 "), Some(17));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!(seconds("86400"), Some(3_600));
        assert_eq!(seconds("-1"), None);
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn a_date_counts_from_the_answers_own() {
        let seconds = |value, date, now| parse(value, Some(date), now).unwrap().as_secs();
        let (then, date) = ("Sun, 06 Nov 1994 08:49:47 GMT", "Sun, 06 Nov 1994 08:49:37 GMT");
        // This machine's clock is years ahead, or behind.
        for now in [SystemTime::now(), SystemTime::UNIX_EPOCH] {
            assert_eq!(seconds(then, date, now), 10);
            assert_eq!(seconds("17", date, now), 17);
        }
        let now = httpdate::parse_http_date(date).unwrap();
        assert_eq!(seconds(then, "yesterday", now), 10, "no date");
    }
}
