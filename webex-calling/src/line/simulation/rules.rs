//! The rules of a line: checks every request that it sends.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use url::Url;
use webex_core::HttpError;

use crate::registration::tests::bench::*;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Register,
    Keepalive,
    Deregister,
    Ping,
}

/// Why no request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quiet {
    /// The application has deregistered, and got the event of the end.
    Deregistered,
    /// An error that stays.
    Final,
}

/// Limit of registration requests to one server within [`POSTS_WITHIN`], while neither the
/// application nor the network causes another one: a failback whose second registration is refused,
/// which asks again after leaving the backup, comes back to find that lost, and starts again; and
/// one more for a keepalive that is answered 404.
const MOST_POSTS: usize = 5;
const POSTS_WITHIN: Duration = Duration::from_secs(25);

#[derive(Debug)]
pub(super) struct Rules {
    pub(super) violation: Option<String>,
    pub(super) quiet: Option<Quiet>,
    interval: Duration,
    /// Requests in flight: registrations, keepalives, deletions, pings.
    under_way: [i32; 4],
    /// Until when servers must not get requests.
    not_before: Vec<(Url, Instant)>,
    posts: VecDeque<(Instant, Url)>,
    /// When the current registration started, and its keepalives.
    since: Instant,
    keepalives: u32,
    /// Reasons for a keepalive outside the schedule.
    nudges: u32,
    last_keepalive: Option<Instant>,
    /// Registrations that were granted when they were no longer wanted.
    late: u32,
}

