//! `webex`: registers a Meetings device and a Calling line from the command line, signs in, says what
//! is wrong, and runs the sandbox cloud.

mod cloud;
mod commands;
mod doctor;
mod exit;
mod output;
mod profile;
mod redact;
mod screen;
mod signals;
mod status;

use std::{process::ExitCode, time::Instant};

use clap::{Parser, Subcommand};
use tracing_subscriber::{filter::Targets, prelude::*};

use crate::exit::Failure;

/// Registers Webex Meetings devices and Webex Calling lines.
#[derive(Debug, Parser)]
#[command(name = "webex", version, after_help = exit_codes())]
struct Arguments {
    /// What to log to standard error, such as `debug` or `webex_core=trace`; never a secret
    /// [default: `warn`; for `doctor`, which says it all, `off`]
    #[arg(long, env = "WEBEX_LOG", global = true, value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// The table of exit codes, for the help.
fn exit_codes() -> String {
    let rows = exit::CODES.iter().map(|(code, meaning)| format!("\n  {code:>2}  {meaning}"));
    rows.fold("Exit codes:".to_owned(), |table, row| table + &row)
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register a Meetings device and a Calling line, and keep them until Ctrl-C.
    Register(commands::register::Arguments),
    /// Show events of Webex services by name, until Ctrl-C.
    Listen(commands::listen::Arguments),
    /// Sign in, and keep the tokens for other commands.
    Login(commands::login::Arguments),
    /// Show who is signed in.
    Whoami(commands::whoami::Arguments),
    /// Print an access token, renewed if necessary.
    Token(commands::token::Arguments),
    /// Sign out: revoke the tokens and erase them.
    Logout(commands::logout::Arguments),
    /// Find out what is wrong, from the network to a registration; leaves nothing behind.
    Doctor(doctor::Arguments),
    /// Run the scenarios of the test suite on a cloud, and write a report; for `cargo xtask live`.
    #[command(hide = true)]
    Live(commands::live::Arguments),
    /// Run a stand-in Webex cloud on this machine until Ctrl-C.
    Sandbox(commands::sandbox::Arguments),
}

fn main() -> ExitCode {
    // Displayed times count from here, the start of the process.
    let started = Instant::now();
    let arguments = Arguments::parse();
    match run(arguments, started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("webex: {failure}");
            failure.exit_code()
        }
    }
}

fn run(arguments: Arguments, started: Instant) -> Result<(), Failure> {
    // What services say of their users is logged, and what `doctor` prints may be shown to anybody.
    let quiet = if matches!(arguments.command, Command::Doctor(_)) { "off" } else { "warn" };
    let filter = arguments.log.as_deref().unwrap_or(quiet);
    let filter: Targets =
        filter.parse().map_err(|error| Failure::usage(format!("--log: {error}")))?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
    // `live` reports what the SDK logs.
    let recorder = commands::live::Recorder::default();
    let heard = matches!(arguments.command, Command::Live(_)).then(|| recorder.layer());
    tracing_subscriber::registry().with(layer).with(heard).init();
    // One thread: a registration waits for the network, not for a processor.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("no event loop: {error}")))?;
    runtime.block_on(async {
        match arguments.command {
            Command::Register(arguments) => commands::register::run(arguments, started).await,
            Command::Listen(arguments) => commands::listen::run(arguments, started).await,
            Command::Login(arguments) => commands::login::run(arguments).await,
            Command::Whoami(arguments) => commands::whoami::run(arguments).await,
            Command::Token(arguments) => commands::token::run(arguments).await,
            Command::Logout(arguments) => commands::logout::run(arguments).await,
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Live(arguments) => commands::live::run(arguments, recorder).await,
            Command::Sandbox(arguments) => commands::sandbox::run(arguments).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
