//! The calling servers, and a registration for trial.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use url::Url;
use webex_sdk::{
    CallingClient, CallingConfig, LineError, LineEvent, LineState,
    calling::{CallingError, DeviceLimit, DiscoveryStep, Line, LineInfo, MobiusDevice},
    core::{ErrorKind, Subscription, Webex, join},
};

use super::{
    examination::Doctor,
    finding::{Finding, Verdict},
    id::Id,
    services,
};
use crate::status;

/// How long a server may take to list the user's lines.
const PROBE: Duration = Duration::from_secs(10);

/// How long a registration may take: until each server that does not answer is given up.
const TRIAL: Duration = Duration::from_secs(60);

/// Checks the calling servers one by one, and registers a line.
pub(super) async fn examine(doctor: &mut Doctor, webex: &Webex) {
    let mut config = CallingConfig::default();
    // Nobody's line is taken for a check, and nothing is tried behind its back.
    config.registration.device_limit = DeviceLimit::Fail;
    config.registration.slow_retry = None;
    let made = doctor.check(Id::Mobius, discovered(webex, config)).await;
    let Some(client) = made else { return };
    let client = Arc::clone(doctor.held.calling.insert(Arc::new(client)));
    let (answered, lines) = servers(doctor, webex, &client).await;
    if let Some(because) = answered.err() {
        doctor.add(Id::DeviceLimit, None, Finding::skipped(because));
        doctor.add(Id::Registration, None, Finding::skipped(because));
        return;
    }
    registration(doctor, webex, &client, lines).await;
}

/// Makes the client, which discovers the servers.
async fn discovered(webex: &Webex, config: CallingConfig) -> (Finding, Option<CallingClient>) {
    let client = match CallingClient::new(webex, config).await {
        Ok(client) => client,
        Err(error @ CallingError::NoClusters) => {
            let advice = "an administrator entitles users to Webex Calling; Meetings do without";
            return (Finding::warning(error.to_string(), advice).blocking(), None);
        }
        Err(error) => return (Finding::from(&error), None),
    };
    let servers = client.servers();
    let (primaries, backups) = (servers.primary.len(), servers.backup.len());
    let found = format!("{primaries} primary and {backups} backup servers");
    let finding = match client.last_error() {
        None => Finding::ok(found),
        Some(error) if error.error_kind() == ErrorKind::Unauthorized => {
            Finding::failed(ErrorKind::Unauthorized, &error).going_on()
        }
        Some(error) => {
            let advice = match error.step {
                DiscoveryStep::Region => {
                    "the servers may be those of another region; check that service"
                }
                _ => "a cluster did not answer, another one did; try again later",
            };
            Finding::warning(format!("{found}; {error}"), advice)
        }
    };
    (finding, Some(client))
}

/// Asks each server for the user's lines, all at once: registers nothing. Returns whether a primary
/// one answered, or else which one did not, and how many lines there are.
async fn servers(
    doctor: &mut Doctor,
    webex: &Webex,
    client: &Arc<CallingClient>,
) -> (Result<(), Id>, usize) {
    let servers = client.servers();
    // The server that answered discovery is the last backup, by the address of discovery; it has been
    // judged, and may be one of the others by its own.
    let answered = webex.service_url("mobius").await.map(|link| join(&link, "calling/web/")).ok();
    let backups = servers.backup.iter();
    let backups =
        backups.filter(|url| answered.as_ref() != Some(url) && !servers.primary.contains(url));
    let primaries = (1..).map(Id::Primary).zip(&servers.primary);
    let all = primaries.chain((1..).map(Id::Backup).zip(backups));
    let ask = |(id, url): (Id, &Url)| (id, tokio::spawn(ask(Arc::clone(client), url.clone())));
    let asked: Vec<_> = all.map(ask).collect();
    let mut lines: Vec<MobiusDevice> = Vec::new();
    let mut primary = Err(Id::Mobius);
    for (id, asking) in asked {
        // It ends in bounded time, and does not panic.
        let Ok((finding, took, listed)) = asking.await else { continue };
        match (id, finding.verdict) {
            (Id::Primary(_), Verdict::Ok) => primary = Ok(()),
            (Id::Primary(1), _) => primary = Err(id),
            _ => {}
        }
        doctor.add(id, Some(took), finding);
        for line in listed {
            if lines.iter().all(|known| known.device_id != line.device_id) {
                lines.push(line);
            }
        }
    }
    (primary, lines.len())
}

async fn ask(client: Arc<CallingClient>, server: Url) -> (Finding, Duration, Vec<MobiusDevice>) {
    let started = Instant::now();
    let asked = timeout(PROBE, client.devices_at(&server)).await;
    let name = status::short(&server);
    let (finding, listed) = match asked {
        Ok(Ok(listed)) => (Finding::ok(name), listed),
        Ok(Err(error)) => {
            let finding = Finding::from(&error);
            let detail = format!("{name}: {}", finding.detail);
            (Finding { detail, ..finding }, Vec::new())
        }
        Err(_) => {
            let detail = format!("{name} did not answer within {} s", PROBE.as_secs());
            (Finding::failed(ErrorKind::Timeout, &detail), Vec::new())
        }
    };
    (finding, started.elapsed(), listed)
}

/// Registers a line for trial: only this shows that the user may have one. It is given up at the end.
async fn registration(doctor: &mut Doctor, webex: &Webex, client: &CallingClient, lines: usize) {
    let devices = services::devices(webex).await;
    let line = client.lines().remove(0);
    let started = Instant::now();
    let outcome = timeout(TRIAL, registered(&line)).await;
    let took = started.elapsed();
    let finding = match outcome {
        Ok(Ok(info)) => {
            let server = info.server.as_ref().map_or_else(|| "a server".to_owned(), status::short);
            Finding::ok(format!("a line was registered with {server}"))
        }
        Ok(Err(error)) if error.error_kind() == ErrorKind::DeviceLimit => {
            let advice =
                "sign out of Webex Calling elsewhere, or register with --on-device-limit take-over";
            doctor.add(Id::DeviceLimit, Some(took), Finding::from(&error).advised(advice));
            doctor.add(Id::Registration, None, Finding::skipped(Id::DeviceLimit));
            return;
        }
        Ok(Err(error)) => Finding::from(&error),
        Err(_) => {
            let detail = format!("no server took the line within {} s", TRIAL.as_secs());
            Finding::failed(ErrorKind::Timeout, &detail)
        }
    };
    doctor.add(Id::DeviceLimit, None, services::by_count(devices, lines));
    doctor.add(Id::Registration, Some(took), finding);
}

/// Registers the line; gives up when all servers have refused it, though it would go on.
async fn registered(line: &Line) -> Result<Arc<LineInfo>, LineError> {
    let mut events: Subscription<LineEvent> = line.subscribe();
    line.register();
    let mut latest = None;
    let mut line = line.clone();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(LineEvent::Registered(info)) => return Ok(info),
                Some(LineEvent::Error(error) | LineEvent::ServerFailed { error, .. }) => {
                    latest = Some(error);
                }
                Some(_) => {}
                None => std::future::pending().await,
            },
            _ = line.changed() => {}
        }
        let waits =
            matches!(line.state(), LineState::Waiting | LineState::Failed | LineState::Idle);
        if waits && let Some(error) = latest {
            return Err(error);
        }
    }
}
