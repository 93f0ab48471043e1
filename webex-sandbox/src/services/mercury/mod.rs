//! Mercury: the websocket that carries events to a client.
//!
//! [`connect`] answers the upgrade and starts a [`session`] task that owns the socket from then on.

mod session;

use std::sync::Arc;

use axum::Router;
use http::{
    StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use hyper_util::rt::TokioIo;
use session::{Options, Session};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};
use tracing::debug;

use crate::{
    exchange::{
        call::Call,
        reply::Reply,
        route::{GET, route},
    },
    operation::Mercury,
    state::fault::CloseFrame,
    world::{Change, World},
};

/// Path of a registration's socket; under `/mercury` where services share an address.
const REGISTRATION: &str = "/v1/apps/wx2/registrations/{device}/messages";
/// Frames are small, and there may be many sockets.
const READ_BUFFER: usize = 4 * 1024;
/// Largest frame accepted from a client.
const MESSAGE_LIMIT: usize = 1024 * 1024;

/// The paths of the service.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route(REGISTRATION, route(GET, Mercury::connect(), connect))
        .route(&format!("/mercury{REGISTRATION}"), route(GET, Mercury::connect(), connect))
}

/// `GET …/registrations/{device}/messages` with an upgrade.
pub(crate) async fn connect(mut call: Call) -> Result<Reply, Reply> {
    let key = call.header(&SEC_WEBSOCKET_KEY).map(str::to_owned);
    let (Some(key), Some(upgrade)) = (key, call.upgrade.take()) else {
        let reply = Reply::error(StatusCode::UPGRADE_REQUIRED, "This is a websocket.");
        return Err(reply.header(UPGRADE, "websocket"));
    };
    if call.header(&SEC_WEBSOCKET_VERSION) != Some("13") {
        let reply = Reply::bad_request("Unknown websocket version.");
        return Err(reply.header(SEC_WEBSOCKET_VERSION, "13"));
    }
    let flag = |name: &str| call.query(name).is_some_and(|value| value == "true");
    let device_id = call.param("device").to_owned();
    let is_known = call.world.devices.lock().get(&device_id).is_some();
    if !is_known && !flag("aliasHttpStatus") {
        return Err(Reply::not_found("Registration"));
    }
    let refusal = if is_known {
        call.fault.as_ref().and_then(|fault| fault.close.clone())
    } else {
        Some(CloseFrame::alias(StatusCode::NOT_FOUND, "registration not found"))
    };
    let options = Options {
        multiple_connections: flag("multipleConnections"),
        registration_status: flag("mercuryRegistrationStatus"),
        buffer_states: flag("bufferStates"),
        text: call.query("outboundWireFormat").is_some_and(|format| format == "text"),
    };
    let (entry, commands) =
        call.world.sockets.lock().open(&device_id, call.raw_query(), options.multiple_connections);
    let id = entry.read(|socket| socket.id);
    call.world.changed(|| Change::SocketOpened { id, device_id });

    let world = call.world.clone();
    let (base, connection) = (call.base.clone(), call.connection.clone());
    call.world.tasks.spawn(async move {
        match upgrade.await {
            Ok(stream) => {
                let stream = TokioIo::new(stream);
                let limits = WebSocketConfig::default()
                    .read_buffer_size(READ_BUFFER)
                    .max_message_size(Some(MESSAGE_LIMIT));
                let socket =
                    WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits)).await;
                Session::new(world, entry, commands, socket, connection, base, options)
                    .run(refusal)
                    .await;
            }
            Err(error) => {
                debug!(%error, "the websocket upgrade failed");
                session::ended(&world, id, crate::state::sockets::Closed::Lost);
            }
        }
    });
    Ok(Reply::status(StatusCode::SWITCHING_PROTOCOLS)
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "Upgrade")
        .header(SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes())))
}
