//! Everything the sandbox knows: the [`World`].
//!
//! One lock per concern, never held across an await. Whatever changes the world calls
//! [`World::changed`], which wakes `wait_for` and feeds the event stream of the control API.

pub(crate) mod devices;
pub(crate) mod expiry;
pub(crate) mod faults;
pub(crate) mod instances;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod mutations;
pub(crate) mod sockets;
pub(crate) mod tokens;
pub(crate) mod users;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use serde::{Serialize, Serializer};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::builder::{Config, MobiusPolicy, OAuthPolicy, U2cPolicy, WdmPolicy};
use crate::operation::Operation;
use crate::services::oauth::OAuthServer;
use crate::tasks::Tasks;
use crate::urls::Places;

use devices::Devices;
use expiry::Expiry;
use faults::Faults;
pub(crate) use instances::Instance;
use instances::InstanceConduct;
use lines::Lines;
use log::Log;
use messages::Messages;
use mutations::Mutations;
use sockets::Sockets;
use tokens::{Access, Tokens};
use users::{NewUser, User, Users};

/// Organization of the default user.
const DEFAULT_ORG: &str = "0e600000-0000-4000-8000-000000000003";

/// Scopes of ready-made tokens.
const USER_SCOPES: [&str; 7] = [
    "spark:all",
    "spark:kms",
    "spark:people_read",
    "spark:webrtc_calling",
    "spark:calls_read",
    "spark:calls_write",
    "spark:xsi",
];

/// The state of a sandbox, shared by all its tasks.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) users: Mutex<Users>,
    pub(crate) tokens: Mutex<Tokens>,
    pub(crate) devices: Mutex<Devices>,
    pub(crate) lines: Mutex<Lines>,
    pub(crate) sockets: Mutex<Sockets>,
    pub(crate) oauth: Mutex<OAuthServer>,
    pub(crate) messages: Mutex<Messages>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) policies: RwLock<Policies>,
    pub(crate) faults: Faults,
    pub(crate) mutations: Mutations,
    pub(crate) latency: Latency,
    pub(crate) places: RwLock<Places>,
    pub(crate) log: Log,
    pub(crate) expiry: Expiry,
    pub(crate) tasks: Tasks,
    pub(crate) default_user: Arc<User>,
    started: Instant,
    version: watch::Sender<u64>,
    feed: broadcast::Sender<Change>,
}

/// The rules in force.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Policies {
    pub(crate) mobius: MobiusPolicy,
    pub(crate) wdm: WdmPolicy,
    pub(crate) u2c: U2cPolicy,
    pub(crate) oauth: OAuthPolicy,
}

/// Added delays, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Latency {
    request: AtomicU64,
    connection: AtomicU64,
}

