//! Calling objects and their lines.
//!
//! A calling object exists at once, so that it can be freed while it starts. Its lines exist once
//! the start has succeeded. Line handles belong to their calling object and end with it.

use std::{
    ffi::CString,
    mem::offset_of,
    sync::{Arc, OnceLock, Weak},
};

use futures_util::{FutureExt, future::BoxFuture};
use macro_rules_attribute::apply;
use parking_lot::Mutex;
use safer_ffi::{c_char, derive_ReprC};
use webex_sdk::calling::{
    CallingClient, CallingConfig, CallingEvent, LineState, LineStatus, Location, ServiceIndicator,
};

use crate::{
    client::{Child, Client},
    event::Source,
    failure::Failure,
    guard::c_text,
    handle::{self, ClientHandle, Kind, Object},
    macros::export,
    pointer::{self, Out, Versioned},
    pump::{Command, Listener},
    status::Status,
};

/// Handle of a calling object. 0 is none.
pub type CallingHandle = u64;

/// Handle of a line. 0 is none. It ends with its calling object; there is nothing to free.
pub type LineHandle = u64;

/// Which calling service a user has.
#[derive_ReprC]
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallingService {
    /// Webex Calling.
    Calling = 0,
    /// Webex Contact Center; needs a domain.
    ContactCenter = 1,
    /// Calling as a guest.
    GuestCalling = 2,
}

/// How to use calling. Set `struct_size`, and leave at zero what you do not need. The texts are
/// copied.
#[derive_ReprC]
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CallingOptions {
    /// Size of the struct in bytes: `sizeof(webex_calling_options)`.
    pub struct_size: u32,
    /// One of `webex_calling_service`.
    pub service: i32,
    /// Domain of the service, such as `rtw.prod-us.rtmsprod.net`, or NULL. Contact Center needs it.
    pub service_domain: *const c_char,
    /// Region code, such as `US-EAST`, if it is known together with the country: saves the request
    /// for it. Otherwise NULL.
    pub region: *const c_char,
    /// Country code, such as `US`, together with the region; otherwise NULL.
    pub country: *const c_char,
}

// SAFETY: `repr(C)`, begins with a `u32`; zero is a value of integers and pointers.
unsafe impl Versioned for CallingOptions {
    const FIRST_SIZE: usize = offset_of!(CallingOptions, country) + size_of::<*const c_char>();
}

/// The state of a line's registration. Later versions add numbers.
#[derive_ReprC]
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinePhase {
    /// Not registered, and not wanted.
    Idle = 0,
    /// A request to a server is in flight.
    Connecting = 1,
    /// Waiting before servers are tried again.
    Waiting = 2,
    /// Registered.
    Registered = 3,
    /// Giving up the registration.
    Deregistering = 4,
    /// Given up after a final error; `webex_line_register` tries again.
    Failed = 5,
    /// A state without a number in this version.
    Other = 6,
}

/// The documented status of a line.
#[derive_ReprC]
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineActivity {
    /// Not registered; the initial status.
    Inactive = 0,
    /// Registered.
    Active = 1,
}

/// Creates a calling object of a client and begins to start it: brings up the user's device and
/// finds the calling servers. `calling` gets its handle at once; it has lines once the call has
/// completed successfully. `options` may be NULL.
///
/// Free it with `webex_calling_free`, also when the start fails.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_calling_new(
    client: ClientHandle,
    options: *const CallingOptions,
    calling: *mut CallingHandle,
    request_id: *mut u64,
) -> Status {
    // SAFETY: C promises valid pointers, see the crate's documentation.
    let (config, calling, request_id) = unsafe {
        let config = if options.is_null() {
            CallingConfig::default()
        } else {
            configure(&pointer::read(options, "options")?)?
        };
        (config, Out::new(calling, "calling")?, Out::optional(request_id, "request_id")?)
    };
    let client = handle::get::<Client>(client)?;
    let (id, object) = handle::insert(|handle| Calling::new(handle, &client))?;
    let webex = client.webex.clone();
    let work = {
        let object = Arc::clone(&object);
        async move { object.ready(CallingClient::new(&webex, config).await?) }
    };
    let begun = client.adopt(id, Arc::clone(&object) as _).and_then(|()| {
        // Written before the event can be delivered, like the request id.
        calling.write(id);
        client.begin((Source::Calling, id), request_id, work)
    });
    match begun {
        Ok(start) => {
            // Set once: this object is new.
            let _ = object.start.set(start);
            Ok(())
        }
        Err(failure) => {
            // Already gone when the client was freed at the same moment.
            if let Ok(object) = handle::remove::<Calling>(id) {
                object.end();
            }
            Err(failure)
        }
    }
}

/// Frees a calling object and its lines. Returns at once, also while it starts; the start is then
/// cancelled. Registered lines are given up in the background; call `webex_calling_deregister`
/// first to be sure.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_calling_free(calling: CallingHandle) -> Status {
    let object = handle::remove::<Calling>(calling)?;
    if let Ok(client) = object.client() {
        client.disown(calling);
    }
    object.end();
    Ok(())
}

