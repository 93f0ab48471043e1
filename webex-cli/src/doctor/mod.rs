//! `webex doctor`: finds out what is wrong, from the network to a registration.
//!
//! ```text
//! network ─► user ─► services ─► calling      what is examined, each with its checks
//!    └────────┴─────────┴───────────┴──► report (which check needs which) ─► people, or JSON
//! ```
//!
//! It registers a device, a socket and a line, as any client would, and gives all of it up again,
//! also after Ctrl-C. What it says is made to be shown to others: no secret, no name, ids shortened or
//! replaced.

mod calling;
mod examination;
mod finding;
mod id;
mod network;
mod report;
mod services;
mod user;

use clap::Args;
use webex_sdk::DeviceConfig;

use self::{examination::Doctor, finding::Finding, id::Id};
use crate::{
    cloud::{CloudArguments, Place},
    exit::Failure,
    redact::Redactor,
    signals::Signals,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cloud: CloudArguments,
}

/// Examines everything, gives everything up, and fails when something is wrong.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::other(error.to_string()))?;
    let cloud = arguments.cloud.describe();
    let mut config = DeviceConfig::default();
    // Making room for it, when the user has too many, can take no other program's device.
    "webex-native-doctor".clone_into(&mut config.name);
    let place = arguments.cloud.place(config).await?;
    let redactor = Redactor::new().ok_or_else(|| Failure::other("no randomness"))?;
    let mut doctor = Doctor::new(redactor, !arguments.json);
    let interrupted = tokio::select! {
        () = examine(&mut doctor, &place) => false,
        () = signals.next() => true,
    };
    for id in doctor.report.missing().into_iter().filter(|id| *id != Id::Left) {
        let finding = match doctor.blocked(id) {
            Some(because) => Finding::skipped(because),
            None => Finding::not_done("interrupted"),
        };
        doctor.add(id, None, finding);
    }
    tokio::select! {
        () = doctor.leave(&place.webex) => {}
        () = signals.next() => return Err(Failure::other("interrupted while giving everything up")),
    }
    if arguments.json {
        let report = doctor.report.to_json(&cloud);
        println!("{report:#}");
    }
    if interrupted {
        return Err(Failure::other("interrupted"));
    }
    let failed: Vec<_> = doctor.report.failed().map(|check| check.id.name()).collect();
    match doctor.report.code() {
        0 => Ok(()),
        code => Err(Failure::new(code, format!("failed: {}", failed.join(", ")))),
    }
}

async fn examine(doctor: &mut Doctor, place: &Place) {
    network::examine(doctor, &place.webex, &place.transport).await;
    user::examine(doctor, place).await;
    services::examine(doctor, &place.webex).await;
    calling::examine(doctor, &place.webex).await;
}
