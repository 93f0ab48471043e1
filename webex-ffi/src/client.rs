//! Clients: one Webex user each, with its Meetings device, calling objects and events.

use std::{
    collections::BTreeMap,
    ffi::c_void,
    fmt, fs,
    future::Future,
    mem::offset_of,
    sync::{
        Arc, Weak,
        mpsc::{RecvTimeoutError, channel},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use macro_rules_attribute::apply;
use parking_lot::Mutex;
use safer_ffi::{c_char, derive_ReprC};
use tokio::sync::{mpsc, oneshot};
use webex_sdk::{
    core::{Credentials, DeviceConfig, Endpoints, Webex},
    meetings::Meetings,
};

use crate::{
    event::{Event, Source},
    failure::Failure,
    handle::{self, ClientHandle, Kind, Object},
    macros::export,
    outbox::{EventCallback, FreeUserData, Outbox, Subscriber, UserData},
    pointer::{self, Out, Versioned, VersionedOut},
    pump::{Call, Command, Listener, OpenCalls, Outcome, Pump},
    runtime::{Trust, runtime, transport},
    status::Status,
};

/// Handle of a subscription. 0 is none.
pub type SubscriptionHandle = u64;

/// No time limit.
pub const WEBEX_FOREVER: u32 = 0xFFFF_FFFF;

/// Flag of `webex_client_options`: accept any certificate, so that anyone on the network path can
/// read the token. For a sandbox on this machine only; refused for any other host, and for the
/// Webex cloud.
pub const WEBEX_CLIENT_INSECURE: u32 = 1;

/// Flag of `webex_client_options`: allow `WEBEX_CLIENT_INSECURE`, and a `cloud_origin` without TLS,
/// also for hosts other than this machine. Anyone on the network path can then read the token.
pub const WEBEX_CLIENT_INSECURE_ANYWHERE: u32 = 2;

/// Flag of `webex_client_options`: the FedRAMP cloud instead of the commercial one; not together
/// with `cloud_origin`.
pub const WEBEX_CLIENT_FEDRAMP: u32 = 4;

/// Options of a client. Set `struct_size`, and leave at zero what you do not need. The texts are
/// copied.
#[derive_ReprC]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ClientOptions {
    /// Size of the struct in bytes: `sizeof(webex_client_options)`.
    pub struct_size: u32,
    /// Any of `WEBEX_CLIENT_FEDRAMP`, `WEBEX_CLIENT_INSECURE` and
    /// `WEBEX_CLIENT_INSECURE_ANYWHERE`, or 0.
    pub flags: u32,
    /// The user's access token, with or without `Bearer`. A secret: it appears in no event, message
    /// or log. Required.
    pub access_token: *const c_char,
    /// A cloud that serves everything from one origin, such as `https://127.0.0.1:8443`: the
    /// sandbox. NULL for the Webex cloud.
    pub cloud_origin: *const c_char,
    /// Path of a PEM file of root certificates to trust in addition to the operating system's, or
    /// NULL. Read once, by `webex_client_new`.
    pub ca_file: *const c_char,
    /// Root certificates to trust, as PEM text, or NULL: for programs whose assets have no path.
    pub ca_pem: *const c_char,
    /// The name that administrators see for the user's device; NULL for `webex-native`.
    pub device_name: *const c_char,
}

// SAFETY: `repr(C)`, begins with a `u32`; zero is a value of integers and pointers.
unsafe impl Versioned for ClientOptions {
    const FIRST_SIZE: usize = offset_of!(ClientOptions, device_name) + size_of::<*const c_char>();
}

/// Creates a client of one user, and returns its handle. Does no network I/O.
///
/// Free it with `webex_client_free`.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_client_new(
    options: *const ClientOptions,
    client: *mut ClientHandle,
) -> Status {
    // SAFETY: C promises valid pointers, see the crate's documentation.
    let (options, client) =
        unsafe { (pointer::read(options, "options")?, Out::new(client, "client")?) };
    // SAFETY: C promises valid texts in the struct.
    let webex = unsafe { build(&options) }?;
    client.write(Client::start(webex)?);
    Ok(())
}

