//! The typed control API: [`Sandbox`].
//!
//! Every method that changes something makes a [`Control`] and applies it, as the HTTP API does.

pub(crate) mod builder;
pub(crate) mod faults;
pub(crate) mod identity;

use std::{fmt, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{net::TcpListener, time::timeout};
use tokio_rustls::TlsAcceptor;
use tracing::warn;
use url::Url;

use self::{builder::Builder, faults::FaultBuilder, identity::Identity};
use crate::{
    control::{
        Control, ControlError, Outcome,
        apply::{apply, edit_instance, edit_policies},
    },
    error::{StartError, WaitTimeout},
    operation::Target,
    redact,
    server::{self, router, tls::Tls},
    state::{
        config::Config,
        devices::Device,
        fault::CloseFrame,
        instances::{InstanceBehaviour, MobiusInstance},
        lines::Line,
        log::Requests,
        mutations::Mutation,
        policy::{MobiusPolicy, OAuthPolicy, U2cPolicy, WdmPolicy},
        sockets::{Socket, SocketControl},
        users::{NewUser, User},
    },
    world::{Counts, World, expiry},
};

/// How long [`Sandbox::wait_for`] waits.
const WAIT: Duration = Duration::from_secs(10);

/// A running stand-in Webex cloud.
///
/// Everything it does runs on the tokio runtime it was started on; dropping it stops everything.
/// Share it between tasks in an [`Arc`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use webex_sandbox::{Mobius, Sandbox};
///
/// let sandbox = Sandbox::start().await?;
/// println!("U2C is at {}", sandbox.url("/u2c/api/v1"));
/// println!("its user's token is {}", sandbox.token());
///
/// // The next two registrations at primary-1 fail.
/// let fault = sandbox.fail(Mobius::register()).on("primary-1").with(503).times(2);
/// // … run a client …
/// assert_eq!(fault.fired(), 0);
/// assert_eq!(sandbox.requests().of(Mobius::register()).count(), 0);
/// sandbox.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Sandbox {
    world: Arc<World>,
    origin: Url,
    ca_pem: Option<String>,
}

