//! The state of one sandbox: the [`World`].
//!
//! Each concern has its own lock, never held across an await. Code that changes the world calls
//! [`World::changed`], which wakes `wait_for` and feeds the event stream of the control API.

pub(crate) mod expiry;

use std::{fmt, io, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};

use crate::{
    operation::Operation,
    state::{
        clock::Clock,
        config::Config,
        devices::Devices,
        expiry::Expiry,
        fault::Fault,
        faults::Faults,
        instances::Instance,
        latency::Latency,
        lines::Lines,
        log::Log,
        messages::Messages,
        mutations::{Mutation, Mutations},
        oauth::{Decision, OAuthServer},
        policy::Policies,
        sockets::Sockets,
        tokens::{Access, Tokens},
        users::{NewUser, User, Users},
    },
    tasks::Tasks,
    urls::Places,
};

/// Organization of the default user.
const DEFAULT_ORG: &str = "0e600000-0000-4000-8000-000000000003";

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
    pub(crate) clock: Clock,
    /// How long a connection may be without a request before it is closed.
    pub(crate) idle_limit: watch::Sender<Option<Duration>>,
    pub(crate) places: RwLock<Places>,
    /// Held while a setting is read, changed and written back.
    pub(crate) editing: Mutex<()>,
    pub(crate) log: Log,
    pub(crate) expiry: Expiry,
    pub(crate) tasks: Tasks,
    pub(crate) default_user: Arc<User>,
    started: Instant,
    version: watch::Sender<u64>,
    feed: broadcast::Sender<Change>,
}

/// One change of the world, as the control API streams it.
#[derive(Debug, Clone, Serialize)]
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

/// Number of things of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Users.
    pub users: usize,
    /// Registered WDM devices.
    pub devices: usize,
    /// Open Mercury sockets.
    pub sockets: usize,
    /// Registered lines.
    pub lines: usize,
    /// Requests ever received, including those no longer in the log.
    pub requests: u64,
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
            config.policies.oauth.token_cap,
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
            policies: RwLock::new(config.policies.clone()),
            faults: Faults::default(),
            mutations: Mutations::default(),
            clock: Clock::default(),
            idle_limit: watch::Sender::default(),
            latency: Latency::new(config.latency, config.connection_latency),
            places: RwLock::default(),
            editing: Mutex::default(),
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

    /// Announces a change. The closure runs only when the stream has a listener.
    pub(crate) fn changed(&self, change: impl FnOnce() -> Change) {
        self.version.send_modify(|version| *version += 1);
        if self.feed.receiver_count() > 0 {
            // Fails only when the last listener has just left.
            let _ = self.feed.send(change());
        }
    }

    /// A counter that increases with every change.
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

    /// The user of a live token; with [`Mutation::AcceptAnyToken`] the default user for any other token.
    pub(crate) fn known_user(&self, token: &str) -> Option<Arc<User>> {
        self.user_of_token(token).or_else(|| {
            self.mutations.has(Mutation::AcceptAnyToken).then(|| Arc::clone(&self.default_user))
        })
    }

    /// Whether a service that needs a token accepts this one.
    pub(crate) fn accepts(&self, token: &str) -> bool {
        self.mutations.has(Mutation::AcceptAnyToken)
            || self.tokens.lock().access(token, Instant::now()).is_some()
    }

    /// The fault for a request or frame, if any.
    pub(crate) fn fault_for(
        &self,
        operation: Operation,
        instance: Option<&str>,
        user: Option<&str>,
    ) -> Option<Fault> {
        let (id, fault) = self.faults.take(operation, instance, user)?;
        self.changed(|| Change::FaultFired { id, operation });
        Some(fault)
    }

    /// Confirms a user code for a user, or denies it. Returns `false` when it is unknown or expired.
    pub(crate) fn decide_device(&self, user_code: &str, user: Option<Arc<User>>) -> bool {
        let now = Instant::now();
        let is_known = {
            let mut oauth = self.oauth.lock();
            let code = oauth
                .device_codes
                .values_mut()
                .find(|code| code.user_code == user_code && now < code.expires);
            match code {
                Some(code) => {
                    code.decision = user.map_or(Decision::Denied, Decision::Approved);
                    true
                }
                None => false,
            }
        };
        self.changed(|| Change::Settings);
        is_known
    }

    /// Removes a WDM device. Its sockets stay open, since the real service is not known to close them.
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

    /// Number of things of each kind.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            users: self.users.lock().all().count(),
            devices: self.devices.lock().len(),
            sockets: self.sockets.lock().len(),
            lines: self.lines.lock().len(),
            requests: self.log.total(),
        }
    }
}
