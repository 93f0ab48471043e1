//! The pending requests of a line: begins those that the machine asks for, and delivers their
//! answers. It has no clock and no task, so that the simulation runs the same code.

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

use crate::{
    discovery::Discovery,
    mobius::{
        transport::{MobiusTransport, RegisterError},
        wire::{Registration, listed_devices},
    },
    model::{client_error::CallingError, error::LineError, servers::Servers},
    registration::{
        machine::Machine,
        state::{Action, Op, Refusal},
    },
};

/// Discovers the servers again.
pub(crate) trait Rediscover: fmt::Debug + Send + Sync {
    /// Returns the present servers.
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

/// The answer to a request.
pub(crate) enum Answer {
    Registration(Result<Box<Registration>, RegisterError>),
    Keepalive(Result<(), HttpError>),
    Deregistered(Result<(), HttpError>),
    Ping(Result<(), HttpError>),
    Servers(Result<Arc<Servers>, LineError>),
}

/// A pending request.
type Running = (Op, Pin<Box<dyn Future<Output = Answer> + Send>>);

/// The pending requests: rarely more than one, three at most, none for an idle line.
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

    /// Carries out actions that concern requests; returns all others.
    pub(crate) fn begin(&mut self, action: Action) -> Option<Action> {
        let transport = Arc::clone(&self.transport);
        match action {
            Action::Register(op, server) => {
                debug!(server = server.host_str(), "registering the line");
                self.run(op, async move {
                    let answer = match transport.connect(&server).await {
                        Ok(()) => transport.register(&server).await,
                        Err(error) => Err(error.into()),
                    };
                    Answer::Registration(answer.map(Box::new))
                });
            }
            Action::Keepalive(op, server, device) => {
                let answer = transport.keepalive(&server, &device);
                self.run(op, async move { Answer::Keepalive(answer.await) });
            }
            Action::Deregister(op, server, device) => {
                debug!(server = server.host_str(), "deleting a registration");
                let answer = transport.unregister(&server, &device);
                self.run(op, async move { Answer::Deregistered(answer.await) });
            }
            Action::Ping(op, server) => {
                let answer = transport.ping(&server);
                self.run(op, async move { Answer::Ping(answer.await) });
            }
            Action::Rediscover(op) => {
                let answer = Arc::clone(&self.discovery).rediscover();
                self.run(op, async move { Answer::Servers(answer.await) });
            }
            Action::Cancel(op) => self.running.retain(|(running, _)| *running != op),
            Action::Disconnect(server) => transport.disconnect(&server),
            other => return Some(other),
        }
        None
    }

    /// Waits for the next answer; for ever if no request is pending. Dropping the future loses
    /// nothing.
    pub(crate) async fn next(&mut self) -> (Op, Answer) {
        poll_fn(|context| self.poll(context)).await
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Op, Answer)> {
        for index in 0..self.running.len() {
            if let Poll::Ready(answer) = self.running[index].1.as_mut().poll(context) {
                let (op, _) = self.running.remove(index);
                if self.running.is_empty() {
                    // A line idles for hours: free the memory.
                    self.running = Vec::new();
                }
                return Poll::Ready((op, answer));
            }
        }
        Poll::Pending
    }

    /// Passes an answer to the machine.
    pub(crate) fn deliver(&self, machine: &mut Machine, now: Instant, (op, answer): (Op, Answer)) {
        match answer {
            Answer::Registration(answer) => {
                let answer = answer.map(|granted| *granted).map_err(|error| self.refusal(error));
                machine.handle_registration(now, op, answer);
            }
            Answer::Keepalive(answer) => {
                machine.handle_keepalive(now, op, answer.map_err(LineError::from));
            }
            Answer::Deregistered(answer) => machine.handle_deregistered(now, op, answer),
            Answer::Ping(answer) => machine.handle_ping(now, op, answer.map_err(LineError::from)),
            Answer::Servers(answer) => machine.handle_servers(now, op, answer),
        }
    }

    fn refusal(&self, RegisterError { error, unusable }: RegisterError) -> Refusal {
        let devices = listed_devices(&error).into_iter();
        let devices = devices.map(|device| {
            let is_ours = self.transport.is_ours(&device);
            (device, is_ours)
        });
        Refusal { devices: devices.collect(), error: error.into(), unusable }
    }

    fn run(&mut self, op: Op, request: impl Future<Output = Answer> + Send + 'static) {
        self.running.push((op, Box::pin(request)));
    }
}
