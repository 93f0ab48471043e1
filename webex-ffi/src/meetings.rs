//! The Meetings device of a client: ready, register, unregister.

use macro_rules_attribute::apply;
use safer_ffi::derive_ReprC;
use webex_sdk::meetings::{MeetingsError, MeetingsState};

use crate::{
    client::Client,
    event::Source,
    failure::Failure,
    handle::{self, ClientHandle},
    macros::export,
    pointer::Out,
    status::Status,
};

/// The state of the Meetings device. Later versions add numbers.
#[derive_ReprC]
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MeetingsPhase {
    /// Not registered.
    Unregistered = 0,
    /// Being registered.
    Registering = 1,
    /// Registered: events arrive.
    Registered = 2,
    /// Being unregistered.
    Unregistering = 3,
    /// A state without a number in this version.
    Other = 4,
    /// Unregistered, but the service did not confirm that the device is gone: no events arrive.
    /// Unregister again, or register.
    Unconfirmed = 5,
    /// The event socket was refused for good: no events arrive. Register again, or unregister.
    Failed = 6,
}

/// Begins to wait until the device can be registered. The event `meetings:ready` reports it,
/// followed by the completion of the call.
///
/// `request_id`, here and elsewhere, gets the id of the call, which its event will carry. It is
/// written before the event can be delivered. It may be NULL.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_meetings_ready(
    client: ClientHandle,
    request_id: *mut u64,
) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let request_id = unsafe { Out::optional(request_id, "request_id") }?;
    begin(client, request_id, |meetings| async move { meetings.ready().await })
}

/// Begins to register the device: service catalog, device, event socket. The event
/// `meetings:registered` reports it, followed by the completion of the call. A device that is
/// already registered stays as it is, without that event.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_meetings_register(
    client: ClientHandle,
    request_id: *mut u64,
) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let request_id = unsafe { Out::optional(request_id, "request_id") }?;
    begin(client, request_id, |meetings| async move { meetings.register().await })
}

/// Begins to unregister the device. The event `meetings:unregistered` reports it, followed by the
/// completion of the call. The device itself is deleted unless calling still needs it.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_meetings_unregister(
    client: ClientHandle,
    request_id: *mut u64,
) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let request_id = unsafe { Out::optional(request_id, "request_id") }?;
    begin(client, request_id, |meetings| async move { meetings.unregister().await })
}

/// The current state of the device.
#[apply(export!)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn webex_meetings_state(
    client: ClientHandle,
    phase: *mut MeetingsPhase,
) -> Status {
    // SAFETY: C promises a valid pointer, see the crate's documentation.
    let phase = unsafe { Out::new(phase, "phase") }?;
    phase.write(match handle::get::<Client>(client)?.meetings.state() {
        MeetingsState::Unregistered => MeetingsPhase::Unregistered,
        MeetingsState::Registering => MeetingsPhase::Registering,
        MeetingsState::Registered => MeetingsPhase::Registered,
        MeetingsState::Unregistering => MeetingsPhase::Unregistering,
        MeetingsState::Unconfirmed => MeetingsPhase::Unconfirmed,
        MeetingsState::Failed => MeetingsPhase::Failed,
        _ => MeetingsPhase::Other,
    });
    Ok(())
}

fn begin<F>(
    client: ClientHandle,
    request_id: Option<Out<u64>>,
    work: impl FnOnce(webex_sdk::meetings::Meetings) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), MeetingsError>> + Send + 'static,
{
    let client = handle::get::<Client>(client)?;
    let work = work(client.meetings.clone());
    let work = async move {
        work.await?;
        Ok(Vec::new())
    };
    client.begin((Source::Meetings, client.handle), request_id, work)?;
    Ok(())
}
