//! `webex listen`: shows events of Webex services by name, until Ctrl-C.

use std::time::{Duration, Instant};

use clap::Args;
use tokio::time::timeout;
use webex_sdk::core::{LinkEvent, Webex, mercury::Topic};

use crate::{
    cloud::{Cloud, CloudArguments},
    commands::register::{SHUTDOWN_LIMIT, ended, left_behind, seconds},
    exit::Failure,
    output::Output,
    screen::Screen,
    signals::Signals,
};

/// The reason in the close frame of the event socket.
const CLOSE_REASON: &str = "listen done";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to listen to: an event such as `conversation.activity`, all of a service such as
    /// `mobius`, or `all`
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// End after so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Print one JSON object per event
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cloud: CloudArguments,
}

/// Opens the event socket, shows what comes, and gives everything up.
pub(crate) async fn run(arguments: Arguments, started: Instant) -> Result<(), Failure> {
    let output = Output::new(started, arguments.json, Screen::stdout(false));
    let mut signals = Signals::listen().map_err(|error| Failure::other(error.to_string()))?;
    let topics: Vec<_> = arguments.names.iter().map(|name| topic(name)).collect();
    let Cloud { webex, sandbox } = Cloud::open(arguments.cloud, None).await?;
    if let Some(sandbox) = &sandbox {
        output.notice(&format!(
            "No token and no cloud given: using the sandbox inside this program, {}",
            sandbox.origin()
        ));
    }
    let mut was_online = false;
    let outcome = tokio::select! {
        outcome = listen(&webex, &topics, &output, &mut was_online) => outcome,
        () = ended(arguments.duration) => Ok(()),
        () = signals.next() => Ok(()),
    };
    let outcome = outcome.and_then(|()| {
        if was_online {
            return Ok(());
        }
        Err(Failure::other("ended before the event socket was open"))
    });
    let left = tokio::select! {
        left = timeout(SHUTDOWN_LIMIT, webex.link().give_up(CLOSE_REASON)) => match left {
            Ok(left) => left.map_err(|error| left_behind(&error)),
            Err(_) => Err(left_behind(&"no answer in time")),
        },
        () = signals.next() => Err(Failure::other("interrupted while giving up the device")),
    };
    if let Some(sandbox) = sandbox {
        sandbox.shutdown().await;
    }
    // What went wrong first is what the user has to know.
    outcome.and(left)
}

/// The events of a name; `all` and `*` are every one.
fn topic(name: &str) -> Topic {
    Topic::new(if matches!(name, "all" | "*") { "event" } else { name })
}

/// Shows the wanted events, and what becomes of the socket, until it is refused for good.
async fn listen(
    webex: &Webex,
    topics: &[Topic],
    output: &Output,
    was_online: &mut bool,
) -> Result<(), Failure> {
    let failed = |error: &webex_sdk::core::LinkError| Failure::sdk(error.kind(), error);
    let mut events = webex.link().subscribe();
    let _lease = webex.link().acquire().await.map_err(|error| failed(&error))?;
    while let Some(event) = events.next().await {
        match &event {
            LinkEvent::Event(event) => {
                if !topics.iter().any(|topic| topic.includes(&event.event_type)) {
                    continue;
                }
            }
            LinkEvent::Online => *was_online = true,
            LinkEvent::Failed(error) => return Err(failed(error)),
            LinkEvent::Offline
            | LinkEvent::Retrying(_)
            | LinkEvent::SequenceGap { .. }
            | LinkEvent::Lost(_) => {}
            _ => continue,
        }
        output.event(&event);
    }
    Err(Failure::other("the event socket has ended"))
}
