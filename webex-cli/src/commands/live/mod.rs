//! `webex live`, run by `cargo xtask live`: the scenarios of the sandbox, on the real cloud.
//!
//! For someone with an account: it registers for real, leaves nothing behind, and writes a report
//! that can be attached to a bug.
//!
//! ```text
//! scenarios ──► run (clients, steps) ──► record (steps, events, the SDK's own log) ──► report
//!                 └─► what is left, in the end                          redact ───────────┘
//! ```

mod record;
mod report;
mod run;
mod scenarios;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use jiff::Timestamp;

pub(crate) use self::record::Recorder;
use self::{
    report::{Report, Scenario as Played},
    run::{Failed, Run},
    scenarios::Scenario,
};
use crate::{
    cloud::{CloudArguments, TOKEN_VARIABLE},
    commands::register::seconds,
    exit::Failure,
    redact::Redactor,
    signals::Signals,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where to write the report; its readable form goes beside it, ending in `.txt`
    #[arg(long, value_name = "FILE", default_value = "webex-live-report.json")]
    out: PathBuf,
    /// Keep each line for this many seconds instead of three keepalives
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// How long the cloud may take to show that a device is gone
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    settle: Duration,
    #[command(flatten)]
    cloud: CloudArguments,
}

/// Runs all scenarios and writes the report, also when it is interrupted.
pub(crate) async fn run(arguments: Arguments, recorder: Recorder) -> Result<(), Failure> {
    let began = Instant::now();
    let cloud = arguments.cloud.describe();
    let access = arguments.cloud.access()?.ok_or_else(|| {
        Failure::usage(format!(
            "no access token: put one into {TOKEN_VARIABLE}, or into a file named with --token-file"
        ))
    })?;
    let mut signals = Signals::listen().map_err(|error| Failure::other(error.to_string()))?;
    let mut redactor = Redactor::new().ok_or_else(|| Failure::other("no randomness"))?;
    access.with_token(|token| redactor.learn(token));
    let mut report = Report::new(cloud, Timestamp::now().to_string());
    let run = Run::new(access, recorder, redactor, arguments.duration, arguments.settle)?;

    let mut failed = None;
    let mut interrupted = false;
    for scenario in Scenario::ALL {
        println!("{}", scenario.name());
        run.recorder.begin();
        let played = tokio::select! {
            played = scenario.play(&run) => played,
            () = signals.next() => {
                interrupted = true;
                Err(Failed::because("interrupted by the user"))
            }
        };
        if scenario == Scenario::Cloud && played.is_ok() {
            let region = scenarios::region(&run).await;
            // A failure is recorded; the run goes on.
            let _ = run.step("who the user is, to leave it out", run.learn_user()).await;
            let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
            report.region = known(&region.client_region);
            report.country = known(&region.country_code);
        }
        run.settle().await;
        let failure = played.as_ref().err().map(|failed: &Failed| failed.message.clone());
        let record = run.recorder.begin();
        report.scenarios.push(Played { name: scenario.name().to_owned(), failure, record });
        failed = failed.or(played.err());
        if interrupted || (scenario == Scenario::Cloud && failed.is_some()) {
            break;
        }
    }
    report.left = run.clean_up().await;
    report.conclude(began.elapsed().as_millis() as u64);
    let redactor = run.redactor.into_inner();
    let text = report
        .write(&arguments.out, &redactor)
        .map_err(|error| Failure::other(format!("--out {}: {error}", arguments.out.display())))?;
    let files = format!("{} and {}", arguments.out.display(), text.display());
    if report.passed {
        println!("passed; the report is in {files}");
        return Ok(());
    }
    let message = format!("the live run failed; the report is in {files}");
    Err(match failed {
        Some(Failed { kind: Some(kind), message: why }) => {
            Failure::sdk(kind, &format!("{}; {message}", redactor.text(&why)))
        }
        Some(Failed { kind: None, message: why }) => {
            Failure::other(format!("{message} ({})", redactor.text(&why)))
        }
        None => Failure::other(message),
    })
}
