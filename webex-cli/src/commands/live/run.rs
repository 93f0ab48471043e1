//! Shared by the scenarios: clients with the run's name, steps with a time limit, and the final
//! clean-up.

use std::{
    fmt,
    future::Future,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use url::Url;
use webex_sdk::{
    calling::{CallingError, LineError, LineInfo},
    core::{
        CatalogError, DeviceConfig, ErrorKind, HttpError, Phase, Request, Subscription, Webex,
        events::Lossy,
    },
    meetings::MeetingsError,
};

use super::{record::Recorder, report::Leftovers};
use crate::{cloud::Access, exit::Failure, output::Event, redact::Redactor};

/// Time limit of a step. The SDK's own limits are shorter; this one is a safety net.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// Polling interval for what is not reported: the list of devices, the end of a client.
const POLL: Duration = Duration::from_millis(250);

/// A run against one cloud.
pub(super) struct Run {
    access: Access,
    /// Name of every device of this run, so that no other device is touched.
    name: String,
    pub(super) recorder: Recorder,
    pub(super) redactor: Mutex<Redactor>,
    /// A client that only asks, and registers nothing.
    observer: Webex,
    /// How long lines are kept, instead of three keepalives.
    pub(super) stay: Option<Duration>,
    /// How long the cloud may take to show that a device is gone.
    settle: Duration,
    followers: Mutex<Vec<JoinHandle<()>>>,
    /// Lines whose server did not confirm their removal.
    unconfirmed: Mutex<usize>,
}

/// Why a scenario failed.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) kind: Option<ErrorKind>,
    pub(super) message: String,
}

impl Failed {
    pub(super) fn because(message: impl Into<String>) -> Self {
        Self { kind: None, message: message.into() }
    }

    fn new(kind: ErrorKind, error: &dyn fmt::Display) -> Self {
        Self { kind: Some(kind), message: error.to_string() }
    }
}

macro_rules! failed_from {
    ($($error:ty: $kind:ident),*) => {
        $(impl From<$error> for Failed {
            fn from(error: $error) -> Self {
                Self::new(error.$kind(), &error)
            }
        })*
    };
}

failed_from!(
    MeetingsError: kind,
    CallingError: kind,
    CatalogError: kind,
    HttpError: kind,
    LineError: error_kind
);

impl Run {
    pub(super) fn new(
        access: Access,
        recorder: Recorder,
        redactor: Redactor,
        stay: Option<Duration>,
        settle: Duration,
    ) -> Result<Self, Failure> {
        let mut tail = [0; 4];
        getrandom::fill(&mut tail)
            .map_err(|error| Failure::other(format!("no randomness: {error}")))?;
        let observer = access.webex(DeviceConfig::default())?;
        Ok(Self {
            name: format!("webex-native-live-{:08x}", u32::from_be_bytes(tail)),
            access,
            recorder,
            redactor: Mutex::new(redactor),
            observer,
            stay,
            settle,
            followers: Mutex::default(),
            unconfirmed: Mutex::default(),
        })
    }

    /// A new client of the user, whose devices carry the run's name.
    pub(super) fn client(&self) -> Result<Webex, Failed> {
        let mut device = DeviceConfig::default();
        device.name.clone_from(&self.name);
        self.access.webex(device).map_err(|failure| Failed::because(failure.to_string()))
    }

    /// The client that registers nothing.
    pub(super) fn observer(&self) -> &Webex {
        &self.observer
    }

