//! The steps that every request goes through, whatever the service.
//!
//! ```text
//! arrive → log → instance down? → fault? → token? → handler → patch → CORS → log → latency → answer
//! ```
//!
//! Handlers get a [`Call`] and return a [`Reply`]; the rest is hidden from them.

use std::{future::Future, sync::Arc, time::Duration};

use axum::body::Body;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, AUTHORIZATION, CONTENT_TYPE,
        DATE, HeaderName, ORIGIN, VARY,
    },
};
use hyper::upgrade::OnUpgrade;
use tokio::time::sleep;

use crate::{
    exchange::{
        call::{Call, Params},
        connection::{Abort, Connection},
        reply::Reply,
        script,
    },
    operation::{Operation, Other},
    redact,
    state::{
        fault::{Breakage, Fault},
        instances::Outage,
        log::{Arrival, Request as LoggedRequest},
        mutations::Mutation,
    },
    urls::Base,
    world::{Change, World},
};

/// Largest body accepted.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// The tracking id, echoed in answers.
pub(crate) const TRACKING_ID: HeaderName = HeaderName::from_static("trackingid");

/// The path on the wire, kept when the router gets a rewritten one.
#[derive(Clone)]
pub(crate) struct OriginalPath(pub(crate) String);

/// Runs one request through the steps above.
pub(crate) async fn handle_request<H, F>(
    world: Arc<World>,
    operation: Operation,
    params: Params,
    mut request: Request<Body>,
    handler: H,
) -> Response<Body>
where
    H: FnOnce(Call) -> F,
    F: Future<Output = Result<Reply, Reply>>,
{
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let connection = request.extensions().get::<Connection>().cloned().unwrap_or_default();
    let original = request.extensions_mut().remove::<OriginalPath>();
    let base = Base::of_request(!world.config.plain, &request).with_places(&world.places.read());
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        // The client went away, or its body never ends.
        return Abort.into_response();
    };
    let token = bearer(&head.headers).map(str::to_owned);
    let user = token.as_deref().and_then(|token| world.known_user(token));
    let instance =
        params.iter().find(|(name, _)| name == "instance").map(|(_, name)| name.as_str());
    let path = original.map_or_else(|| head.uri.path().to_owned(), |OriginalPath(path)| path);
    let query = head.uri.query().unwrap_or_default().to_owned();
    let mut logged = Logged::arrived(
        &world,
        Arrival {
            at: world.uptime(),
            method: head.method.to_string(),
            version: if head.version == http::Version::HTTP_2 { "HTTP/2.0" } else { "HTTP/1.1" },
            host: base.authority().to_owned(),
            path,
            query: redact::query(&query),
            headers: redact::headers(&head.headers),
            body: redact::body(&body, content_type(&head.headers)),
            operation,
            instance: instance.map(str::to_owned),
            user_id: user.as_ref().map(|user| user.id.clone()),
            connection: connection.id,
        },
    );

    let user_id = user.as_ref().map(|user| user.id.as_str());
    let fault = match before_handler(&world, operation, instance, user_id, &connection).await {
        Ok(fault) => fault,
        Err(abort) => return abort.into_response(),
    };
    let tracking_id =
        head.headers.get(TRACKING_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let origin = head.headers.get(ORIGIN).cloned();
    let instead = fault
        .as_ref()
        .and_then(|fault| script::replacement(fault, &head.headers, &body).map(|it| (fault, it)));
    let reply = match instead {
        Some((Fault { carried_out: false, .. }, reply)) => reply,
        instead => {
            let instead = instead.map(|(_, reply)| reply);
            let is_authorized =
                !operation.needs_token() || token.as_deref().is_some_and(|it| world.accepts(it));
            let reply = if is_authorized {
                let call = Call {
                    world: Arc::clone(&world),
                    base,
                    connection: connection.clone(),
                    params,
                    query,
                    headers: head.headers,
                    body,
                    user,
                    token,
                    upgrade,
                    fault: fault.clone(),
                };
                handler(call).await.unwrap_or_else(|refusal| refusal)
            } else {
                Reply::unauthorized()
            };
            instead.unwrap_or(reply)
        }
    };
    let reply = match after_handler(fault.as_ref(), reply, &connection).await {
        Ok(reply) => reply,
        Err(abort) => return abort.into_response(),
    };
    logged.answered(reply.status.as_u16());
    let mut response = reply.into_response(tracking_id.as_deref());
    if let Some(id) = tracking_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().entry(TRACKING_ID).or_insert(id);
    }
    if let Some(origin) = origin.filter(|_| !world.mutations.has(Mutation::MissingCors)) {
        allow_origin(response.headers_mut(), origin);
    }
    if let Some(date) = world.clock.date() {
        response.headers_mut().entry(DATE).or_insert(date);
    }
    delay(world.latency.request()).await;
    response
}

