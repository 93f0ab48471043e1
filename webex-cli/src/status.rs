//! The state of a line in words: its state, server, and what comes next and when.

use std::time::{Duration, Instant};

use tokio::{task::AbortHandle, time::sleep};
use url::Url;
use webex_sdk::calling::{Line, LineState, Upcoming};

use crate::{
    output::Output,
    screen::{Health, Screen},
};

/// A line's status at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Status {
    state: LineState,
    server: Option<Url>,
    next: Option<(Upcoming, Instant)>,
}

/// Follows a line until the handle is aborted or the line is dropped: as a live status in a
/// terminal, otherwise as a line of text per change.
pub(crate) fn follow(line: &Line, output: &Output) -> Option<AbortHandle> {
    let (line, output) = (line.clone(), output.clone());
    let task = match output.people() {
        Some(screen) if screen.is_live() => {
            let screen = screen.clone();
            tokio::spawn(live(line, screen, output.started()))
        }
        Some(_) => tokio::spawn(changes(line, output)),
        // JSON output has no status.
        None => return None,
    };
    Some(task.abort_handle())
}

async fn live(mut line: Line, screen: Screen, started: Instant) {
    loop {
        let (status, now) = (Status::of(&line), Instant::now());
        screen.status(Some((status.health(), &status.live(started, now))));
        let changed = tokio::select! {
            changed = line.changed() => changed,
            () = until_next_second(status.next, now) => true,
        };
        if !changed {
            break;
        }
    }
    screen.status(None);
}

/// Waits until the countdown shows another number.
async fn until_next_second(next: Option<(Upcoming, Instant)>, now: Instant) {
    match next {
        Some((_, at)) if at > now => {
            let left = at - now;
            let fraction = Duration::from_nanos(u64::from(left.subsec_nanos()));
            sleep(fraction.max(Duration::from_millis(1))).await;
        }
        // It is due, and the change will wake the caller.
        _ => std::future::pending().await,
    }
}

async fn changes(mut line: Line, output: Output) {
    let mut shown = None;
    loop {
        let status = Status::of(&line);
        // A deadline that only moves is not a change; the live display shows it.
        let key = (status.state, status.server.clone(), status.next.map(|(what, _)| what));
        if status.next.is_some() && shown.as_ref() != Some(&key) {
            output.state(&status.plain(output.started()));
            shown = Some(key);
        }
        if !line.changed().await {
            break;
        }
    }
}

impl Status {
    fn of(line: &Line) -> Self {
        Self { state: line.state(), server: line.info().server.clone(), next: line.next() }
    }

    fn health(&self) -> Health {
        match self.state {
            LineState::Registered => Health::Good,
            LineState::Idle | LineState::Failed => Health::Bad,
            _ => Health::Busy,
        }
    }

    /// The text with a countdown.
    fn live(&self, started: Instant, now: Instant) -> String {
        let left = self.next.map_or_else(String::new, |(_, at)| {
            let left = at.saturating_duration_since(now).as_secs_f64().ceil();
            format!(", in {left} s")
        });
        self.plain(started) + &left
    }

    /// The text without a countdown.
    fn plain(&self, started: Instant) -> String {
        let state = match self.state {
            LineState::Idle => "not registered",
            LineState::Connecting => "asking the servers",
            LineState::Waiting => "waiting",
            LineState::Registered => "registered",
            LineState::Deregistering => "deregistering",
            LineState::Failed => "failed",
            _ => "busy",
        };
        let has_server = matches!(self.state, LineState::Registered | LineState::Deregistering);
        let server = self.server.as_ref().filter(|_| has_server);
        let server = server.map_or_else(String::new, |url| format!(" with {}", short(url)));
        let next = self.next.map_or_else(String::new, |(what, at)| {
            let what = match what {
                Upcoming::Keepalive => "keepalive",
                Upcoming::Retry => "next attempt",
                Upcoming::Failback => "back to a primary",
                _ => "next step",
            };
            // The same clock as for events, which starts with the process.
            let at = at.saturating_duration_since(started).as_secs_f64();
            format!(", {what} at {at:.1} s")
        });
        format!("{state}{server}{next}")
    }
}

/// A server's name without the part that all of them share.
pub(crate) fn short(server: &Url) -> String {
    let text = server.as_str();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    text.trim_end_matches("/api/v1/calling/web/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_has_state_server_deadline_and_countdown() {
        let started = Instant::now();
        let at = |seconds: f64| started + Duration::from_secs_f64(seconds);
        let server = "https://mobius-us-east-1.prod.infra.webex.com/api/v1/calling/web/";
        let status = |state, next| Status { state, server: server.parse().ok(), next };
        let registered = status(LineState::Registered, Some((Upcoming::Keepalive, at(30.04))));
        assert_eq!(
            registered.live(started, at(12.9)),
            "registered with mobius-us-east-1.prod.infra.webex.com, keepalive at 30.0 s, in 18 s"
        );
        assert_eq!(registered.health(), Health::Good);
        let waiting = status(LineState::Waiting, Some((Upcoming::Retry, at(37.0))));
        assert_eq!(waiting.live(started, at(40.0)), "waiting, next attempt at 37.0 s, in 0 s");
        assert_eq!(waiting.plain(started), "waiting, next attempt at 37.0 s");
        assert_eq!(waiting.health(), Health::Busy);
        let failed = status(LineState::Failed, None);
        assert_eq!(
            (failed.live(started, started).as_str(), failed.health()),
            ("failed", Health::Bad)
        );
    }

    #[test]
    fn a_server_of_the_sandbox_is_shown_by_its_path() {
        let server = "https://127.0.0.1:8443/mobius/primary-1/api/v1/calling/web/".parse().unwrap();
        assert_eq!(short(&server), "127.0.0.1:8443/mobius/primary-1");
    }
}
