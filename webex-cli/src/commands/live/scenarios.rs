//! The scenarios: those that the official client has to pass on the sandbox, with our client.

use std::sync::Arc;

use tokio::time::sleep;
use webex_sdk::{
    calling::{CallingClient, CallingConfig, CallingError, Line, LineEvent, LineInfo},
    core::{Region, Subscription, Webex},
    meetings::Meetings,
};

use super::{
    record::Entry,
    run::{Failed, LIMIT, Run},
};

/// Keepalives that a line has to complete.
const KEEPALIVES: u32 = 3;

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// Catalog, region, list of devices. If these fail, nothing else is tried.
    Cloud,
    /// Meetings device: register, unregister.
    Meetings,
    /// Line: register, keepalives, deregister.
    Calling,
    /// Both products over one device and one socket.
    Both,
    /// Register, and be interrupted.
    Interrupted,
}

impl Scenario {
    pub(super) const ALL: [Self; 5] =
        [Self::Cloud, Self::Meetings, Self::Calling, Self::Both, Self::Interrupted];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Meetings => "meetings",
            Self::Calling => "calling",
            Self::Both => "both",
            Self::Interrupted => "interrupted",
        }
    }

    /// Runs it, and checks that nothing is left of it.
    pub(super) async fn play(self, run: &Run) -> Result<(), Failed> {
        let played = match self {
            Self::Cloud => return cloud(run).await,
            Self::Meetings => meetings(run).await,
            Self::Calling => calling(run).await,
            Self::Both => both(run).await,
            Self::Interrupted => interrupted(run).await,
        };
        let left = run.step("no device of this run is left", run.nothing_left()).await;
        played.and(left)
    }
}

/// Asks for the region. Only the report needs it, so that a failure is none.
pub(super) async fn region(run: &Run) -> Arc<Region> {
    run.step("region", run.observer().region()).await.unwrap_or_default()
}

async fn cloud(run: &Run) -> Result<(), Failed> {
    run.step("service catalog", run.observer().ready()).await?;
    run.step("list of devices", run.nothing_left()).await
}

async fn meetings(run: &Run) -> Result<(), Failed> {
    let webex = run.client()?;
    let meetings = Meetings::new(&webex);
    run.follow(meetings.subscribe());
    run.step("ready", meetings.ready()).await?;
    let registered = run.step("register", meetings.register()).await;
    run.learn_device(&webex);
    let left = run.step("unregister", meetings.unregister()).await;
    registered.and(left)
}

async fn calling(run: &Run) -> Result<(), Failed> {
    let webex = run.client()?;
    let mut phone = Phone::new(run, &webex).await?;
    let stayed = phone.stay(run, KEEPALIVES).await;
    stayed.and(phone.leave(run).await)
}

async fn both(run: &Run) -> Result<(), Failed> {
    let webex = run.client()?;
    let meetings = Meetings::new(&webex);
    run.follow(meetings.subscribe());
    let played = async {
        let (registered, phone) = tokio::join!(
            run.step("register the Meetings device", meetings.register()),
            Phone::new(run, &webex),
        );
        let mut phone = phone?;
        let stayed = match registered {
            Ok(()) => phone.stay(run, 1).await,
            Err(failed) => Err(failed),
        };
        stayed.and(phone.leave(run).await)
    };
    let played = played.await;
    let left = run.step("unregister the Meetings device", meetings.unregister()).await;
    played.and(left)
}

async fn interrupted(run: &Run) -> Result<(), Failed> {
    let webex = run.client()?;
    let meetings = Meetings::new(&webex);
    run.follow(meetings.subscribe());
    let has_device = |record: &[Entry]| record.iter().any(|e| e.is_answer("POST", "/devices"));
    let interrupted = async {
        tokio::select! {
            biased;
            () = run.recorder.until(has_device) => Ok(()),
            // It was faster than the interruption, so there is more to give up.
            registered = meetings.register() => registered,
        }
    };
    let interrupted = run.step("interrupt the Meetings device", interrupted).await;
    run.learn_device(&webex);
    let left = run.step("unregister", meetings.unregister()).await;
    let left = left.and(run.step("everything is given up", run.given_up(&webex)).await);
    interrupted.and(left)?;

    let webex = run.client()?;
    let mut phone = Phone::new(run, &webex).await?;
    let interrupted = run.step("interrupt the line", phone.connecting()).await;
    interrupted.and(phone.leave(run).await)
}

