//! The requests of a line that are under way: begins what the machine asks for, and tells it what
//! came of it. Without a clock and without tasks, so that the simulation runs the same code.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures_util::future::BoxFuture;
use tracing::debug;
use webex_core::{CatalogError, HttpError};

use super::LineError;
use crate::{
    client::CallingError,
    discovery::{Discovery, Servers},
    mobius::{MobiusTransport, Registration, listed_devices},
    registration::machine::{Action, Machine, Op, Refusal},
};

/// Finds the servers anew.
pub(crate) trait Rediscover: fmt::Debug + Send + Sync {
    /// The servers of this moment.
    fn rediscover(self: Arc<Self>) -> BoxFuture<'static, Result<Arc<Servers>, LineError>>;
}

impl Rediscover for Discovery {
    fn rediscover(self: Arc<Self>) -> BoxFuture<'static, Result<Arc<Servers>, LineError>> {
        Box::pin(async move {
            Discovery::rediscover(&self).await.map_err(|error| match error {
                CallingError::Discovery(error)
                | CallingError::Catalog(CatalogError::Fetch(error)) => error.into(),
                _ => LineError::no_servers(),
            })
        })
    }
}

/// What came of a request.
pub(crate) enum News {
    Registration(Result<Box<Registration>, HttpError>),
    Keepalive(Result<(), HttpError>),
    Deregistered(Result<(), HttpError>),
    Ping(Result<(), HttpError>),
    Servers(Result<Arc<Servers>, LineError>),
}

/// A request and who it is for.
type Running = (Op, Pin<Box<dyn Future<Output = News> + Send>>);

/// The requests under way: rarely more than one, three at the most. An idle line has an empty list.
pub(crate) struct Requests {
    transport: Arc<dyn MobiusTransport>,
    discovery: Arc<dyn Rediscover>,
    running: Vec<Running>,
}

impl Requests {
    pub(crate) fn new(transport: Arc<dyn MobiusTransport>, discovery: Arc<dyn Rediscover>) -> Self {
        Self { transport, discovery, running: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Carries out what is about requests; gives back everything else.
    pub(crate) fn begin(&mut self, action: Action) -> Option<Action> {
        let transport = Arc::clone(&self.transport);
        match action {
            Action::Register(op, server) => {
                debug!(server = server.host_str(), "registering the line");
                self.run(op, async move {
                    let answer = match transport.connect(&server).await {
                        Ok(()) => transport.register(&server).await,
                        Err(error) => Err(error),
                    };
                    News::Registration(answer.map(Box::new))
                });
            }
            Action::Keepalive(op, server, device) => {
                let answer = transport.keepalive(&server, &device);
                self.run(op, async move { News::Keepalive(answer.await) });
            }
            Action::Deregister(op, server, device) => {
                debug!(server = server.host_str(), "giving up a registration");
                let answer = transport.unregister(&server, &device);
                self.run(op, async move { News::Deregistered(answer.await) });
            }
            Action::Ping(op, server) => {
                let answer = transport.ping(&server);
                self.run(op, async move { News::Ping(answer.await) });
            }
            Action::Rediscover(op) => {
                let answer = Arc::clone(&self.discovery).rediscover();
                self.run(op, async move { News::Servers(answer.await) });
            }
            Action::Cancel(op) => self.running.retain(|(running, _)| *running != op),
            Action::Disconnect(server) => transport.disconnect(&server),
            other => return Some(other),
        }
        None
    }

    /// The next news; never, when no request is under way. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> (Op, News) {
        poll_fn(|context| self.poll(context)).await
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Op, News)> {
        for index in 0..self.running.len() {
            if let Poll::Ready(news) = self.running[index].1.as_mut().poll(context) {
                let (op, _) = self.running.remove(index);
                if self.running.is_empty() {
                    // Idle for long: no room held for the next.
                    self.running = Vec::new();
                }
                return Poll::Ready((op, news));
            }
        }
        Poll::Pending
    }

    /// Tells the machine.
    pub(crate) fn deliver(&self, machine: &mut Machine, now: Instant, (op, news): (Op, News)) {
        match news {
            News::Registration(answer) => {
                let answer = answer.map(|granted| *granted).map_err(|error| self.refusal(error));
                machine.handle_registration(now, op, answer);
            }
            News::Keepalive(answer) => {
                machine.handle_keepalive(now, op, answer.map_err(LineError::from));
            }
            News::Deregistered(answer) => machine.handle_deregistered(now, op, answer),
            News::Ping(answer) => machine.handle_ping(now, op, answer.map_err(LineError::from)),
            News::Servers(answer) => machine.handle_servers(now, op, answer),
        }
    }

    fn refusal(&self, error: HttpError) -> Refusal {
        let ours = self.transport.client_device_uri();
        let devices = listed_devices(&error).into_iter().map(|device| {
            let is_ours = ours.is_some() && device.client_device_uri == ours;
            (device, is_ours)
        });
        let devices = devices.collect();
        Refusal { error: error.into(), devices }
    }

    fn run(&mut self, op: Op, request: impl Future<Output = News> + Send + 'static) {
        self.running.push((op, Box::pin(request)));
    }
}
