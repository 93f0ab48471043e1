//! An examination under way: does checks, keeps and shows what they found, and gives up what they
//! registered.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use webex_sdk::{
    CallingClient,
    core::{ErrorKind, Lease, Webex},
};

use super::{
    finding::{Finding, Verdict},
    id::Id,
    report::{Check, Report, millis},
};
use crate::redact::Redactor;

/// How long one check may take; what it asks has shorter limits of its own.
const LIMIT: Duration = Duration::from_secs(60);

/// How long giving up may take. Past it the program ends, and the cloud forgets the rest by itself.
const LEAVE: Duration = Duration::from_secs(10);

/// The reason in the close frame of the event socket.
const CLOSE_REASON: &str = "doctor";

/// What is under way: the findings, and what has to be given up.
pub(super) struct Doctor {
    pub(super) report: Report,
    pub(super) redactor: Redactor,
    pub(super) held: Held,
    /// Whether people read along.
    people: bool,
}

/// What is registered in the cloud.
#[derive(Default)]
pub(super) struct Held {
    pub(super) lease: Option<Arc<Lease>>,
    pub(super) calling: Option<Arc<CallingClient>>,
}

impl Doctor {
    /// Nothing has been checked yet. With `people`, each check is shown as soon as it is done.
    pub(super) fn new(redactor: Redactor, people: bool) -> Self {
        Self { report: Report::default(), redactor, held: Held::default(), people }
    }

    /// Does a check, unless one that it needs has failed, and adds what it found. Returns what the
    /// checks after it go on with.
    pub(super) async fn check<T>(
        &mut self,
        id: Id,
        checking: impl Future<Output = (Finding, Option<T>)>,
    ) -> Option<T> {
        if let Some(because) = self.blocked(id) {
            self.add(id, None, Finding::skipped(because));
            return None;
        }
        let started = Instant::now();
        let (finding, found) = timeout(LIMIT, checking).await.unwrap_or_else(|_| {
            let detail = format!("not done within {} s", LIMIT.as_secs());
            (Finding::failed(ErrorKind::Timeout, &detail), None)
        });
        self.add(id, Some(started.elapsed()), finding);
        found
    }

    /// Why a check cannot be judged.
    pub(super) fn blocked(&self, id: Id) -> Option<Id> {
        self.report.blocked(id)
    }

    /// Adds what was found, without what is nobody's business, and shows it.
    pub(super) fn add(&mut self, id: Id, took: Option<Duration>, mut finding: Finding) {
        finding.detail = self.redactor.text(&finding.detail);
        let tracking_id = finding.tracking_id.take();
        finding.tracking_id = tracking_id.map(|id| self.redactor.without_learned(&id));
        let check = self.report.add(id, took, finding);
        if self.people {
            show(check);
        }
    }

    /// Gives up line, socket and device, also those of a check that was interrupted.
    pub(super) async fn leave(&mut self, webex: &Webex) {
        let Held { lease, calling } = std::mem::take(&mut self.held);
        let started = Instant::now();
        let leaving = async {
            let mut outcome = Ok(());
            if let Some(calling) = &calling {
                outcome = calling.deregister().await.map_err(|error| Finding::from(&error));
            }
            if let Some(lease) = &lease {
                let released = lease.release(CLOSE_REASON).await;
                outcome = outcome.and(released.map_err(|error| Finding::from(&error)));
            }
            let settled = webex.shutdown().await;
            outcome.and(settled.map_err(|error| Finding::from(&error)))
        };
        let finding = match timeout(LEAVE, leaving).await {
            Ok(Ok(())) => Finding::ok("nothing: no device, socket or line of this program"),
            // Whatever its kind: the cloud may have it for a while.
            Ok(Err(finding)) => {
                let advice = "it ends by itself, within half an hour";
                Finding { code: 1, ..finding }.advised(advice)
            }
            Err(_) => {
                let detail = "the cloud did not confirm in time that everything is given up";
                Finding { code: 1, ..Finding::failed(ErrorKind::Timeout, &detail) }
            }
        };
        self.add(Id::Left, Some(started.elapsed()), finding);
    }
}

/// Shows a check to people.
fn show(check: &Check) {
    let Check { id, took, finding } = check;
    let took = took.map_or_else(String::new, |took| format!("{} ms", millis(took)));
    let line = format!(
        "{:<11}  {:<16}  {took:>10}  {}",
        finding.verdict.name(),
        id.name(),
        finding.detail
    );
    println!("{}", line.trim_end());
    let worth_it = matches!(finding.verdict, Verdict::Failed | Verdict::Warning);
    if let (true, Some(advice)) = (worth_it, &finding.advice) {
        println!("{:<11}  {:<16}  {:>10}  → {advice}", "", "", "");
    }
    if let Some(tracking_id) = &finding.tracking_id {
        println!("{:<11}  {:<16}  {:>10}  tracking id {tracking_id}", "", "", "");
    }
}