/// A calling client and its line.
struct Phone {
    calling: CallingClient,
    line: Line,
    events: Subscription<LineEvent>,
}

impl Phone {
    async fn new(run: &Run, webex: &Webex) -> Result<Self, Failed> {
        let config = CallingConfig::default();
        let calling = run.step("calling servers", CallingClient::new(webex, config)).await?;
        run.learn_device(webex);
        let line = calling.lines().remove(0);
        run.follow(calling.subscribe());
        run.follow(line.subscribe());
        let events = line.subscribe();
        Ok(Self { calling, line, events })
    }

    /// Registers, and stays for this many keepalives, or for the duration of the run.
    async fn stay(&mut self, run: &Run, keepalives: u32) -> Result<(), Failed> {
        let info = run.step("register the line", self.registered()).await?;
        run.learn_line(&info);
        let interval = info.keepalive_interval.unwrap_or(LIMIT);
        let kept = |record: &[Entry]| {
            let answered = record.iter().filter(|entry| entry.is_answer("POST", "/status")).count();
            answered >= keepalives as usize
        };
        let (what, expected) = match run.stay {
            Some(stay) => (format!("stay for {} s", stay.as_secs_f64()), stay),
            None => (format!("keepalives: {keepalives}"), interval.saturating_mul(keepalives)),
        };
        let staying = async {
            match run.stay {
                Some(stay) => sleep(stay).await,
                None => run.recorder.until(kept).await,
            }
        };
        let staying = async {
            tokio::select! {
                () = staying => Ok(()),
                failed = lost(&mut self.events) => Err(failed),
            }
        };
        run.step_within(expected.saturating_add(LIMIT), &what, staying).await
    }

    /// Waits until the line is registered.
    async fn registered(&mut self) -> Result<Box<LineInfo>, Failed> {
        self.line.register();
        while let Some(event) = self.events.next().await {
            match event {
                LineEvent::Registered(info) => return Ok(Box::new(LineInfo::clone(&info))),
                LineEvent::Error(error) => return Err(error.into()),
                _ => {}
            }
        }
        Err(ended())
    }

    /// Waits until registering has begun.
    async fn connecting(&mut self) -> Result<(), Failed> {
        self.line.register();
        while let Some(event) = self.events.next().await {
            match event {
                LineEvent::Connecting { .. } => return Ok(()),
                LineEvent::Error(error) => return Err(error.into()),
                _ => {}
            }
        }
        Err(ended())
    }

    /// Deregisters, and records whether the server confirmed.
    async fn leave(self, run: &Run) -> Result<(), Failed> {
        let Self { calling, line, mut events } = self;
        let leaving = async {
            let ended = calling.deregister().await;
            if matches!(ended, Err(CallingError::Line(_))) {
                run.line_not_confirmed();
            }
            drop((calling, line));
            // The line's task ends after its last event.
            while events.next().await.is_some() {}
            ended.map_err(Failed::from)
        };
        run.step("deregister the line", leaving).await
    }
}

/// Waits until a registered line is lost.
async fn lost(events: &mut Subscription<LineEvent>) -> Failed {
    while let Some(event) = events.next().await {
        match event {
            LineEvent::Error(error) => return error.into(),
            LineEvent::Unregistered { reason, .. } => {
                return Failed::because(format!("the line was lost: {}", reason.name()));
            }
            _ => {}
        }
    }
    ended()
}

fn ended() -> Failed {
    Failed::because("the line has ended by itself")
}