impl Rules {
    pub(super) fn new(now: Instant, interval: Duration) -> Self {
        Self {
            violation: None,
            quiet: None,
            interval,
            under_way: [0; 4],
            not_before: Vec::new(),
            posts: VecDeque::new(),
            since: now,
            keepalives: 0,
            nudges: 0,
            last_keepalive: None,
            late: 0,
        }
    }

    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(what());
        }
    }

    /// Checks a request that is being sent.
    pub(super) fn sent(&mut self, now: Instant, kind: Kind, server: &Url, connected: bool) {
        self.under_way[kind as usize] += 1;
        let (count, quiet) = (self.under_way[kind as usize], self.quiet);
        let left_alone = self.busy_until(server).is_none_or(|until| until <= now);
        match kind {
            Kind::Deregister => {
                if quiet == Some(Quiet::Deregistered) {
                    let allowed = self.late > 0;
                    self.check(allowed, || format!("a deletion at {server} after the end"));
                }
                return;
            }
            Kind::Keepalive => {
                let gap = self.last_keepalive.map(|last| now - last);
                self.check(gap.is_none_or(|gap| gap >= HINT_GAP.min(self.interval)), || {
                    format!("keepalives {gap:?} apart")
                });
                self.last_keepalive = Some(now);
                self.keepalives += 1;
                let shortest = self.interval - self.interval / KEEPALIVE_SPREAD;
                let turns = (now - self.since).as_millis() / shortest.as_millis();
                let most = turns as u32 + 1 + self.nudges;
                let sent = self.keepalives;
                self.check(sent <= most, || format!("{sent} keepalives where {most} are due"));
            }
            Kind::Register => {
                self.posts.push_back((now, server.clone()));
                while self.posts.front().is_some_and(|(at, _)| now - *at > POSTS_WITHIN) {
                    self.posts.pop_front();
                }
                let posts = self.posts.iter().filter(|(_, other)| other == server).count();
                self.check(posts <= MOST_POSTS, || format!("{posts} registrations with {server}"));
            }
            Kind::Ping => {}
        }
        self.check(count == 1, || format!("{count} × {kind:?} at once"));
        self.check(left_alone, || format!("{kind:?} at {server}, which asked for time"));
        self.check(quiet.is_none(), || format!("{kind:?} at {server} after {quiet:?}"));
        let needs = matches!(kind, Kind::Register | Kind::Keepalive);
        self.check(connected || !needs, || format!("{kind:?} at {server} without a connection"));
    }

    pub(super) fn rediscovering(&mut self, _now: Instant) {
        let quiet = self.quiet;
        self.check(quiet.is_none(), || format!("discovery after {quiet:?}"));
    }

    /// A request has ended, or was dropped.
    pub(super) fn ended(&mut self, kind: Kind) {
        self.under_way[kind as usize] -= 1;
    }

    /// Records an answer that has reached the line.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        kind: Kind,
        server: &Url,
        error: Option<&HttpError>,
    ) {
        let Some(error) = error else {
            if kind == Kind::Register && self.quiet.is_some() {
                self.late += 2;
            }
            return;
        };
        if kind == Kind::Deregister {
            // A backup that was not left gets a keepalive outside the schedule, to see whether it
            // still has the line.
            self.nudges += 1;
            self.last_keepalive = None;
        }
        if kind == Kind::Keepalive && matches!(error.status(), Some(400 | 401 | 409)) {
            self.quiet = Some(Quiet::Final);
        }
        let asked = error.service().and_then(|answer| answer.retry_after);
        let limited = (error.status() == Some(429)).then_some(RETRY_AFTER_DEFAULT);
        if let Some(asked) = asked.or(limited) {
            self.not_before.retain(|(other, _)| other != server);
            self.not_before.push((server.clone(), now + retry_after(asked)));
        }
    }

    pub(super) fn busy_until(&self, server: &Url) -> Option<Instant> {
        let found = self.not_before.iter().find(|(other, _)| other == server);
        found.map(|(_, until)| *until)
    }

    /// Records that the application or the network causes a request now.
    pub(super) fn nudge(&mut self) {
        self.posts.clear();
        self.nudges += 1;
    }

    /// Records that the application wants the line.
    pub(super) fn begin(&mut self) {
        self.quiet = None;
        self.nudge();
    }

    /// Records a new registration.
    pub(super) fn registered(&mut self, now: Instant) {
        (self.since, self.keepalives, self.nudges, self.last_keepalive) = (now, 0, 0, None);
    }

    /// Records that no further request may be sent.
    pub(super) fn end(&mut self, quiet: Quiet) {
        self.quiet = Some(quiet);
        self.late = 0;
        let [_, keepalives, _, pings] = self.under_way;
        self.check(keepalives + pings == 0, || "something is under way after the end".to_owned());
    }

    /// The latest time of the next keepalive.
    pub(super) fn keepalive_by(&self, now: Instant, server: &Url) -> Instant {
        let by = now + self.interval;
        self.busy_until(server).map_or(by, |until| by.max(until))
    }

    pub(super) fn registration_is_under_way(&self) -> bool {
        self.under_way[Kind::Register as usize] > 0
    }

    pub(super) fn keepalive_is_under_way(&self) -> bool {
        self.under_way[Kind::Keepalive as usize] > 0
    }
}

/// Each rule detects its violation.
#[test]
fn each_rule_detects_its_violation() {
    let now = Instant::now();
    let server = url("https://p1/");
    let fresh = || Rules::new(now, secs(30));
    let broken = |rules: Rules| rules.violation.is_some();

    let mut fine = fresh();
    fine.sent(now, Kind::Register, &server, true);
    fine.ended(Kind::Register);
    fine.sent(now + secs(30), Kind::Keepalive, &server, true);
    assert!(!broken(fine));

    let mut twice = fresh();
    twice.sent(now, Kind::Register, &server, true);
    twice.sent(now, Kind::Register, &server, true);
    assert!(broken(twice));

    let mut unconnected = fresh();
    unconnected.sent(now, Kind::Register, &server, false);
    assert!(broken(unconnected));

    let mut hasty = fresh();
    let busy = refused(429, None, Some(9));
    hasty.answered(now, Kind::Register, &server, Some(&busy));
    hasty.sent(now + secs(8), Kind::Register, &server, true);
    assert!(broken(hasty));

    let mut loud = fresh();
    loud.end(Quiet::Final);
    loud.sent(now + secs(8), Kind::Ping, &server, true);
    assert!(broken(loud));

    let mut double = fresh();
    for n in 1..=4 {
        double.sent(now + secs(15 * n), Kind::Keepalive, &server, true);
        double.ended(Kind::Keepalive);
    }
    assert!(broken(double));
}
