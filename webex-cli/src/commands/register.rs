//! `webex register`: a Meetings device and a Calling line until Ctrl-C.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};
use webex_sdk::{
    calling::{
        CallingClient, CallingConfig, CallingEvent, DeviceLimit, Line, LineEvent, LineState,
    },
    core::{Phase, Subscription, Webex, events::Lossy},
    meetings::{Meetings, MeetingsState},
};

use crate::{
    cloud::{Cloud, CloudArguments},
    exit::Failure,
    output::{Event, Output},
    screen::Screen,
    signals::Signals,
    status,
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
    /// Directory, for this user alone, that keeps what survives a crash or restart: the device, the
    /// catalog, where the line was [default: nothing is kept]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// What to do when the user has as many calling devices as allowed
    #[arg(long, value_name = "WHAT", default_value = "prefer-own")]
    on_device_limit: OnDeviceLimit,
    #[command(flatten)]
    cloud: CloudArguments,
}

/// [`DeviceLimit`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnDeviceLimit {
    /// Take the place of the first device, whosever it is
    TakeOver,
    /// End with an error
    Fail,
    /// Take the place of an earlier registration of this device, or else fail
    PreferOwn,
}

impl From<OnDeviceLimit> for DeviceLimit {
    fn from(choice: OnDeviceLimit) -> Self {
        match choice {
            OnDeviceLimit::TakeOver => Self::TakeOver,
            OnDeviceLimit::Fail => Self::Fail,
            OnDeviceLimit::PreferOwn => Self::PreferOwn,
        }
    }
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
    /// Shows the line's state until it is left.
    status: Option<AbortHandle>,
    /// Everything that was asked for has been registered.
    registered: bool,
    output: Output,
}

/// Registers, waits for a reason to end, and leaves nothing behind.
pub(crate) async fn run(arguments: Arguments, started: Instant) -> Result<(), Failure> {
    // What is logged to the same terminal would break into the status.
    let live = !arguments.json && !tracing::enabled!(tracing::Level::INFO);
    let output = Output::new(started, arguments.json, Screen::stdout(live));
    let mut signals = Signals::listen().map_err(|error| Failure::other(error.to_string()))?;
    let both = arguments.meetings == arguments.calling;
    let (meetings, calling) = (arguments.meetings || both, arguments.calling || both);
    let Cloud { webex, sandbox } = Cloud::open(arguments.cloud, arguments.state_dir).await?;
    if let Some(sandbox) = &sandbox {
        output.notice(&format!(
            "No token and no cloud given: using the sandbox inside this program, {}",
            sandbox.origin()
        ));
    }

    let mut config = CallingConfig::default();
    config.registration.device_limit = arguments.on_device_limit.into();
    let config = calling.then_some(config);
    let mut endpoint = Endpoint {
        meetings: None,
        calling: None,
        printers: Vec::new(),
        status: None,
        registered: false,
        output: output.clone(),
    };
    let outcome = tokio::select! {
        outcome = endpoint.stay(&webex, meetings, config) => outcome,
        () = ended(arguments.duration) => Ok(()),
        () = signals.next() => Ok(()),
    };
    // What ends before it is registered has not done what it was asked for.
    let outcome = outcome.and_then(|()| {
        if endpoint.registered || endpoint.is_registered(meetings, calling) {
            return Ok(());
        }
        Err(Failure::other("ended before everything was registered"))
    });
    endpoint.still();
    output.remark("Leaving …");
    let left = tokio::select! {
        left = timeout(LEAVE, endpoint.leave(&webex)) => left.unwrap_or_else(|_| {
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
    async fn stay(
        &mut self,
        webex: &Webex,
        meetings: bool,
        calling: Option<CallingConfig>,
    ) -> Result<(), Failure> {
        let output = &self.output;
        if meetings {
            let device = Meetings::new(webex);
            let printer = output.clone();
            self.printers.push(show(device.subscribe(), printer));
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
        let status = &mut self.status;
        let line = async {
            let Some(config) = calling else { return Ok(None) };
            let made = CallingClient::new(webex, config).await;
            let made = made.map_err(|error| Failure::sdk(error.kind(), &error))?;
            printers.push(show(made.subscribe(), output.clone()));
            // What went wrong before anybody could listen.
            if let Some(error) = made.last_error() {
                output.event(&CallingEvent::Error(error));
            }
            let line = made.lines().remove(0);
            let mut events = line.subscribe();
            let printer = output.clone();
            printers.push(show(line.subscribe(), printer));
            *status = status::follow(&line, output);
            *client = Some(made);
            line.register();
            registered(&line, &mut events).await.map(|()| Some((line, events)))
        };
        let ((), line) = tokio::try_join!(meetings, line)?;
        self.registered = true;
        // The printers have their turn first.
        tokio::task::yield_now().await;
        output.remark("Registered. Press Ctrl-C to deregister and end.");
        match line {
            Some((line, mut events)) => loop {
                registered(&line, &mut events).await?;
            },
            None => std::future::pending().await,
        }
    }

    /// Whether what is wanted is registered at this moment.
    fn is_registered(&self, meetings: bool, calling: bool) -> bool {
        let device = self.meetings.as_ref().map(Meetings::state);
        let line = self.calling.as_ref().and_then(|calling| Some(calling.lines().first()?.state()));
        (!meetings || device == Some(MeetingsState::Registered))
            && (!calling || line == Some(LineState::Registered))
    }

    /// Ends the display of the line's state.
    fn still(&mut self) {
        if let Some(status) = self.status.take() {
            status.abort();
        }
        if let Some(screen) = self.output.people() {
            screen.status(None);
        }
    }

    /// Gives everything up: line, socket, device, in that order; then waits until nothing is left of
    /// what failed, or was interrupted, while it was being registered.
    async fn leave(self, webex: &Webex) -> Result<(), Failure> {
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
        outcome.and(given_up(webex).await)
    }
}

/// Between two looks at the link: it tells of its socket, not of its end.
const POLL: Duration = Duration::from_millis(50);

/// Waits until the user's device is given up.
pub(crate) async fn given_up(webex: &Webex) -> Result<(), Failure> {
    loop {
        match webex.link().state().phase {
            Phase::Down => return Ok(()),
            Phase::Left => {
                return Err(Failure::other("the cloud did not confirm that the device is gone"));
            }
            _ => sleep(POLL).await,
        }
    }
}

/// Waits for the next registration of the line. Most of what goes wrong the line mends by itself,
/// however long it takes; it is a failure when the line will do nothing more.
async fn registered(line: &Line, events: &mut Subscription<LineEvent>) -> Result<(), Failure> {
    while let Some(event) = events.next().await {
        let error = match &event {
            LineEvent::Registered(_) => return Ok(()),
            LineEvent::Error(error) => Some(error),
            LineEvent::Unregistered { reason, .. } => reason.error(),
            _ => continue,
        };
        let at_rest = matches!(line.state(), LineState::Idle | LineState::Failed);
        if at_rest && line.next().is_none() {
            return Err(match error {
                Some(error) => Failure::sdk(error.error_kind(), error),
                None => Failure::other("the calling service has ended the registration"),
            });
        }
    }
    std::future::pending().await
}

/// Shows every event of a subscription until its object is gone.
fn show<E: Lossy + Event + Send + 'static>(
    mut events: Subscription<E>,
    output: Output,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            output.event(&event);
        }
    })
}
