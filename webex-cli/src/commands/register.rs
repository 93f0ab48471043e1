//! `webex register`: a Meetings device and a Calling line until Ctrl-C.

use std::time::{Duration, Instant};

use clap::Args;
use tokio::{task::JoinHandle, time::timeout};
use webex_calling::{CallingClient, CallingConfig, LineEvent};
use webex_core::{Subscription, Webex, events::Lossy};
use webex_meetings::Meetings;

use crate::{
    cloud::{Cloud, CloudArguments},
    exit::Failure,
    output::Output,
    signals::Signals,
};

/// How long leaving may take. Past it the program ends, and the cloud forgets the rest by itself.
const LEAVE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Register a Meetings device [default: both]
    #[arg(long)]
    meetings: bool,
    /// Register a Calling line [default: both]
    #[arg(long)]
    calling: bool,
    /// Deregister and end after so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Print one JSON object per event
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cloud: CloudArguments,
}

/// Reads a number of seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// What is registered, or being registered.
struct Endpoint {
    meetings: Option<Meetings>,
    calling: Option<CallingClient>,
    printers: Vec<JoinHandle<()>>,
    output: Output,
}

/// Registers, waits for a reason to end, and leaves nothing behind.
pub(crate) async fn run(arguments: Arguments, started: Instant) -> Result<(), Failure> {
    let output = Output::new(started, arguments.json);
    let mut signals = Signals::listen().map_err(|error| Failure::other(error.to_string()))?;
    let both = arguments.meetings == arguments.calling;
    let (meetings, calling) = (arguments.meetings || both, arguments.calling || both);
    let Cloud { webex, sandbox } = Cloud::open(arguments.cloud).await?;
    if let Some(sandbox) = &sandbox {
        output.notice(&format!(
            "No token and no cloud given: using the sandbox inside this program, {}",
            sandbox.origin()
        ));
    }

    let mut endpoint = Endpoint { meetings: None, calling: None, printers: Vec::new(), output };
    let outcome = tokio::select! {
        outcome = endpoint.stay(&webex, meetings, calling) => outcome,
        () = ended(arguments.duration) => Ok(()),
        () = signals.next() => Ok(()),
    };
    output.remark("Leaving …");
    let left = tokio::select! {
        left = timeout(LEAVE, endpoint.leave()) => left.unwrap_or_else(|_| {
            Err(Failure::other("the cloud did not confirm in time that everything is deregistered"))
        }),
        () = signals.next() => Err(Failure::other("interrupted while deregistering")),
    };
    if let Some(sandbox) = sandbox {
        let counts = sandbox.counts();
        output.left(counts.devices, counts.sockets, counts.lines);
        sandbox.shutdown().await;
    }
    // What went wrong first is what the user has to know.
    outcome.and(left)
}

async fn ended(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

impl Endpoint {
    /// Registers what is wanted, side by side, and stays until the registration is lost for good.
    async fn stay(&mut self, webex: &Webex, meetings: bool, calling: bool) -> Result<(), Failure> {
        let output = self.output;
        if meetings {
            let device = Meetings::new(webex);
            self.printers.push(show(device.subscribe(), move |event| output.meetings(event)));
            self.meetings = Some(device);
        }
        let device = self.meetings.clone();
        let meetings = async {
            let Some(device) = device else { return Ok(()) };
            let registered = async {
                device.ready().await?;
                device.register().await
            };
            registered.await.map_err(|error| Failure::sdk(error.kind(), &error))
        };
        let (client, printers) = (&mut self.calling, &mut self.printers);
        let line = async {
            if !calling {
                return Ok(None);
            }
            let made = CallingClient::new(webex, CallingConfig::default()).await;
            let made = made.map_err(|error| Failure::sdk(error.kind(), &error))?;
            let line = made.lines().remove(0);
            let mut events = line.subscribe();
            printers.push(show(line.subscribe(), move |event| output.line(&event)));
            *client = Some(made);
            line.register();
            registered(&mut events).await.map(|()| Some(events))
        };
        let ((), events) = tokio::try_join!(meetings, line)?;
        // The printers have their turn first.
        tokio::task::yield_now().await;
        output.remark("Registered. Press Ctrl-C to deregister and end.");
        match events {
            // Errors of a registered line are final: otherwise it reconnects by itself.
            Some(mut events) => loop {
                registered(&mut events).await?;
            },
            None => std::future::pending().await,
        }
    }

    /// Gives everything up: line, socket, device, in that order.
    async fn leave(self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        if let Some(calling) = &self.calling {
            outcome = calling.deregister().await.map_err(|e| Failure::sdk(e.kind(), &e));
        }
        if let Some(meetings) = &self.meetings {
            let unregistered = meetings.unregister().await;
            outcome = outcome.and(unregistered.map_err(|e| Failure::sdk(e.kind(), &e)));
        }
        // Once their objects are gone, the printers end after the last event.
        drop((self.calling, self.meetings));
        for printer in self.printers {
            let _ = printer.await;
        }
        outcome
    }
}

/// Waits for the next registration of the line.
async fn registered(events: &mut Subscription<LineEvent>) -> Result<(), Failure> {
    while let Some(event) = events.next().await {
        match event {
            LineEvent::Registered(_) => return Ok(()),
            LineEvent::Error(error) if error.http_status != Some(404) => {
                return Err(Failure::sdk(error.error_kind(), &error));
            }
            _ => {}
        }
    }
    std::future::pending().await
}

/// Shows every event of a subscription until its object is gone.
fn show<E: Lossy + Send + 'static>(
    mut events: Subscription<E>,
    show: impl Fn(E) + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            show(event);
        }
    })
}