impl Sandbox {
    /// Starts with the defaults: TLS on a free port of `127.0.0.1`.
    ///
    /// # Errors
    /// See [`Builder::start`].
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Returns a builder that configures a sandbox.
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn launch(config: Config) -> Result<Self, StartError> {
        let tls = if config.plain { None } else { Some(Tls::generate(&config.host_names)?) };
        if let (Some(path), Some(tls)) = (&config.ca_file, &tls) {
            std::fs::write(path, &tls.ca_pem)
                .map_err(|source| StartError::Write { path: path.clone(), source })?;
        }
        let address = config.listen;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        if !bound.ip().is_loopback() {
            warn!(
                address = %bound,
                "the sandbox listens beyond loopback: its control API has no password"
            );
        }
        let scheme = if config.plain { "http" } else { "https" };
        let origin = Url::parse(&format!("{scheme}://{bound}"))
            .map_err(|_| StartError::Config("the address is not one that fits into a URL"))?;
        let log_path = config.request_log.clone().unwrap_or_default();
        let world =
            World::new(config).map_err(|source| StartError::Write { path: log_path, source })?;
        let world = Arc::new(world);
        let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.config)));
        let services = router::build(Arc::clone(&world));
        world.tasks.spawn(server::accept(Arc::clone(&world), listener, acceptor, services));
        world.tasks.spawn(expiry::run(Arc::clone(&world)));
        Ok(Self { world, origin, ca_pem: tls.map(|tls| tls.ca_pem) })
    }

    /// Scheme, address and port, for example `https://127.0.0.1:43210/`.
    pub fn origin(&self) -> &Url {
        &self.origin
    }

    /// A URL on this sandbox: `url("/u2c/api/v1")`.
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.origin.clone();
        url.set_path(path);
        url
    }

    /// Certificate of the authority that signed the sandbox's own, in PEM. `None` in plain mode.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Stops serving and waits until every task has ended.
    pub async fn shutdown(self) {
        self.world.tasks.stop();
        self.world.tasks.ended().await;
    }

    // --- users and tokens ---

    /// The access token of the default user. It does not expire by itself.
    pub fn token(&self) -> &str {
        self.world.default_user.token()
    }

    /// The default user, who exists from the start.
    pub fn user(&self) -> &User {
        &self.world.default_user
    }

    /// Adds a user; an e-mail address is enough.
    pub fn add_user(&self, user: impl Into<NewUser>) -> User {
        match self.control(Control::AddUser(user.into())) {
            Ok(Outcome::User(user)) => user,
            other => unreachable!("a user can always be added: {other:?}"),
        }
    }

    /// All users, the default one first.
    pub fn users(&self) -> Vec<User> {
        self.world.users.lock().all().map(|user| User::clone(user)).collect()
    }

    /// Makes another access token for a user (given by id), valid for `lifetime` or for ever.
    /// `None` when there is no such user.
    pub fn issue_token(&self, user: impl AsRef<str>, lifetime: Option<Duration>) -> Option<String> {
        match self.control(Control::IssueToken { user: user.as_ref().to_owned(), lifetime }) {
            Ok(Outcome::Token { token }) => Some(token),
            _ => None,
        }
    }

    /// Expires a token now. Returns `false` when it is unknown.
    pub fn expire_token(&self, token: &str) -> bool {
        self.expire_token_in(token, Duration::ZERO)
    }

    /// Expires a token after a while. Returns `false` when it is unknown.
    pub fn expire_token_in(&self, token: &str, after: Duration) -> bool {
        self.done(Control::ExpireToken { token: token.to_owned(), after })
    }

    /// Revokes a token. Returns `false` when it is unknown.
    pub fn revoke_token(&self, token: &str) -> bool {
        self.done(Control::RevokeToken { token: token.to_owned() })
    }

    /// Control over who signs in and which clients exist.
    pub fn identity(&self) -> Identity<'_> {
        Identity { world: &self.world }
    }

    /// The fingerprint by which the request log shows this token.
    pub fn fingerprint(token: &str) -> String {
        redact::secret(token)
    }

    // --- state ---

    /// Registered WDM devices, oldest first.
    pub fn devices(&self) -> Vec<Device> {
        self.world.devices.lock().all()
    }

    /// Open Mercury sockets, oldest first.
    pub fn sockets(&self) -> Vec<Socket> {
        self.world.sockets.lock().all()
    }

    /// The last thousand Mercury sockets that have ended, oldest first.
    pub fn closed_sockets(&self) -> Vec<Socket> {
        self.world.sockets.lock().closed()
    }

    /// Registered lines over all Mobius instances, oldest first.
    pub fn lines(&self) -> Vec<Line> {
        self.world.lines.lock().all()
    }

    /// How many of each there are; cheaper than the lists.
    pub fn counts(&self) -> Counts {
        self.world.counts()
    }

    /// The request log, oldest first.
    pub fn requests(&self) -> Requests {
        self.world.log.all()
    }

    /// Clears the request log.
    pub fn clear_requests(&self) {
        self.done(Control::ClearRequests);
    }

    /// Waits until `condition` is true, for at most 10 s of tokio's clock.
    ///
    /// It is checked again after each change: every request, frame, expiry and control call.
    ///
    /// # Errors
    /// [`WaitTimeout`] when it stays false.
    pub async fn wait_for(&self, condition: impl FnMut(&Self) -> bool) -> Result<(), WaitTimeout> {
        self.wait_for_within(WAIT, condition).await
    }

    /// Waits until `condition` is true, for at most `limit` of tokio's clock.
    ///
    /// # Errors
    /// [`WaitTimeout`] when it stays false.
    pub async fn wait_for_within(
        &self,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Result<(), WaitTimeout> {
        let mut changes = self.world.watch();
        let waiting = async {
            loop {
                changes.borrow_and_update();
                if condition(self) {
                    break;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        timeout(limit, waiting).await.map_err(|_| WaitTimeout { after: limit })
    }

    // --- misbehaviour ---

    /// Begins a fault of an operation or of a whole service.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use webex_sandbox::{Mercury, Mobius, Sandbox, Service, U2c};
    /// # let sandbox = Sandbox::builder().plain(true).start().await?;
    /// // 429 with Retry-After, once:
    /// sandbox.fail(Mobius::register()).with(429).header("Retry-After", 5).once();
    /// // The third keepalive at backup-1 gets no answer:
    /// sandbox.fail(Mobius::status()).on("backup-1").after(2).refuse().once();
    /// // A catalog without WDM, until cleared:
    /// let patch = serde_json::json!({"serviceLinks": {"wdm": null}});
    /// let fault = sandbox.fail(U2c::postauth()).merge(patch).always();
    /// fault.clear();
    /// // The next socket is closed because its token has expired:
    /// sandbox.fail(Mercury::authorize()).close(4401, "token expired").once();
    /// # Ok(())
    /// # }
    /// ```
    pub fn fail(&self, target: impl Into<Target>) -> FaultBuilder<'_> {
        FaultBuilder::new(&self.world, target.into())
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.done(Control::ClearFaults);
    }

    /// Switches a Mobius instance off: its requests get no answer, and their connection (HTTP/1) or
    /// stream (HTTP/2) is closed. Returns `false` when the instance does not exist.
    pub fn down(&self, instance: &str) -> bool {
        self.instance(instance, |behaviour| behaviour.down = true)
    }

    /// Switches a Mobius instance on again. Returns `false` when the instance does not exist.
    pub fn up(&self, instance: &str) -> bool {
        self.instance(instance, |behaviour| behaviour.down = false)
    }

    /// Changes how a Mobius instance behaves: down, slow, full, forgetful, with other intervals.
    /// Returns `false` when the instance does not exist.
    pub fn instance(&self, name: &str, change: impl FnOnce(&mut InstanceBehaviour)) -> bool {
        edit_instance(&self.world, name, change).is_ok()
    }

    /// The Mobius instances.
    pub fn mobius_instances(&self) -> &[MobiusInstance] {
        &self.world.config.instances
    }

    /// Switches a deliberate breach of the protocol on or off.
    pub fn mutate(&self, mutation: Mutation, on: bool) {
        self.done(Control::SetMutations([(mutation, on)].into()));
    }

    /// Hands out URLs of a service with this authority (`host:port`) from now on, for example that
    /// of a proxy in front of the sandbox, so that services have distinct origins. `service` is a
    /// name in the catalog, `mercury` or the name of a Mobius instance. Returns `false` when the
    /// service does not exist.
    pub fn place(&self, service: &str, authority: &str) -> bool {
        let (service, authority) = (service.to_owned(), authority.to_owned());
        self.done(Control::Place { service, authority })
    }

    /// Adds a delay to every HTTP answer, to the websocket upgrade, and to the answer to each
    /// client frame that gets one; once each. Events that the sandbox pushes are not delayed.
    /// Requests on one HTTP/2 connection wait in parallel.
    pub fn set_latency(&self, delay: Duration) {
        self.done(Control::SetLatency { request: Some(delay), connection: None });
    }

    /// Adds a delay before each new connection is served.
    pub fn set_connection_latency(&self, delay: Duration) {
        self.done(Control::SetLatency { request: None, connection: Some(delay) });
    }

    /// Sets the error of the clock that answers report (`Date`), in seconds; positive means ahead.
    /// The sandbox's own clock does not change.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.done(Control::SetClock { skew_s: seconds });
    }

    /// Closes each connection that has had no request in flight for this long, used or not; `None`,
    /// the default, keeps them open. Websockets are not affected.
    pub fn set_idle_limit(&self, idle: Option<Duration>) {
        self.done(Control::SetConnections { idle });
    }

    /// Changes the rules of Mobius for later requests.
    pub fn mobius_policy(&self, change: impl FnOnce(&mut MobiusPolicy)) {
        edit_policies(&self.world, |policies| change(&mut policies.mobius));
    }

    /// Changes the rules of WDM for later requests.
    pub fn wdm_policy(&self, change: impl FnOnce(&mut WdmPolicy)) {
        edit_policies(&self.world, |policies| change(&mut policies.wdm));
    }

    /// Changes the rules of the service catalog for later requests.
    pub fn u2c_policy(&self, change: impl FnOnce(&mut U2cPolicy)) {
        edit_policies(&self.world, |policies| change(&mut policies.u2c));
    }

    /// Changes the rules of the authorization server for later requests.
    pub fn oauth_policy(&self, change: impl FnOnce(&mut OAuthPolicy)) {
        edit_policies(&self.world, |policies| change(&mut policies.oauth));
    }

    /// Ends a WDM device as if its lifetime were over. Returns `false` when no device has this id.
    pub fn expire_device(&self, id: &str) -> bool {
        self.done(Control::ExpireDevice { device: id.to_owned() })
    }

    /// Makes a device look as if its client had not refreshed it for this long
    /// (`modificationTime`). Its expiry does not change. Returns `false` when no device has this
    /// id.
    pub fn age_device(&self, id: &str, by: Duration) -> bool {
        self.done(Control::AgeDevice { device: id.to_owned(), unused: by })
    }

    /// Ends a line as if its keepalives had stopped. Returns `false` when no line has this id.
    pub fn expire_line(&self, device_id: &str) -> bool {
        self.done(Control::ExpireLine { line: device_id.to_owned() })
    }

    /// Drops a line and sends its client the event `registration.down`. Returns `false` when no
    /// line has this id.
    pub fn line_down(&self, device_id: &str) -> bool {
        self.done(Control::DropLine { line: device_id.to_owned() })
    }

    // --- sockets ---

    /// Sends an event to all sockets of a user (given by id) and returns how many there were.
    ///
    /// `data` becomes the `data` of the envelope; its `eventType` tells the client what it is.
    pub fn push_event(&self, user: impl AsRef<str>, data: &Value) -> usize {
        self.sent(Control::PushEvent { user: user.as_ref().to_owned(), data: data.clone() })
    }

    /// Writes a message to a user. Returns how many sockets get its event. The text can be read
    /// from `GET /v1/messages/{id}`, as a bot reads it.
    pub fn write_message(&self, user: impl AsRef<str>, from: &str, text: &str) -> usize {
        self.sent(Control::WriteMessage {
            user: user.as_ref().to_owned(),
            from: from.to_owned(),
            text: text.to_owned(),
        })
    }

    /// Closes a socket with a close frame. Code 1005 sends one without a code, 1006 sends none.
    /// This method and those below return `false` when the socket is not open.
    pub fn close_socket(&self, id: u64, code: u16, reason: &str) -> bool {
        self.socket(id, SocketControl::Close(CloseFrame { code, reason: reason.to_owned() }))
    }

    /// Ends a socket without a close frame.
    pub fn drop_socket(&self, id: u64) -> bool {
        self.socket(id, SocketControl::Drop)
    }

    /// Ends a socket with a TCP reset.
    pub fn reset_socket(&self, id: u64) -> bool {
        self.socket(id, SocketControl::Reset)
    }

    /// Stops a socket from answering (frames are still read and counted), or lets it answer again.
    pub fn silence_socket(&self, id: u64, on: bool) -> bool {
        self.socket(id, SocketControl::Silence { on })
    }

    /// Makes a socket answer pings with wrong ids, or with the right ones again.
    pub fn wrong_pongs(&self, id: u64, on: bool) -> bool {
        self.socket(id, SocketControl::WrongPongs { on })
    }

    /// Skips sequence numbers before the next frame.
    pub fn skip_sequence(&self, id: u64, by: u64) -> bool {
        self.socket(id, SocketControl::SkipSequence { by })
    }

    /// Sends a text frame unchanged: no envelope, no sequence number.
    pub fn inject_frame(&self, id: u64, text: impl Into<String>) -> bool {
        self.socket(id, SocketControl::Inject { text: text.into() })
    }

    /// Announces a shutdown. Half a second after the client has authorized another socket for the same
    /// device, this one is closed with 4001.
    pub fn shutdown_socket(&self, id: u64) -> bool {
        self.socket(id, SocketControl::Shutdown)
    }

    // --- any control ---

    /// Applies a control. The methods above and the HTTP API do the same.
    ///
    /// # Errors
    /// [`ControlError::Unknown`] when its target does not exist.
    pub fn control(&self, control: Control) -> Result<Outcome, ControlError> {
        apply(&self.world, control)
    }

    /// Applies a control. Returns `false` when its target does not exist.
    fn done(&self, control: Control) -> bool {
        self.control(control).is_ok()
    }

    fn socket(&self, socket: u64, command: SocketControl) -> bool {
        self.done(Control::Socket { socket, command })
    }

    fn sent(&self, control: Control) -> usize {
        match self.control(control) {
            Ok(Outcome::Sent { sockets }) => sockets,
            _ => 0,
        }
    }
}

impl Builder {
    /// Binds the port and starts serving on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when the address is taken, a file cannot be written, or two Mobius instances
    /// share a name.
    pub async fn start(self) -> Result<Sandbox, StartError> {
        let instances = &self.config.instances;
        for (at, instance) in instances.iter().enumerate() {
            if instances[..at].iter().any(|other| other.name == instance.name) {
                return Err(StartError::Config("two Mobius instances have the same name"));
            }
        }
        Sandbox::launch(self.config).await
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.world.tasks.stop();
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("origin", &self.origin.as_str()).finish_non_exhaustive()
    }
}
