//! When to poll: RFC 8628 with Webex's deviations, without I/O.
//!
//! Webex answers "not yet" with status 428, and "too fast" with 429 or `slow_down`. "Too fast"
//! lengthens the interval for good. So does a poll without an answer, since a server in trouble
//! should not be polled at full rate.

use std::time::Duration;

use crate::{device::state::DeviceError, oauth::error::OAuthError, timings};

/// The decision after a poll.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// Keep polling.
    Wait,
    /// The sign-in has ended.
    Over(DeviceError),
}

/// The schedule of one device sign-in. Times count from its start.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    next: Duration,
    expires: Duration,
}

impl Schedule {
    /// A schedule for the interval and lifetime that the server gave.
    pub(super) fn new(interval: Option<Duration>, life: Duration) -> Self {
        let interval = interval.unwrap_or(timings::DEVICE_POLL);
        let interval = interval.clamp(timings::DEVICE_POLL_MIN, timings::DEVICE_INTERVAL_MAX);
        Self { interval, next: interval, expires: life }
    }

    /// How long to wait for the next poll; `None` when the code expires before that.
    pub(super) fn pause(&self, now: Duration) -> Option<Duration> {
        (self.next < self.expires).then(|| self.next.saturating_sub(now))
    }

    /// How long the code is still valid.
    pub(super) fn time_left(&self, now: Duration) -> Duration {
        self.expires.saturating_sub(now)
    }

    /// Handles the error of a poll.
    pub(super) fn handle_error(&mut self, now: Duration, error: OAuthError) -> Verdict {
        let mut pause = self.interval;
        match error {
            OAuthError::AuthorizationPending(_) => {}
            OAuthError::SlowDown(_) | OAuthError::RateLimited(_) => {
                self.widen(self.interval + timings::DEVICE_SLOW_DOWN);
                // A longer pause that the server asks for applies once.
                pause = self.interval.max(error.retry_after().unwrap_or_default());
            }
            OAuthError::AccessDenied(_) => return Verdict::Over(DeviceError::Denied),
            OAuthError::ExpiredToken(_) => return Verdict::Over(DeviceError::Expired),
            // A refusal with an unknown code may come from a gateway.
            error if error.is_transient() || matches!(error, OAuthError::Refused(_)) => {
                self.widen(self.interval * 2);
                pause = self.interval.max(error.retry_after().unwrap_or_default());
            }
            error => return Verdict::Over(DeviceError::Refused(error)),
        }
        self.next = now + pause;
        Verdict::Wait
    }

    fn widen(&mut self, interval: Duration) {
        self.interval = interval.min(timings::DEVICE_POLL_MAX).max(self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{TokenReply, TokenRequest, TokenTransportError};

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn error(status: u16, body: &str, retry_after: &str) -> OAuthError {
        let request = TokenRequest::new("https://auth.example/".parse().unwrap());
        let reply = TokenReply::new(status, body).with_retry_after(retry_after, None);
        OAuthError::from_reply(&request, &reply)
    }

    /// The pause after each of these answers.
    fn pauses(answers: &[OAuthError]) -> Vec<u64> {
        let mut schedule = Schedule::new(Some(s(2)), s(300));
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        for answer in answers {
            let pause = schedule.pause(now).unwrap();
            pauses.push(pause.as_secs());
            now += pause;
            assert!(matches!(schedule.handle_error(now, answer.clone()), Verdict::Wait));
        }
        pauses.push(schedule.pause(now).unwrap().as_secs());
        pauses
    }

    #[test]
    fn not_yet_keeps_the_pause_that_the_server_named() {
        let pending = error(428, "", "");
        let also = error(400, r#"{"error":"authorization_pending"}"#, "");
        assert_eq!(pauses(&[pending, also]), [2, 2, 2]);
    }

    #[test]
    fn too_fast_widens_the_pause_for_good() {
        let slow = error(400, r#"{"message":"slow_down"}"#, "");
        let limited = error(429, "", "");
        let asked = error(429, "", "30");
        let pending = error(428, "", "");
        assert_eq!(
            pauses(&[slow, limited, pending.clone(), asked, pending]),
            [2, 7, 12, 12, 30, 17]
        );
        let in_428 = error(428, r#"{"error":"slow_down"}"#, "");
        assert_eq!(pauses(&[in_428]), [2, 7]);
    }

    #[test]
    fn no_answer_doubles_the_pause_up_to_a_minute() {
        let lost = OAuthError::Transport(TokenTransportError::Timeout);
        assert_eq!(pauses(&vec![lost; 6]), [2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn every_end_has_its_reason() {
        let verdict = |status, body| {
            let mut schedule = Schedule::new(None, s(300));
            match schedule.handle_error(s(5), error(status, body, "")) {
                Verdict::Over(error) => error.to_string(),
                Verdict::Wait => "wait".to_owned(),
            }
        };
        assert_eq!(verdict(400, r#"{"error":"access_denied"}"#), DeviceError::Denied.to_string());
        assert_eq!(verdict(400, r#"{"error":"expired_token"}"#), DeviceError::Expired.to_string());
        assert!(verdict(400, r#"{"error":"invalid_grant"}"#).contains("refused"));
        assert!(verdict(401, r#"{"error":"invalid_client"}"#).contains("refused"));
    }

    #[test]
    fn a_gateway_does_not_end_the_sign_in() {
        let page = || error(400, "<html>", "");
        let unknown = error(400, r#"{"error":"unheard_of"}"#, "");
        assert_eq!(pauses(&[page(), unknown, page()]), [2, 4, 8, 16]);
    }

    #[test]
    fn absurd_numbers_are_bounded() {
        for absurd in [Duration::MAX, s(u64::MAX), s(1 << 40)] {
            let mut schedule = Schedule::new(Some(absurd), absurd);
            assert_eq!(schedule.pause(s(0)), Some(timings::DEVICE_INTERVAL_MAX));
            let lost = OAuthError::Transport(TokenTransportError::Timeout);
            for _ in 0..100 {
                assert!(matches!(schedule.handle_error(s(1), lost.clone()), Verdict::Wait));
            }
            assert!(schedule.pause(s(1)).unwrap() <= timings::DEVICE_INTERVAL_MAX);
        }
        let schedule = Schedule::new(Some(s(0)), s(300));
        assert_eq!(schedule.pause(s(0)), Some(timings::DEVICE_POLL_MIN));
    }

    #[test]
    fn a_poll_after_the_end_of_the_code_is_not_made() {
        let mut schedule = Schedule::new(Some(s(4)), s(10));
        assert_eq!(schedule.pause(s(0)), Some(s(4)));
        let pending = error(428, "", "");
        assert!(matches!(schedule.handle_error(s(4), pending.clone()), Verdict::Wait));
        assert!(matches!(schedule.handle_error(s(8), pending), Verdict::Wait));
        assert_eq!(schedule.pause(s(8)), None);
        assert_eq!(schedule.time_left(s(8)), s(2));
    }
}
