//! `webex register`: a Meetings device and a Calling line until Ctrl-C.

use std::{
    fmt,
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
    core::{LinkError, Phase, Subscription, Webex, events::Lossy},
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

/// Time limit of the shutdown. After it the program ends, and the cloud expires the rest.
pub(crate) const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Register a Meetings device [default: both]
    #[arg(long)]
    meetings: bool,
    /// Register a Calling line [default: both]
    #[arg(long)]
    calling: bool,
    /// Deregister and end after this many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Print one JSON object per event
    #[arg(long)]
    json: bool,
    /// Directory, for this user alone, for the state that survives a crash or restart: the device,
    /// the catalog, the server of the line [default: nothing is saved]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// What to do when the user has the maximum number of calling devices
    #[arg(long, value_name = "WHAT", default_value = "prefer-own")]
    on_device_limit: OnDeviceLimit,
    #[command(flatten)]
    cloud: CloudArguments,
}

/// [`DeviceLimit`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnDeviceLimit {
    /// Replace the first device, whoever registered it
    TakeOver,
    /// End with an error
    Fail,
    /// Replace an earlier registration of this device, or else fail
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

/// The objects that are registered, or being registered.
struct Endpoint {
    meetings: Option<Meetings>,
    calling: Option<CallingClient>,
    printers: Vec<JoinHandle<()>>,
    /// Shows the line's state until the end.
    status: Option<AbortHandle>,
    /// Whether everything requested has been registered.
    registered: bool,
    output: Output,
}

/// Registers, waits for a reason to end, and leaves nothing behind.
pub(crate) async fn run(arguments: Arguments, started: Instant) -> Result<(), Failure> {
    // Log lines on the same terminal would break up the status.
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
    // Ending before everything is registered is a failure.
    let outcome = outcome.and_then(|()| {
        if endpoint.registered || endpoint.is_registered(meetings, calling) {
            return Ok(());
        }
        Err(Failure::other("ended before everything was registered"))
    });
    endpoint.end_status();
    output.remark("Leaving …");
    let left = tokio::select! {
        left = timeout(SHUTDOWN_LIMIT, endpoint.leave(&webex)) => left.unwrap_or_else(|_| {
            Err(Failure::other("the cloud did not confirm in time that everything is deregistered"))
        }),
        () = signals.next() => Err(Failure::other("interrupted while deregistering")),
    };
    if let Some(sandbox) = sandbox {
        let counts = sandbox.counts();
        output.left(counts.devices, counts.sockets, counts.lines);
        sandbox.shutdown().await;
    }
    // The user needs to know the first failure.
    outcome.and(left)
}

pub(crate) async fn ended(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

impl Endpoint {
    /// Registers what was requested, in parallel, and stays until a registration is lost for good.
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
            let mut socket = made.subscribe();
            // An error from before anybody could subscribe.
            if let Some(error) = made.last_error() {
                output.event(&CallingEvent::Error(error));
            }
            if let Some(event) = made.unavailable() {
                output.event(&event);
            }
            let line = made.lines().remove(0);
            let mut events = line.subscribe();
            let printer = output.clone();
            printers.push(show(line.subscribe(), printer));
            *status = status::follow(&line, output);
            let unavailable = made.unavailable();
            *client = Some(made);
            if let Some(CallingEvent::Failed(error)) = unavailable {
                return Err(without_events(&error));
            }
            line.register();
            registered(&line, &mut events, &mut socket).await?;
            Ok(Some((line, events, socket)))
        };
        let ((), line) = tokio::try_join!(meetings, line)?;
        self.registered = true;
        // Lets the printers run first.
        tokio::task::yield_now().await;
        output.remark("Registered. Press Ctrl-C to deregister and end.");
        match line {
            Some((line, mut events, mut socket)) => loop {
                registered(&line, &mut events, &mut socket).await?;
            },
            None => std::future::pending().await,
        }
    }

    /// Whether everything requested is registered right now.
    fn is_registered(&self, meetings: bool, calling: bool) -> bool {
        let device = self.meetings.as_ref().map(Meetings::state);
        let line = self.calling.as_ref().and_then(|calling| Some(calling.lines().first()?.state()));
        (!meetings || device == Some(MeetingsState::Registered))
            && (!calling || line == Some(LineState::Registered))
    }

    /// Ends the display of the line's state.
    fn end_status(&mut self) {
        if let Some(status) = self.status.take() {
            status.abort();
        }
        if let Some(screen) = self.output.people() {
            screen.status(None);
        }
    }

    /// Gives everything up: line, socket, device, in that order. Then waits until nothing is left
    /// of a registration that failed or was interrupted.
    async fn leave(self, webex: &Webex) -> Result<(), Failure> {
        let mut outcome = Ok(());
        if let Some(calling) = &self.calling {
            outcome = calling.deregister().await.map_err(|error| left_behind(&error));
        }
        if let Some(meetings) = &self.meetings {
            let unregistered = meetings.unregister().await;
            outcome = outcome.and(unregistered.map_err(|error| left_behind(&error)));
        }
        // The printers end after the last event once their objects are dropped.
        drop((self.calling, self.meetings));
        for printer in self.printers {
            let _ = printer.await;
        }
        outcome.and(given_up(webex).await)
    }
}

/// A failure to give something up: whatever its kind, the cloud may have it for a while.
pub(crate) fn left_behind(error: &dyn fmt::Display) -> Failure {
    Failure::other(format!("the cloud did not confirm that everything is given up ({error})"))
}

/// Polling interval for the link, which reports its socket but not its end.
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

/// Waits for the next registration of the line; fails when there will be none, and when the event
/// socket has failed for good.
async fn registered(
    line: &Line,
    events: &mut Subscription<LineEvent>,
    socket: &mut Subscription<CallingEvent>,
) -> Result<(), Failure> {
    tokio::select! {
        outcome = next_registration(line, events) => outcome,
        failure = unheard(socket) => Err(failure),
    }
}

/// Waits for the next registration of the line. The line recovers from most failures by itself,
/// however long that takes; it is a failure when the line makes no further attempts.
async fn next_registration(
    line: &Line,
    events: &mut Subscription<LineEvent>,
) -> Result<(), Failure> {
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

/// Waits until the event socket has failed for good: a registered line gets no call without it.
async fn unheard(events: &mut Subscription<CallingEvent>) -> Failure {
    while let Some(event) = events.next().await {
        if let CallingEvent::Failed(error) = event {
            return without_events(&error);
        }
    }
    std::future::pending().await
}

/// The failure of a client whose events can no longer arrive.
fn without_events(error: &LinkError) -> Failure {
    Failure::sdk(error.kind(), error)
}

/// Shows every event of a subscription until its object is dropped.
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
