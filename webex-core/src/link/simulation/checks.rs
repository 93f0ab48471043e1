//! What has been seen of the client, for the invariants.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use url::Url;

use crate::mercury::machine::action::ConnId;

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// Attempts in a minute: what nobody answers is tried every 2.25 s on average, what a server answers
/// less often, and at first both sooner. Hints and the user may each bring one more.
pub(super) const MOST_ATTEMPTS: usize = 34;

/// Device requests in a minute: the same, and what each lost socket calls for.
pub(super) const MOST_REQUESTS: usize = 60;

/// What has been seen, for the invariants.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) attempts: VecDeque<Duration>,
    pub(super) requests: VecDeque<Duration>,
    /// What allows more attempts: hints, and the user's commands.
    pub(super) reasons: VecDeque<Duration>,
    /// A device request is under way.
    pub(super) requesting: bool,
    pub(super) delivered: HashSet<String>,
    /// What the frame that was handled last has to bring.
    pub(super) due: Option<(ConnId, String, Option<u64>)>,
    pub(super) gap_due: bool,
    pub(super) online: bool,
    /// The device that was told of last.
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