/// Frees a client and everything that belongs to it: calling objects, lines, subscriptions.
///
/// Returns at once, even with calls in progress, which are dropped without an event. May be called
/// from a callback. `free_user_data` reports when no more callbacks will run. What is still
/// registered is given up in the background, if the process lives long enough; call
/// `webex_client_shutdown` first to be sure.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_client_free(client: ClientHandle) -> Status {
    handle::remove::<Client>(client)?.close();
    Ok(())
}

/// Deregisters the lines, then the device, and waits for at most `timeout_ms` milliseconds
/// (`WEBEX_FOREVER`: without a limit). Calls in progress are cancelled first.
///
/// Its events can be read when it returns. `WEBEX_STATUS_TIMEOUT` when it takes longer; it then
/// goes on in the background. Any other failure is the first of them; the remaining steps were
/// still tried. The client has to be freed afterwards in any case.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_client_shutdown(client: ClientHandle, timeout_ms: u32) -> Status {
    let client = handle::get::<Client>(client)?;
    client.open.cancel_all();
    let (done, outcome) = channel();
    runtime()?.spawn(async move {
        // The receiver is gone after the time limit.
        let _ = done.send(client.sign_off().await);
    });
    let Some(limit) = limit(timeout_ms) else {
        return outcome.recv().unwrap_or_else(|_| Err(Failure::panic()));
    };
    outcome.recv_timeout(limit).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => {
            let message = format!("not deregistered within {timeout_ms} ms");
            Err(Failure::new(Status::Timeout, message))
        }
        RecvTimeoutError::Disconnected => Err(Failure::panic()),
    })
}

/// Cancels an asynchronous call of this client. Its event follows, with `WEBEX_STATUS_CANCELLED`,
/// or with its result when it completes at the same moment.
///
/// `WEBEX_STATUS_NOT_FOUND` when it has already completed.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_client_cancel(client: ClientHandle, request_id: u64) -> Status {
    if handle::get::<Client>(client)?.open.cancel(request_id) {
        return Ok(());
    }
    Err(Failure::new(Status::NotFound, "no such call is under way"))
}

/// Calls `callback` with every event of the client: those of its Meetings device and lines, and the
/// completions of its asynchronous calls.
///
/// Callbacks of one client run one after the other, on a thread of the library. The first
/// subscription also gets earlier events, so that none is missed.
///
/// `free_user_data`, unless NULL, is called with `user_data` exactly once: after the last callback
/// has returned, or before this function returns when it fails. Use it to release what `user_data`
/// points to; it is the only sign that no callback is running.
///
/// `subscription` gets the handle for `webex_unsubscribe`. It may be NULL: the subscription then
/// ends with the client.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_client_subscribe(
    client: ClientHandle,
    callback: EventCallback,
    user_data: *mut c_void,
    free_user_data: FreeUserData,
    subscription: *mut SubscriptionHandle,
) -> Status {
    let user_data = UserData::new(user_data, free_user_data);
    // SAFETY: C promises valid pointers, see the crate's documentation.
    let out = unsafe { Out::optional(subscription, "subscription") }?;
    let callback = callback.ok_or_else(|| Failure::argument("callback", "is NULL"))?;
    let client = handle::get::<Client>(client)?;
    let weak = Arc::downgrade(&client);
    let (id, object) = handle::insert(|handle| Subscription { handle, client: weak })?;
    let begun = client
        .adopt(id, object)
        .and_then(|()| client.outbox.subscribe(Subscriber { id, callback, user_data }));
    if let Err(failure) = begun {
        // Already gone when the client was freed at the same moment.
        let _ = handle::remove::<Subscription>(id);
        return Err(failure);
    }
    if let Some(out) = out {
        out.write(id);
    }
    Ok(())
}

/// Ends a subscription. Returns at once; a callback that is running on another thread completes,
/// and `free_user_data` follows.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_unsubscribe(subscription: SubscriptionHandle) -> Status {
    let ended = handle::remove::<Subscription>(subscription)?;
    // A dropped client has already ended its subscriptions.
    if let Some(client) = ended.client.upgrade() {
        client.disown(subscription);
        client.outbox.unsubscribe(subscription);
    }
    Ok(())
}