/// Begins to deregister all lines, and then gives up the user's device unless Meetings still needs
/// it. The calling object cannot be used afterwards: free it, and create a new one to register
/// again.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_calling_deregister(
    calling: CallingHandle,
    request_id: *mut u64,
) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let request_id = unsafe { Out::optional(request_id, "request_id") }?;
    let object = handle::get::<Calling>(calling)?;
    let (client, calling_client) = (object.client()?, object.calling_client()?);
    let work = async move {
        calling_client.deregister().await?;
        Ok(Vec::new())
    };
    client.begin((Source::Calling, calling), request_id, work)?;
    Ok(())
}

/// How many lines a calling object has. `WEBEX_STATUS_INVALID_STATE` before it has started.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_calling_line_count(
    calling: CallingHandle,
    count: *mut usize,
) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let count = unsafe { Out::new(count, "count") }?;
    count.write(handle::get::<Calling>(calling)?.lines()?.len());
    Ok(())
}

/// The handle of a line, by its index from 0. `WEBEX_STATUS_INVALID_STATE` before the calling
/// object has started, `WEBEX_STATUS_NOT_FOUND` when it has fewer lines.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_calling_line(
    calling: CallingHandle,
    index: usize,
    line: *mut LineHandle,
) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let line = unsafe { Out::new(line, "line") }?;
    let lines = handle::get::<Calling>(calling)?.lines()?;
    let found = lines.get(index).copied().ok_or_else(|| {
        Failure::new(Status::NotFound, format!("there is no line {index}, but {}", lines.len()))
    })?;
    line.write(found);
    Ok(())
}

/// The handle of a line, by the `lineId` in its events and in `webex_line_info`.
/// `WEBEX_STATUS_INVALID_STATE` before the calling object has started, `WEBEX_STATUS_NOT_FOUND`
/// when it has no such line.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_calling_line_by_id(
    calling: CallingHandle,
    line_id: *const c_char,
    line: *mut LineHandle,
) -> Status {
    // SAFETY: C promises valid pointers, see the crate's documentation.
    let (id, line) = unsafe { (pointer::text(line_id, "line_id")?, Out::new(line, "line")?) };
    let lines = handle::get::<Calling>(calling)?.lines()?;
    let is_it = |handle: &u64| {
        let line = handle::get::<Line>(*handle);
        line.is_ok_and(|line| line.0.info().line_id.to_string().eq_ignore_ascii_case(id))
    };
    let found = lines.into_iter().find(is_it);
    line.write(found.ok_or_else(|| Failure::new(Status::NotFound, "there is no such line"))?);
    Ok(())
}

/// Begins to register a line, and keeps it registered until `webex_line_deregister`. Returns at
/// once; the events `registered` and `error` report the outcome. Does nothing when the line is
/// registered or being registered.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_line_register(line: LineHandle) -> Status {
    handle::get::<Line>(line)?.0.register();
    Ok(())
}

/// Begins to deregister a line, whatever its state: cancels what is in progress and gives up what
/// exists. Returns at once; the event `unregistered` reports the end.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_line_deregister(line: LineHandle) -> Status {
    handle::get::<Line>(line)?.0.deregister();
    Ok(())
}

/// The current state of a line's registration, in more detail than `webex_line_status`.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_line_state(line: LineHandle, phase: *mut LinePhase) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let phase = unsafe { Out::new(phase, "phase") }?;
    phase.write(match handle::get::<Line>(line)?.0.state() {
        LineState::Idle => LinePhase::Idle,
        LineState::Connecting => LinePhase::Connecting,
        LineState::Waiting => LinePhase::Waiting,
        LineState::Registered => LinePhase::Registered,
        LineState::Deregistering => LinePhase::Deregistering,
        LineState::Failed => LinePhase::Failed,
        _ => LinePhase::Other,
    });
    Ok(())
}

/// Whether a line is registered, as documented.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_line_status(line: LineHandle, status: *mut LineActivity) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let status = unsafe { Out::new(status, "status") }?;
    status.write(match handle::get::<Line>(line)?.0.status() {
        LineStatus::Active => LineActivity::Active,
        _ => LineActivity::Inactive,
    });
    Ok(())
}

/// The properties of a line as JSON, with their documented names. `json` gets a text that has to be
/// freed with `webex_string_free`.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_line_info(line: LineHandle, json: *mut *mut c_char) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let json = unsafe { Out::new(json, "json") }?;
    let info = handle::get::<Line>(line)?.0.info();
    let text = serde_json::to_vec(&*info)
        .map_err(|error| Failure::new(Status::Internal, error.to_string()))?;
    json.write(c_text(text).into_raw().cast());
    Ok(())
}

/// Frees a text whose ownership a function of this library has passed on. NULL is allowed.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_string_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: C gives back what `into_raw` gave it, once.
        drop(unsafe { CString::from_raw(text.cast()) });
    }
}

