//! The typed control API: [`Sandbox`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::builder::{
    Builder, Config, MobiusInstance, MobiusPolicy, OAuthPolicy, U2cPolicy, WdmPolicy,
};
use crate::error::{StartError, WaitTimeout};
use crate::identity::Identity;
use crate::operation::Target;
use crate::state::devices::Device;
use crate::state::faults::FaultBuilder;
use crate::state::instances::InstanceConduct;
use crate::state::lines::Line;
use crate::state::log::Requests;
use crate::state::mutations::Mutation;
use crate::state::sockets::{Socket, SocketCommand};
use crate::state::tokens::{Access, Tokens};
use crate::state::users::{NewUser, User};
use crate::state::{Change, World, expiry};
use crate::tls::Tls;
use crate::{redact, router, server, urls};

/// How long [`Sandbox::wait_for`] waits.
const WAIT: Duration = Duration::from_secs(10);

/// The event that says that Mobius has dropped a registration.
const REGISTRATION_DOWN: &str = "registration.down";

/// A running stand-in Webex cloud.
///
/// Everything it does runs on the tokio runtime it was started on; dropping it stops all of that.
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

    /// Starts to configure a sandbox.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn launch(config: Config) -> Result<Self, StartError> {
        let tls = if config.plain { None } else { Some(Tls::generate(&config.host_names)?) };
        if let (Some(path), Some(tls)) = (&config.ca_file, &tls) {
            std::fs::write(path, &tls.ca_pem)
                .map_err(|source| StartError::Write { path: path.clone(), source })?;
        }
        let address = config.listen;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
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

    /// The access token of the default user. It does not expire unless told to.
    pub fn token(&self) -> &str {
        self.world.default_user.token()
    }

    /// The user that exists from the start.
    pub fn user(&self) -> &User {
        &self.world.default_user
    }

    /// Adds a user; an e-mail address is description enough.
    pub fn add_user(&self, user: impl Into<NewUser>) -> User {
        User::clone(&self.world.add_user(user.into()))
    }

    /// All users, the default one first.
    pub fn users(&self) -> Vec<User> {
        self.world.users.lock().all().map(|user| User::clone(user)).collect()
    }

    /// Makes another access token for a user (given by id), valid for `lifetime` or for ever.
    /// `None` when there is no such user.
    pub fn issue_token(&self, user: impl AsRef<str>, lifetime: Option<Duration>) -> Option<String> {
        self.world.issue_token(user.as_ref(), lifetime)
    }

    /// Lets a token expire now. `false` when it is not known.
    pub fn expire_token(&self, token: &str) -> bool {
        self.expire_token_in(token, Duration::ZERO)
    }

    /// Lets a token expire after a while. `false` when it is not known.
    pub fn expire_token_in(&self, token: &str, after: Duration) -> bool {
        self.world.expire_token(token, after)
    }

    /// Revokes a token. `false` when it is not known.
    pub fn revoke_token(&self, token: &str) -> bool {
        self.world.revoke_token(token)
    }

    /// Who signs in, and which clients exist.
    pub fn identity(&self) -> Identity<'_> {
        Identity { world: &self.world }
    }

    /// How the request log shows this token: tells which one a request carried.
    pub fn fingerprint(token: &str) -> String {
        redact::secret(token)
    }

    // --- what there is ---

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

    /// Forgets the requests received so far.
    pub fn clear_requests(&self) {
        self.world.clear_requests();
    }

    /// Waits until `condition` is true, for at most 10 s of tokio's clock.
    ///
    /// It is looked at again after each change: every request, frame, expiry and control call.
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

    /// Starts to describe a fault of an operation or of a whole service.
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
    /// // The next socket is told that its token has expired:
    /// sandbox.fail(Mercury::authorize()).close(4401, "token expired").once();
    /// # Ok(())
    /// # }
    /// ```
    pub fn fail(&self, target: impl Into<Target>) -> FaultBuilder<'_> {
        FaultBuilder::new(&self.world, target.into())
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.world.clear_faults();
    }

    /// Switches a Mobius instance off: its requests get no answer, their connection (HTTP/1) or
    /// stream (HTTP/2) is closed. `false` when there is no such instance.
    pub fn down(&self, instance: &str) -> bool {
        self.instance(instance, |conduct| conduct.down = true)
    }

    /// Switches a Mobius instance on again. `false` when there is no such instance.
    pub fn up(&self, instance: &str) -> bool {
        self.instance(instance, |conduct| conduct.down = false)
    }

    /// Changes how a Mobius instance behaves: gone, slow, full, forgetful, with other intervals.
    /// `false` when there is no such instance.
    pub fn instance(&self, name: &str, change: impl FnOnce(&mut InstanceConduct)) -> bool {
        self.world.change_instance(name, change)
    }

    /// The Mobius instances.
    pub fn mobius_instances(&self) -> &[MobiusInstance] {
        &self.world.config.instances
    }

    /// Switches a deliberate breach of the protocol on or off.
    pub fn mutate(&self, mutation: Mutation, on: bool) {
        self.world.mutations.set(mutation, on);
        self.world.changed(|| Change::Settings);
    }

    /// Hands out URLs of a service with this authority (`host:port`) from now on: that of a proxy
    /// before the sandbox, so that services have distinct origins. `service` is a name in the
    /// catalog, `mercury` or the name of a Mobius instance. `false` when there is no such service.
    pub fn place(&self, service: &str, authority: &str) -> bool {
        let Some(host) = urls::host_named(service, &self.world.config.instances) else {
            return false;
        };
        let places = &mut *self.world.places.write();
        Arc::make_mut(places).insert(host.to_owned(), authority.to_owned());
        self.world.changed(|| Change::Settings);
        true
    }

    /// Adds a delay to every HTTP answer, to the websocket upgrade, and to the answer to each client
    /// frame that gets one; once each. Events that the sandbox pushes are not delayed. Requests on
    /// one HTTP/2 connection wait side by side.
    pub fn set_latency(&self, delay: Duration) {
        self.world.latency.set_request(delay);
        self.world.changed(|| Change::Settings);
    }

    /// Adds a delay before each new connection is served.
    pub fn set_connection_latency(&self, delay: Duration) {
        self.world.latency.set_connection(delay);
        self.world.changed(|| Change::Settings);
    }

    /// Changes the rules of Mobius for what comes.
    pub fn mobius_policy(&self, change: impl FnOnce(&mut MobiusPolicy)) {
        change(&mut self.world.policies.write().mobius);
        self.world.changed(|| Change::Settings);
    }

    /// Changes the rules of WDM for what comes.
    pub fn wdm_policy(&self, change: impl FnOnce(&mut WdmPolicy)) {
        change(&mut self.world.policies.write().wdm);
        self.world.changed(|| Change::Settings);
    }

    /// Changes the rules of the service catalog for later requests.
    pub fn u2c_policy(&self, change: impl FnOnce(&mut U2cPolicy)) {
        change(&mut self.world.policies.write().u2c);
    }

    /// Changes the rules of the authorization server for what comes.
    pub fn oauth_policy(&self, change: impl FnOnce(&mut OAuthPolicy)) {
        change(&mut self.world.policies.write().oauth);
        self.world.changed(|| Change::Settings);
    }

    /// Ends a WDM device as if its time were up. `false` when there is none of this id.
    pub fn expire_device(&self, id: &str) -> bool {
        self.world.remove_device(id, true)
    }

    /// Makes a device look as if its client had not refreshed it for so long (`modificationTime`). Its
    /// expiry stays. `false` when there is none of this id.
    pub fn age_device(&self, id: &str, by: Duration) -> bool {
        self.world.devices.lock().age(id, by)
    }

    /// Ends a line as if its keepalives had stopped. `false` when there is none of this id.
    pub fn expire_line(&self, device_id: &str) -> bool {
        self.world.remove_line(device_id, true)
    }

    /// Drops a line and tells its client so by the event `registration.down`. `false` when there is
    /// none of this id.
    pub fn line_down(&self, device_id: &str) -> bool {
        self.world.line_down(device_id)
    }

    // --- sockets ---

    /// Sends an event to all sockets of a user (given by id) and says to how many.
    ///
    /// `data` is what becomes the `data` of the envelope; its `eventType` tells the client what it is.
    pub fn push_event(&self, user: impl AsRef<str>, data: &Value) -> usize {
        self.world.push_event(user.as_ref(), data)
    }

    /// Lets somebody write to a user; tells how many sockets hear of it. The text is to be had from
    /// `GET /v1/messages/{id}`, as a bot gets it.
    pub fn write_message(&self, user: impl AsRef<str>, from: &str, text: &str) -> usize {
        self.world.write_to(user.as_ref(), from, text)
    }

    /// Closes a socket with a close frame. Code 1005 sends one without a code, 1006 sends none.
    /// `false` when the socket is not open; so for all methods below.
    pub fn close_socket(&self, id: u64, code: u16, reason: &str) -> bool {
        let close = crate::CloseFrame { code, reason: reason.to_owned() };
        self.world.command_socket(id, SocketCommand::Close(close))
    }

    /// Ends a socket without a close frame.
    pub fn drop_socket(&self, id: u64) -> bool {
        self.world.command_socket(id, SocketCommand::Drop { reset: false })
    }

    /// Ends a socket with a TCP reset.
    pub fn reset_socket(&self, id: u64) -> bool {
        self.world.command_socket(id, SocketCommand::Drop { reset: true })
    }

    /// Lets a socket answer nothing (frames are still read and counted), or answer again.
    pub fn silence_socket(&self, id: u64, on: bool) -> bool {
        self.world.command_socket(id, SocketCommand::Silence(on))
    }

    /// Lets a socket answer pings under wrong ids, or under the right ones again.
    pub fn wrong_pongs(&self, id: u64, on: bool) -> bool {
        self.world.command_socket(id, SocketCommand::WrongPongs(on))
    }

    /// Skips sequence numbers before the next frame.
    pub fn skip_sequence(&self, id: u64, by: u64) -> bool {
        self.world.command_socket(id, SocketCommand::SkipSequence(by))
    }

    /// Sends a text frame as it is: no envelope, no sequence number.
    pub fn inject_frame(&self, id: u64, text: impl Into<String>) -> bool {
        self.world.command_socket(id, SocketCommand::Raw(text.into()))
    }

    /// Announces a shutdown. Half a second after the client has authorized another socket for the same
    /// device, this one is closed with 4001.
    pub fn shutdown_socket(&self, id: u64) -> bool {
        self.world.command_socket(id, SocketCommand::Shutdown)
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

/// How much there is of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// Requests ever received, those forgotten included.
    pub requests: u64,
}