    /// Runs one step within [`LIMIT`], records the outcome, and prints it.
    pub(super) async fn step<T, E: Into<Failed>>(
        &self,
        what: &str,
        action: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failed> {
        self.step_within(LIMIT, what, action).await
    }

    /// Runs one step within a time limit.
    pub(super) async fn step_within<T, E: Into<Failed>>(
        &self,
        limit: Duration,
        what: &str,
        action: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failed> {
        let since = Instant::now();
        let outcome = match timeout(limit, action).await {
            Ok(outcome) => outcome.map_err(Into::into),
            Err(_) => Err(Failed::because(format!("not done within {} s", limit.as_secs()))),
        };
        let failure = outcome.as_ref().err().map(|failed| failed.message.clone());
        let shown = match &failure {
            Some(failure) => format!("FAILED: {}", self.redactor.lock().text(failure)),
            None => "ok".to_owned(),
        };
        println!("  {what}: {shown}, {:.1} s", since.elapsed().as_secs_f64());
        self.recorder.step(what, since, failure.clone());
        outcome
            .map_err(|failed| Failed { message: format!("{what}: {}", failed.message), ..failed })
    }

    /// Records the events of an object until it is dropped.
    pub(super) fn follow<E: Lossy + Event + Send + 'static>(&self, mut events: Subscription<E>) {
        let recorder = self.recorder.clone();
        let follower = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                recorder.event(E::SOURCE, event.name(), impersonal(event.to_json()));
            }
        });
        self.followers.lock().push(follower);
    }

    /// Waits for the last events of a scenario whose objects are dropped.
    pub(super) async fn settle(&self) {
        let followers = std::mem::take(&mut *self.followers.lock());
        for follower in followers {
            // A follower that goes on belongs to an object that a background task still holds.
            let _ = timeout(POLL, follower).await;
        }
    }

    /// Asks who the user is, to keep exactly that out of the report. If that fails, everything that
    /// looks private is still redacted.
    pub(super) async fn learn_user(&self) -> Result<(), Failed> {
        let user = self.observer.user().await?;
        self.redactor.lock().learn_user(&user);
        Ok(())
    }

    /// Keeps the user's data in the device of a client out of the report.
    pub(super) fn learn_device(&self, webex: &Webex) {
        let Some(device) = webex.link().state().device else { return };
        let mut redactor = self.redactor.lock();
        redactor.learn(&device.user_id);
        if let Some(id) = &device.org_id {
            redactor.learn(id);
        }
        if let Some(id) = device.url.path_segments().and_then(Iterator::last) {
            redactor.learn(id);
        }
    }

    /// Keeps the user's data in a registered line out of the report.
    pub(super) fn learn_line(&self, info: &LineInfo) {
        let mut redactor = self.redactor.lock();
        let known = [&info.mobius_device_id, &info.phone_number, &info.extension, &info.voicemail];
        for value in known.into_iter().flatten().chain(&info.sip_addresses) {
            redactor.learn(value);
        }
    }

    /// Records that a server did not confirm the removal of a line.
    pub(super) fn line_not_confirmed(&self) {
        *self.unconfirmed.lock() += 1;
    }

    /// Waits until a client whose operations were cancelled has given everything up.
    pub(super) async fn given_up(&self, webex: &Webex) -> Result<(), Failed> {
        loop {
            match webex.link().state().phase {
                Phase::Down => return Ok(()),
                Phase::Left => {
                    return Err(Failed::because(
                        "the cloud did not confirm that the device is gone",
                    ));
                }
                _ => sleep(POLL).await,
            }
        }
    }

    /// Waits until the cloud shows no device of this run.
    pub(super) async fn nothing_left(&self) -> Result<(), Failed> {
        let looking = async {
            while !self.ours().await?.is_empty() {
                sleep(POLL).await;
            }
            Ok(())
        };
        timeout(self.settle, looking)
            .await
            .unwrap_or_else(|_| Err(Failed::because("a device of this run is still there")))
    }

    /// Looks for what is left of the run, and deletes it.
    pub(super) async fn clean_up(&self) -> Leftovers {
        let mut left = Leftovers { lines: *self.unconfirmed.lock(), ..Leftovers::default() };
        if self.nothing_left().await.is_ok() {
            left.verified = true;
            return left;
        }
        match self.ours().await {
            Ok(devices) => {
                left.verified = true;
                left.devices = devices.len();
                for url in devices {
                    match self.observer.http().send(Request::delete(url)).await {
                        Ok(_) => left.deleted += 1,
                        Err(error) => left.failure = Some(error.to_string()),
                    }
                }
            }
            Err(failed) => left.failure = Some(failed.message),
        }
        left
    }

    /// The devices of this run that the cloud shows.
    async fn ours(&self) -> Result<Vec<Url>, Failed> {
        #[derive(Deserialize)]
        struct Shown {
            #[serde(default)]
            name: String,
            url: Url,
        }
        #[derive(Deserialize)]
        struct List {
            devices: Vec<Shown>,
        }

        let mut url = self.observer.service_url("wdm").await?;
        let path = format!("{}/devices", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let list: List = self.observer.http().send(Request::get(url)).await?.json()?;
        let ours = list.devices.into_iter().filter(|device| device.name == self.name);
        Ok(ours.map(|device| device.url).collect())
    }
}

/// The keys of events that identify the user.
const PERSONAL: [&str; 6] =
    ["lineId", "mobiusDeviceId", "phoneNumber", "extension", "sipAddresses", "voicemail"];

/// The details of an event, without those that identify the user.
fn impersonal(mut detail: Map<String, Value>) -> Map<String, Value> {
    detail.retain(|key, value| !PERSONAL.contains(&key.as_str()) && !value.is_null());
    detail
}
