//! The task of one user's tokens, which drives a [`Lifecycle`].
//!
//! Commands and the results of jobs are inputs of the machine; its actions become jobs; a usable
//! token is published. A request that waits for a token is stored here as a pending reply; a
//! dropped one changes nothing.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time};
use tracing::{debug, warn};

use crate::{
    http::BoxFuture,
    lifecycle::{
        clock::Clock,
        machine::{Action, Answer, Lifecycle, Outcome},
        state::{ReauthReason, RenewError, TokenState},
    },
    token::AccessToken,
    token_error::TokenError,
    token_set::TokenSet,
    tokens::{
        job::{End, Renewer, Task},
        shared::{Command, Hot, Reply, Shared, life},
    },
};

pub(super) struct Driver {
    machine: Lifecycle,
    /// Present while no job runs: a job owns it and returns it.
    renewer: Option<Renewer>,
    /// The tokens that the machine knows of.
    set: Option<TokenSet>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Box<Command>>,
    waiters: Vec<Reply<AccessToken>>,
    /// Jobs that wait for the current one.
    tasks: Vec<Task>,
    /// Whether the machine wants a renewal.
    renew: bool,
    /// Whether it is time to store unsaved tokens again.
    save: bool,
    /// Whether to publish the state even if it is the same, because the tokens are new.
    announce: bool,
}

type Job = BoxFuture<'static, (Renewer, End)>;

impl Driver {
    pub(super) fn new(
        machine: Lifecycle,
        renewer: Renewer,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
        commands: mpsc::UnboundedReceiver<Box<Command>>,
    ) -> Self {
        let set = renewer.set().filter(|_| renewer.is_alone()).cloned();
        let mut driver = Self {
            machine,
            renewer: Some(renewer),
            set,
            clock,
            shared,
            commands,
            waiters: Vec::new(),
            tasks: Vec::new(),
            renew: false,
            save: false,
            announce: false,
        };
        driver.publish();
        driver
    }