/// Waits for the next event of a client, for at most `timeout_ms` milliseconds (0: not at all,
/// `WEBEX_FOREVER`: without a limit). For programs with their own loop; returns
/// `WEBEX_STATUS_INVALID_STATE` for a client with a subscription.
///
/// Set `struct_size` of `event` before the call; afterwards it is the size written. The texts of
/// the event live until the next call of this function on this thread.
///
/// `WEBEX_STATUS_TIMEOUT` when there was no event, `WEBEX_STATUS_CANCELLED` when the client was
/// freed in the meantime.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_client_next_event(
    client: ClientHandle,
    timeout_ms: u32,
    event: *mut Event,
) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let event = unsafe { VersionedOut::new(event, "event") }?;
    let client = handle::get::<Client>(client)?;
    let message = client.outbox.next(limit(timeout_ms))?;
    event.write(&message.view());
    LATEST.set(Some(message));
    Ok(())
}

thread_local! {
    /// The last event returned to C on this thread, which C may still read.
    static LATEST: std::cell::RefCell<Option<crate::event::Message>> =
        const { std::cell::RefCell::new(None) };
}

/// One user, with what the functions of the other modules need.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) handle: u64,
    pub(crate) webex: Webex,
    pub(crate) meetings: Meetings,
    outbox: Arc<Outbox>,
    open: Arc<OpenCalls>,
    commands: mpsc::UnboundedSender<Command>,
    /// Objects that end with the client, by handle; `None` once the client is freed.
    children: Mutex<Option<Children>>,
}

type Children = BTreeMap<u64, Arc<dyn Child>>;

/// An object of C that ends with its client.
pub(crate) trait Child: Send + Sync {
    /// Ends it: its handle becomes invalid, and its work stops.
    fn end(&self);

    /// Gives up what it has in the cloud.
    fn sign_off(&self) -> BoxFuture<'static, Result<(), Failure>>;
}

impl fmt::Debug for dyn Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Child")
    }
}

impl Object for Client {
    const KIND: Kind = Kind::Client;
}

impl Client {
    fn start(webex: Webex) -> Result<u64, Failure> {
        let runtime = runtime()?;
        let (handle, _) = handle::insert(|handle| {
            let (commands, inbox) = mpsc::unbounded_channel();
            let (outbox, open) = (Arc::new(Outbox::new(handle)), Arc::<OpenCalls>::default());
            let meetings = Meetings::new(&webex);
            // Subscribing starts to fetch the catalog, so that `meetings:ready` comes by itself.
            let _inside = runtime.enter();
            let pump = Pump {
                client: handle,
                inbox,
                outbox: Arc::clone(&outbox),
                open: Arc::clone(&open),
                listeners: vec![Listener::Meetings(meetings.subscribe())],
            };
            runtime.spawn(pump.run());
            let children = Mutex::new(Some(Children::new()));
            Self { handle, webex, meetings, outbox, open, commands, children }
        })?;
        Ok(handle)
    }

    /// Begins an asynchronous call and returns its id. `request_id` is written before anything can
    /// happen, so that the program knows it when the event arrives.
    pub(crate) fn begin(
        &self,
        place: (Source, u64),
        request_id: Option<Out<u64>>,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) -> Result<u64, Failure> {
        self.outbox.open_call()?;
        let (id, cancelled) = self.open.begin();
        if let Some(request_id) = request_id {
            request_id.write(id);
        }
        let call = Call { id, place, work: Box::pin(work), cancelled };
        self.send(Command::Run(call));
        Ok(id)
    }

    pub(crate) fn cancel(&self, request_id: u64) {
        self.open.cancel(request_id);
    }

    /// Sends a command to the pump. The pump is gone only when the client is being freed, and then nothing is left to do.
    pub(crate) fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Makes an object end with this client.
    pub(crate) fn adopt(&self, handle: u64, child: Arc<dyn Child>) -> Result<(), Failure> {
        self.children.lock().as_mut().ok_or_else(Failure::freed)?.insert(handle, child);
        Ok(())
    }