/// One change of the world, as the control API streams it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Change {
    Request { number: u64, operation: Operation, instance: Option<String>, status: Option<u16> },
    DeviceRegistered { id: String, user_id: String },
    DeviceRefreshed { id: String, user_id: String },
    DeviceRemoved { id: String, user_id: String, expired: bool },
    LineRegistered { device_id: String, instance: String, user_id: String },
    LineKeptAlive { device_id: String, instance: String },
    LineRemoved { device_id: String, instance: String, expired: bool },
    SocketOpened { id: u64, device_id: String },
    SocketAuthorized { id: u64, user_id: String },
    SocketFrame { id: u64, frame: &'static str },
    SocketClosed { id: u64 },
    UserAdded { id: String },
    TokensChanged,
    InstanceSwitched { instance: String, down: bool },
    FaultFired { id: u64, operation: Operation },
    FaultsChanged,
    RequestsForgotten,
    Settings,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    pub(crate) fn new(config: Config) -> io::Result<Self> {
        let log = Log::new(config.log_capacity, config.request_log.as_deref())?;
        let mut users = Users::default();
        let mut tokens = Tokens::default();
        let default_user =
            users.add(NewUser::from("ann@sandbox.example"), DEFAULT_ORG, Tokens::mint);
        tokens.insert_access(
            default_user.token().to_owned(),
            Access::unlimited(&default_user),
            config.oauth.token_cap,
        );
        let instances = config.instances.iter().cloned().map(Instance::new).collect();
        Ok(Self {
            users: Mutex::new(users),
            tokens: Mutex::new(tokens),
            devices: Mutex::default(),
            lines: Mutex::default(),
            sockets: Mutex::default(),
            oauth: Mutex::new(OAuthServer::new()),
            messages: Mutex::default(),
            instances,
            policies: RwLock::new(Policies {
                mobius: config.mobius.clone(),
                wdm: config.wdm.clone(),
                u2c: config.u2c.clone(),
                oauth: config.oauth.clone(),
            }),
            faults: Faults::default(),
            mutations: Mutations::default(),
            latency: Latency::new(config.latency, config.connection_latency),
            places: RwLock::default(),
            log,
            expiry: Expiry::default(),
            tasks: Tasks::new(),
            default_user,
            started: Instant::now(),
            version: watch::Sender::new(0),
            feed: broadcast::Sender::new(1_024),
            config,
        })
    }

    /// Announces a change. The closure runs only when somebody listens to the stream.
    pub(crate) fn changed(&self, change: impl FnOnce() -> Change) {
        self.version.send_modify(|version| *version += 1);
        if self.feed.receiver_count() > 0 {
            // Fails only when the last listener has just left.
            let _ = self.feed.send(change());
        }
    }

    /// A counter that moves with every change.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The stream of changes from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Change> {
        self.feed.subscribe()
    }

    /// Time since the start.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.info.name == name)
    }

    /// Changes how a Mobius instance behaves. `false` when there is none of that name.
    pub(crate) fn change_instance(
        &self,
        name: &str,
        change: impl FnOnce(&mut InstanceConduct),
    ) -> bool {
        let Some(instance) = self.instance(name) else { return false };
        let mut conduct = instance.conduct();
        change(&mut conduct);
        let down = conduct.down;
        instance.set_conduct(conduct);
        self.changed(|| Change::InstanceSwitched { instance: name.to_owned(), down });
        true
    }

    /// Adds a user with a token that does not expire.
    pub(crate) fn add_user(&self, new: NewUser) -> Arc<User> {
        let user = self.users.lock().add(new, DEFAULT_ORG, Tokens::mint);
        let cap = self.policies.read().oauth.token_cap;
        let access = Access::unlimited(&user);
        self.tokens.lock().insert_access(user.token().to_owned(), access, cap);
        self.changed(|| Change::UserAdded { id: user.id.clone() });
        user
    }

    /// The user a live access token belongs to.
    pub(crate) fn user_of_token(&self, token: &str) -> Option<Arc<User>> {
        let now = Instant::now();
        self.tokens.lock().access(token, now).and_then(|access| access.user.clone())
    }

    /// Removes a WDM device. Its sockets stay open, as nothing says that the real service closes them.
    pub(crate) fn remove_device(&self, id: &str, expired: bool) -> bool {
        let Some(device) = self.devices.lock().remove(id) else { return false };
        self.changed(|| Change::DeviceRemoved { id: device.id, user_id: device.user_id, expired });
        true
    }

    /// Removes a line.
    pub(crate) fn remove_line(&self, id: &str, expired: bool) -> bool {
        let Some(line) = self.lines.lock().remove(id) else { return false };
        self.changed(|| Change::LineRemoved {
            device_id: line.device_id,
            instance: line.instance,
            expired,
        });
        true
    }
}

impl Access {
    /// All scopes of a person, no expiry.
    pub(crate) fn unlimited(user: &Arc<User>) -> Self {
        let scopes = USER_SCOPES.map(str::to_owned).into();
        Self { user: Some(Arc::clone(user)), client_id: None, scopes, expires: None }
    }
}

impl Latency {
    fn new(request: Duration, connection: Duration) -> Self {
        let latency = Self { request: AtomicU64::new(0), connection: AtomicU64::new(0) };
        latency.set_request(request);
        latency.set_connection(connection);
        latency
    }

    pub(crate) fn request(&self) -> Duration {
        Duration::from_nanos(self.request.load(Ordering::Acquire))
    }

    pub(crate) fn connection(&self) -> Duration {
        Duration::from_nanos(self.connection.load(Ordering::Acquire))
    }

    pub(crate) fn set_request(&self, delay: Duration) {
        self.request.store(nanos(delay), Ordering::Release);
    }

    pub(crate) fn set_connection(&self, delay: Duration) {
        self.connection.store(nanos(delay), Ordering::Release);
    }
}

/// RFC 3339, as all timestamps on the wire are.
pub(crate) fn as_text<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

/// The same for what may not have happened yet.
#[allow(clippy::ref_option)] // serde hands a reference to the field
pub(crate) fn as_text_or_null<S: Serializer>(
    time: &Option<Timestamp>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_text(time, to),
        None => to.serialize_none(),
    }
}

fn nanos(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)
}
