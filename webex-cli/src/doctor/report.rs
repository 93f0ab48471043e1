//! What has been checked, and what was found: pure, without I/O.
//!
//! Each check needs others before it. Where one of those has failed, it cannot be judged, and says
//! because of which.

use std::time::Duration;

use serde_json::{Map, Value, json};
use webex_sdk::core::ErrorKind;

use super::{
    finding::{Finding, Verdict},
    id::Id,
};

/// One check, done or not.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) id: Id,
    /// How long it took; `None` for one that was not done.
    pub(super) took: Option<Duration>,
    pub(super) finding: Finding,
}

impl Check {
    /// For programs.
    fn to_json(&self) -> Value {
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| {
            if !value.is_null() {
                map.insert(key.to_owned(), value);
            }
        };
        let finding = &self.finding;
        put("check", self.id.name().into());
        put("verdict", finding.verdict.name().into());
        put("ms", self.took.map(millis).into());
        put("detail", finding.detail.clone().into());
        put("advice", finding.advice.clone().into());
        put("kind", finding.kind.map(ErrorKind::name).into());
        put("because", finding.because.map(Id::name).into());
        put("trackingId", finding.tracking_id.clone().into());
        map.into()
    }
}

/// All checks so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    checks: Vec<Check>,
}

impl Report {
    /// Why a check cannot be judged: the failed one that it needs, however many lie in between.
    pub(super) fn blocked(&self, id: Id) -> Option<Id> {
        let needed = id.needs()?;
        match self.get(needed) {
            Some(Check { finding, .. }) if finding.verdict == Verdict::Skipped => finding.because,
            Some(Check { finding, .. }) if finding.blocks => Some(needed),
            _ => self.blocked(needed),
        }
    }

    /// Adds a check; returns it.
    pub(super) fn add(&mut self, id: Id, took: Option<Duration>, finding: Finding) -> &Check {
        self.checks.push(Check { id, took, finding });
        self.checks.last().expect("just added")
    }

    /// What was found by a check.
    pub(super) fn get(&self, id: Id) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == id)
    }

    /// The checks that there always are and that were not done.
    pub(super) fn missing(&self) -> Vec<Id> {
        Id::ALWAYS.into_iter().filter(|id| self.get(*id).is_none()).collect()
    }

    /// The failed checks.
    pub(super) fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.finding.verdict == Verdict::Failed)
    }

    /// The exit code: that of the first failed check.
    pub(super) fn code(&self) -> u8 {
        self.failed().next().map_or(0, |check| check.finding.code)
    }

    /// The worst verdict.
    pub(super) fn verdict(&self) -> Verdict {
        let verdicts = self.checks.iter().map(|check| check.finding.verdict);
        verdicts.filter(|verdict| *verdict != Verdict::Skipped).max().unwrap_or(Verdict::Skipped)
    }

    /// For programs, and to be pasted.
    pub(super) fn to_json(&self, cloud: &str) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "cloud": cloud,
            "verdict": self.verdict().name(),
            "exitCode": self.code(),
            "checks": self.checks.iter().map(Check::to_json).collect::<Vec<_>>(),
        })
    }
}

/// With tenths: most checks take a few milliseconds.
pub(super) fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: ErrorKind) -> Finding {
        Finding::failed(kind, &"no")
    }

    #[test]
    fn what_needs_a_failed_check_says_which_one_it_was() {
        let mut report = Report::default();
        report.add(Id::Proxy, None, Finding::ok("none"));
        assert_eq!(report.blocked(Id::Dns), None);
        report.add(Id::Dns, None, failed(ErrorKind::Network));
        for id in report.missing() {
            let expected = (id != Id::Left).then_some(Id::Dns);
            assert_eq!(report.blocked(id), expected, "{id:?}");
        }
        assert_eq!(report.blocked(Id::Primary(1)), Some(Id::Dns));
        report.add(Id::Connection, None, Finding::skipped(Id::Dns));
        assert_eq!(report.blocked(Id::Tls), Some(Id::Dns), "the failed one, not the one between");
        assert_eq!((report.code(), report.verdict()), (4, Verdict::Failed));
    }

    #[test]
    fn a_failure_that_the_rest_does_not_need_stops_nothing() {
        let mut report = Report::default();
        report.add(Id::Mobius, None, Finding::ok(""));
        report.add(Id::Primary(1), None, failed(ErrorKind::Server));
        assert_eq!(report.blocked(Id::Registration), None);
        report.add(Id::Token, None, failed(ErrorKind::Unauthorized).going_on());
        assert_eq!(report.blocked(Id::Catalog), None);
        assert_eq!(report.code(), 10, "that of the first");
    }

    #[test]
    fn warnings_are_no_failure() {
        let mut report = Report::default();
        assert_eq!(report.verdict(), Verdict::Skipped);
        report.add(Id::Proxy, None, Finding::ok(""));
        report.add(Id::Clock, None, Finding::warning("odd", "mend it"));
        report.add(Id::Left, None, Finding::skipped(Id::Dns));
        assert_eq!((report.code(), report.verdict()), (0, Verdict::Warning));
    }
}