/// A calling object.
struct Calling {
    handle: u64,
    client: Weak<Client>,
    /// The asynchronous call that starts it.
    start: OnceLock<u64>,
    stage: Mutex<Stage>,
}

enum Stage {
    Starting,
    Ready { client: Arc<CallingClient>, lines: Vec<u64> },
    Ended,
}

impl Object for Calling {
    const KIND: Kind = Kind::Calling;
}

impl Calling {
    fn new(handle: u64, client: &Arc<Client>) -> Self {
        let (client, start) = (Arc::downgrade(client), OnceLock::new());
        Self { handle, client, start, stage: Mutex::new(Stage::Starting) }
    }

    /// Completes the start: gives the lines their handles, and the pump their events.
    fn ready(&self, client: CallingClient) -> Result<Vec<Listener>, Failure> {
        let mut stage = self.stage.lock();
        if matches!(*stage, Stage::Ended) {
            drop(stage); // before the client, whose drop gives everything up
            return Err(Failure::new(Status::Cancelled, "the calling object was freed"));
        }
        let calling = self.handle;
        let events = client.subscribe();
        // Events from the start, before anybody could subscribe; the last is delivered first.
        let error = client.last_error().map(CallingEvent::Error);
        let first = client.unavailable().into_iter().chain(error).collect();
        let (mut lines, mut listeners) =
            (Vec::new(), vec![Listener::Calling { calling, first, events }]);
        for line in client.lines() {
            let events = line.subscribe();
            let (handle, _) = handle::insert(|_| Line(line))?;
            lines.push(handle);
            listeners.push(Listener::Line { calling, line: handle, events });
        }
        *stage = Stage::Ready { client: Arc::new(client), lines };
        Ok(listeners)
    }

    fn client(&self) -> Result<Arc<Client>, Failure> {
        self.client.upgrade().ok_or_else(Failure::freed)
    }

    fn calling_client(&self) -> Result<Arc<CallingClient>, Failure> {
        match &*self.stage.lock() {
            Stage::Ready { client, .. } => Ok(Arc::clone(client)),
            _ => Err(not_started()),
        }
    }

    fn lines(&self) -> Result<Vec<u64>, Failure> {
        match &*self.stage.lock() {
            Stage::Ready { lines, .. } => Ok(lines.clone()),
            _ => Err(not_started()),
        }
    }
}

impl Child for Calling {
    /// Ends the object and its lines: their handles become invalid.
    fn end(&self) {
        // Already removed when C freed it.
        let _ = handle::remove::<Self>(self.handle);
        let stage = std::mem::replace(&mut *self.stage.lock(), Stage::Ended);
        if let Stage::Ready { lines, .. } = stage {
            for line in lines {
                // Nothing else removes lines.
                let _ = handle::remove::<Line>(line);
            }
        }
        if let Ok(client) = self.client() {
            client.send(Command::Forget { calling: self.handle });
            if let Some(start) = self.start.get() {
                client.cancel(*start);
            }
        }
    }

    /// Deregisters, when there is something to deregister.
    fn sign_off(&self) -> BoxFuture<'static, Result<(), Failure>> {
        let client = self.calling_client();
        async move {
            match client {
                Ok(client) => client.deregister().await.map_err(Failure::from),
                Err(_) => Ok(()),
            }
        }
        .boxed()
    }
}

/// A line, as its handle finds it.
struct Line(webex_sdk::calling::Line);

impl Object for Line {
    const KIND: Kind = Kind::Line;
}

fn not_started() -> Failure {
    Failure::new(
        Status::InvalidState,
        "calling has not started: wait for the end of the call that made it",
    )
}

/// # Safety
/// The texts in the options are NULL or NUL-terminated.
unsafe fn configure(options: &CallingOptions) -> Result<CallingConfig, Failure> {
    // SAFETY: NULL or NUL-terminated, as promised.
    let (domain, region, country) = unsafe {
        (
            pointer::optional_text(options.service_domain, "service_domain")?,
            pointer::optional_text(options.region, "region")?,
            pointer::optional_text(options.country, "country")?,
        )
    };
    let mut config = CallingConfig::default();
    config.service.indicator = match options.service {
        number if number == CallingService::Calling as i32 => ServiceIndicator::Calling,
        number if number == CallingService::ContactCenter as i32 => ServiceIndicator::ContactCenter,
        number if number == CallingService::GuestCalling as i32 => ServiceIndicator::GuestCalling,
        _ => return Err(Failure::argument("service", "is no `webex_calling_service`")),
    };
    domain.unwrap_or_default().clone_into(&mut config.service.domain);
    config.location = match (region, country) {
        (None, None) => None,
        (Some(region), Some(country)) => {
            Some(Location { region: region.to_owned(), country: country.to_owned() })
        }
        _ => return Err(Failure::argument("region", "and `country` belong together")),
    };
    config
        .validate()
        .map_err(|error| Failure::from(webex_sdk::calling::CallingError::from(error)))?;
    Ok(config)
}