    /// Removes an object that has ended by itself.
    pub(crate) fn disown(&self, handle: u64) {
        // Dropped after the lock is released, because it may be the last reference.
        let _child = self.children.lock().as_mut().and_then(|children| children.remove(&handle));
    }

    fn close(&self) {
        self.outbox.close();
        let children = self.children.lock().take().unwrap_or_default();
        for child in children.into_values() {
            child.end();
        }
        self.send(Command::Close);
    }

    async fn sign_off(&self) -> Result<(), Failure> {
        let children: Vec<_> =
            self.children.lock().iter().flatten().map(|(_, child)| Arc::clone(child)).collect();
        let mut outcome = Ok(());
        for child in children {
            outcome = outcome.and(child.sign_off().await);
        }
        // Lines and Meetings are ordered only by this flush.
        self.flush().await;
        let outcome = outcome.and(self.meetings.unregister().await.map_err(Failure::from));
        self.flush().await;
        outcome
    }

    /// Waits until all events so far are in the outbox.
    async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.send(Command::Flush(done));
        // The pump of a freed client has no events to pass on.
        let _ = flushed.await;
    }
}

/// A subscription, as its handle finds it. The callback itself is the dispatcher's.
struct Subscription {
    handle: u64,
    client: Weak<Client>,
}

impl Object for Subscription {
    const KIND: Kind = Kind::Subscription;
}

impl Child for Subscription {
    fn end(&self) {
        // Already removed when C ended it. The dispatcher ends with the outbox.
        let _ = handle::remove::<Self>(self.handle);
    }

    fn sign_off(&self) -> BoxFuture<'static, Result<(), Failure>> {
        std::future::ready(Ok(())).boxed()
    }
}

/// # Safety
/// The texts in the options are NULL or NUL-terminated.
unsafe fn build(options: &ClientOptions) -> Result<Webex, Failure> {
    let flag = |flag: u32| options.flags & flag != 0;
    if flag(!(WEBEX_CLIENT_INSECURE | WEBEX_CLIENT_INSECURE_ANYWHERE | WEBEX_CLIENT_FEDRAMP)) {
        return Err(Failure::argument("flags", "has bits that this version does not know"));
    }
    // SAFETY: NULL or NUL-terminated, as promised.
    let (token, origin, ca_file, ca_pem, device_name) = unsafe {
        (
            pointer::text(options.access_token, "access_token")?,
            pointer::optional_text(options.cloud_origin, "cloud_origin")?,
            pointer::optional_text(options.ca_file, "ca_file")?,
            pointer::optional_text(options.ca_pem, "ca_pem")?,
            pointer::optional_text(options.device_name, "device_name")?,
        )
    };
    let mut roots = Vec::new();
    if let Some(path) = ca_file {
        roots.push(fs::read(path).map_err(|error| {
            Failure::new(Status::Configuration, format!("`ca_file` {path} cannot be read: {error}"))
        })?);
    }
    roots.extend(ca_pem.map(|pem| pem.as_bytes().to_vec()));
    let accept_invalid = flag(WEBEX_CLIENT_INSECURE);
    let mut device = DeviceConfig::default();
    if let Some(name) = device_name {
        name.clone_into(&mut device.name);
    }
    let endpoints = match (origin, flag(WEBEX_CLIENT_FEDRAMP)) {
        (Some(_), true) => {
            let problem = "names a cloud, and so does `WEBEX_CLIENT_FEDRAMP`";
            return Err(Failure::argument("cloud_origin", problem));
        }
        (Some(origin), false) => Endpoints::at(origin)?,
        (None, true) => Endpoints::fedramp(),
        (None, false) => Endpoints::production(),
    };
    let webex = Webex::builder()
        .credentials(Credentials::access_token(token))
        .endpoints(endpoints)
        .transport(transport(Trust { roots, accept_invalid })?)
        .device(device)
        .danger_insecure_anywhere(flag(WEBEX_CLIENT_INSECURE_ANYWHERE))
        .build()?;
    Ok(webex)
}

fn limit(timeout_ms: u32) -> Option<Duration> {
    (timeout_ms != WEBEX_FOREVER).then(|| Duration::from_millis(timeout_ms.into()))
}