/// Applies what happens before the handler: an instance that is down or slow, a fault that delays
/// or breaks the connection. Returns the fault, for what it does later.
async fn before_handler(
    world: &World,
    operation: Operation,
    instance: Option<&str>,
    user: Option<&str>,
    connection: &Connection,
) -> Result<Option<Fault>, Abort> {
    if let Some(instance) = instance.and_then(|name| world.instance(name)) {
        match instance.outage() {
            Some(Outage::Refuse) => return Err(Abort),
            Some(Outage::Reset) => {
                connection.reset();
                return Err(Abort);
            }
            Some(Outage::Hang) => std::future::pending().await,
            None => delay(instance.delay()).await,
        }
    }
    let fault = world.fault_for(operation, instance, user);
    if let Some(fault) = &fault {
        delay(fault.delay).await;
        if !fault.carried_out {
            apply_breakage(fault.breakage, connection).await?;
        }
    }
    Ok(fault)
}

/// Applies what a fault does after the handler has run: no answer, or a changed one.
async fn after_handler(
    fault: Option<&Fault>,
    mut reply: Reply,
    connection: &Connection,
) -> Result<Reply, Abort> {
    if let Some(fault) = fault {
        if fault.carried_out {
            apply_breakage(fault.breakage, connection).await?;
        }
        script::change(fault, &mut reply);
    }
    Ok(reply)
}

async fn apply_breakage(breakage: Option<Breakage>, connection: &Connection) -> Result<(), Abort> {
    match breakage {
        None => Ok(()),
        Some(Breakage::Hang) => std::future::pending().await,
        Some(Breakage::Refuse) => Err(Abort),
        Some(Breakage::Reset) => {
            connection.reset();
            Err(Abort)
        }
    }
}

/// A request in the log. Dropped before it is answered, it is recorded as unanswered.
struct Logged<'a> {
    world: &'a World,
    request: LoggedRequest,
    status: Option<u16>,
}

impl<'a> Logged<'a> {
    /// Announces the arrival at once, because the answer may take long.
    fn arrived(world: &'a World, arrival: Arrival) -> Self {
        let logged = Self { world, request: world.log.arrived(arrival), status: None };
        logged.announce();
        logged
    }

    fn answered(&mut self, status: u16) {
        self.status = Some(status);
        self.world.log.answered(&self.request, self.status);
        self.announce();
    }

    fn announce(&self) {
        self.world.changed(|| Change::Request {
            number: self.request.number(),
            operation: self.request.operation(),
            instance: self.request.instance().map(str::to_owned),
            status: self.status,
        });
    }
}

impl Drop for Logged<'_> {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.world.log.answered(&self.request, None);
            self.announce();
        }
    }
}

/// Answers a CORS preflight: allows everything that a Webex client sends.
pub(crate) async fn preflight(call: Call) -> Result<Reply, Reply> {
    let mut reply = Reply::status(StatusCode::NO_CONTENT);
    if !call.world.mutations.has(Mutation::MissingCors) {
        let asked = call.header(&ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default().to_owned();
        reply = reply
            .header(ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE")
            .header(ACCESS_CONTROL_ALLOW_HEADERS, &asked);
    }
    Ok(reply)
}

/// Whether a request is a CORS preflight.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ORIGIN)
}

/// Answers requests to paths that no service has.
pub(crate) async fn unknown(_: Call) -> Result<Reply, Reply> {
    Err(Reply::not_found("The requested resource"))
}

/// The operation of [`unknown`].
pub(crate) const UNKNOWN: Operation = Other::unknown();

/// Waits for an added latency. Zero returns without yielding.
pub(crate) async fn delay(latency: Duration) {
    if !latency.is_zero() {
        sleep(latency).await;
    }
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Retry-After, TrackingId, ETag"),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