impl World {
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            users: self.users.lock().all().count(),
            devices: self.devices.lock().len(),
            sockets: self.sockets.lock().len(),
            lines: self.lines.lock().len(),
            requests: self.log.total(),
        }
    }

    pub(crate) fn issue_token(&self, user_id: &str, lifetime: Option<Duration>) -> Option<String> {
        let user = self.users.lock().by_id(user_id)?;
        let token = Tokens::mint(&user.org_id);
        let expires = lifetime.map(|lifetime| Instant::now() + lifetime);
        let access = Access { expires, ..Access::unlimited(&user) };
        let cap = self.policies.read().oauth.token_cap;
        self.tokens.lock().insert_access(token.clone(), access, cap);
        self.changed(|| Change::TokensChanged);
        Some(token)
    }

    pub(crate) fn expire_token(&self, token: &str, after: Duration) -> bool {
        let known = self.tokens.lock().expire(token, Instant::now(), after);
        self.changed(|| Change::TokensChanged);
        known
    }

    pub(crate) fn expire_all(&self, user_id: &str, after: Duration) -> usize {
        let count = self.tokens.lock().expire_user(user_id, Instant::now(), after);
        self.changed(|| Change::TokensChanged);
        count
    }

    pub(crate) fn revoke_token(&self, token: &str) -> bool {
        let known = self.tokens.lock().revoke(token);
        self.changed(|| Change::TokensChanged);
        known
    }

    pub(crate) fn push_event(&self, user_id: &str, data: &Value) -> usize {
        let sockets = self.sockets.lock().of_user(user_id);
        sockets.iter().filter(|socket| socket.command(SocketCommand::Event(data.clone()))).count()
    }

    /// Drops a line as the real service would, which says so.
    pub(crate) fn line_down(&self, id: &str) -> bool {
        let line = self.lines.lock().get(id).map(|entry| entry.line.clone());
        let Some(line) = line.filter(|_| self.remove_line(id, false)) else { return false };
        let data = json!({"eventType": REGISTRATION_DOWN, "deviceId": line.device_id});
        self.push_event(&line.user_id, &data);
        true
    }

    pub(crate) fn command_socket(&self, id: u64, command: SocketCommand) -> bool {
        let entry = self.sockets.lock().get(id);
        entry.is_some_and(|entry| entry.command(command))
    }
}
