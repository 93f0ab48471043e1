//! What was observed of the client, for the invariants.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use url::Url;

use crate::mercury::machine::action::ConnId;

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// Limit of attempts in a minute: unanswered attempts come every 2.25 s on average, answered ones
/// less often, and both sooner at first. Each hint and user command may add one.
pub(super) const MOST_ATTEMPTS: usize = 34;

/// Limit of device requests in a minute: the same, plus those after each lost socket.
pub(super) const MOST_REQUESTS: usize = 60;

/// What was observed, for the invariants.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) attempts: VecDeque<Duration>,
    pub(super) requests: VecDeque<Duration>,
    /// Times of hints and user commands, which allow more attempts.
    pub(super) reasons: VecDeque<Duration>,
    /// A device request is in flight.
    pub(super) requesting: bool,
    pub(super) delivered: HashSet<String>,
    /// The event that the last frame must deliver.
    pub(super) due: Option<(ConnId, String, Option<u64>)>,
    pub(super) gap_due: bool,
    pub(super) online: bool,
    /// The device that was reported last.
    pub(super) named: Option<Url>,
    /// How often the link went offline.
    pub(super) offline: usize,
}

impl Checks {
    pub(super) fn wanted(&mut self, world: Duration) {
        self.reasons.push_back(world);
    }

    pub(super) fn delivered(&self) -> usize {
        self.delivered.len()
    }
}

pub(super) fn in_last_minute(times: &mut VecDeque<Duration>, world: Duration) -> usize {
    while times.front().is_some_and(|at| *at + MINUTE < world) {
        times.pop_front();
    }
    times.len()
}