    /// Runs until all handles are dropped and the last job is done.
    pub(super) async fn run(mut self) {
        if self.set.is_none() {
            // Requests the stored tokens, or the first ones.
            let _ = self.machine.handle_demand(self.clock.now());
        }
        let mut job: Option<Job> = None;
        let mut open = true;
        loop {
            self.settle();
            if job.is_none() {
                job = self.next_job();
            }
            if job.is_none() && !open {
                return;
            }
            let sleep = self.machine.poll_timeout(self.clock.now());
            tokio::select! {
                biased;
                (renewer, end) = until_done(&mut job) => {
                    job = None;
                    self.renewer = Some(renewer);
                    self.job_ended(end);
                }
                command = self.commands.recv(), if open => match command {
                    Some(command) => self.command(*command),
                    None => open = false,
                },
                () = sleep_for(sleep), if open => {
                    self.machine.handle_timeout(self.clock.now());
                    self.save = true;
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Demand(reply) => {
                let answer = self.machine.handle_demand(now);
                self.answer(answer, reply);
            }
            Command::Refused(token, reply) => {
                let held = self.set.as_ref().is_some_and(|set| *set.access_token() == token);
                let answer = if held {
                    self.machine.handle_refused(now)
                } else {
                    self.machine.handle_demand(now)
                };
                self.answer(answer, reply);
            }
            Command::Supply(set, reply) => {
                self.tasks.push(Task::Supply(set, reply));
            }
            Command::SignOut(reply) => self.tasks.push(Task::SignOut(reply)),
            Command::NetworkChanged => self.machine.handle_network_hint(now),
        }
    }

    fn answer(&mut self, answer: Answer, reply: Reply<AccessToken>) {
        let result = match answer {
            Answer::Wait => return self.waiters.push(reply),
            Answer::Use => self.set.as_ref().map(|set| set.access_token().clone()),
            Answer::Later { .. } => {
                let _ = reply.send(Err(self.no_token())); // the caller may be gone
                return;
            }
            Answer::Final | Answer::Ended => None,
        };
        let _ = reply.send(result.ok_or_else(|| self.no_token()));
    }

    /// Publishes what the machine decided, and answers the waiters.
    fn settle(&mut self) {
        while let Some(Action::Renew) = self.machine.poll_action() {
            self.renew = true;
        }
        self.publish();
        if self.machine.is_usable(self.clock.now()) {
            let Some(set) = &self.set else { return };
            for waiter in self.waiters.drain(..) {
                let _ = waiter.send(Ok(set.access_token().clone()));
            }
        } else if !self.machine.is_renewing() && !self.waiters.is_empty() {
            let error = self.no_token();
            for waiter in self.waiters.drain(..) {
                let _ = waiter.send(Err(error.clone()));
            }
        }
    }

    fn next_job(&mut self) -> Option<Job> {
        let save = std::mem::take(&mut self.save)
            && self.renewer.as_ref().is_some_and(Renewer::is_unsaved);
        let task = if !self.tasks.is_empty() {
            self.tasks.remove(0)
        } else if std::mem::take(&mut self.renew) {
            Task::Renew { replacing: self.set.as_ref().map(|set| set.access_token().clone()) }
        } else if save {
            Task::Save
        } else {
            return None;
        };
        let renewer = self.renewer.take()?;
        let now = self.clock.now().wall;
        Some(Box::pin(renewer.run(task, now)))
    }

    fn job_ended(&mut self, end: End) {
        let now = self.clock.now();
        match end {
            End::Renewed(set) => {
                let life = life(&set, self.source());
                self.set = Some(set);
                self.machine.handle_outcome(now, Outcome::Renewed(life));
            }
            End::Supplied(set, reply, result) => {
                // An earlier request for a renewal was about the old tokens.
                self.renew = false;
                let life = life(&set, self.source());
                self.set = Some(set);
                self.machine.handle_tokens(now, life);
                self.announce = true;
                let _ = reply.send(result);
            }
            End::SignedOut(reply, result) => {
                self.renew = false;
                self.set = None;
                self.machine.handle_sign_out(now);
                let _ = reply.send(result);
            }
            End::Saved => {}
            End::Unchanged => self.machine.handle_outcome(now, Outcome::Unchanged),
            End::Failed(error) => {
                warn!(%error, "the token was not renewed");
                self.machine.handle_outcome(now, Outcome::Failed(error));
            }
            End::Ended(reason) => {
                warn!(%reason, "the user has to sign in again");
                if matches!(reason, ReauthReason::SignedOut) {
                    self.set = None;
                }
                self.machine.handle_outcome(now, Outcome::Ended(reason));
            }
        }
    }

    fn source(&self) -> &crate::credentials::Source {
        self.renewer.as_ref().expect("a job brings the renewer back").source()
    }

    fn publish(&mut self) {
        let usable = self.machine.is_usable(self.clock.now());
        let token = self
            .set
            .as_ref()
            .filter(|_| usable)
            .map(|set| Hot { token: set.access_token().clone(), until: set.expires() });
        *self.shared.hot.write() = token;
        let state = self.machine.state();
        self.shared.state.send_if_modified(|shown| {
            let changed = !same(shown, &state) || std::mem::take(&mut self.announce);
            if changed {
                debug!(?state, "token state");
                *shown = state;
            }
            changed
        });
    }

    /// The error of a request without a token, from the state.
    fn no_token(&self) -> TokenError {
        let error = match self.machine.state() {
            TokenState::ReauthRequired { reason } => match reason {
                ReauthReason::Unreachable(error) => error,
                ReauthReason::Configuration(error) => {
                    return TokenError::Configuration { reason: error.to_string() };
                }
                ReauthReason::Store(error) => RenewError::Store(error),
                _ => return TokenError::Rejected,
            },
            TokenState::Degraded { error, .. } => error,
            _ => return TokenError::Rejected,
        };
        match error {
            RenewError::Store(error) => TokenError::Store { reason: error.to_string() },
            error => TokenError::Unavailable { reason: error.to_string() },
        }
    }
}

async fn until_done(job: &mut Option<Job>) -> (Renewer, End) {
    match job {
        Some(job) => job.await,
        None => pending().await,
    }
}

async fn sleep_for(duration: Option<Duration>) {
    match duration {
        Some(duration) => time::sleep(duration).await,
        None => pending().await,
    }
}

/// Whether two states are equal for subscribers.
fn same(one: &TokenState, other: &TokenState) -> bool {
    match (one, other) {
        (TokenState::Valid { until: one }, TokenState::Valid { until: other }) => one == other,
        (TokenState::Refreshing, TokenState::Refreshing) => true,
        (
            TokenState::Degraded { since: one, error: one_error },
            TokenState::Degraded { since: other, error: other_error },
        ) => one == other && one_error.to_string() == other_error.to_string(),
        (
            TokenState::ReauthRequired { reason: one },
            TokenState::ReauthRequired { reason: other },
        ) => one.to_string() == other.to_string(),
        _ => false,
    }
}
