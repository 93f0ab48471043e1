//! `webex`: registers a Meetings device and a Calling line from the command line, signs in, and runs
//! the sandbox cloud.
//!
//! # Exit codes
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed |
//! | 2 | wrong usage |
//! | 3 | not authorized: the token was refused |
//! | 4 | the cloud cannot be reached |
//! | 5 | the stored sign-in is damaged, or cannot be read or written |
//! | 6 | the application was refused: its client id, secret, redirect URI or scopes |
//! | 7 | the user has as many devices as allowed |
//! | 8 | the certificate of the cloud is not trusted |

mod cloud;
mod commands;
mod exit;
mod output;
mod profile;
mod screen;
mod signals;
mod status;

use std::{process::ExitCode, time::Instant};

use clap::{Parser, Subcommand};
use tracing_subscriber::{filter::Targets, prelude::*};

use crate::exit::Failure;

/// Registers Webex Meetings devices and Webex Calling lines.
#[derive(Debug, Parser)]
#[command(name = "webex", version, after_help = EXIT_CODES)]
struct Arguments {
    /// What to log to standard error, such as `debug` or `webex_core=trace`. Never a secret.
    #[arg(long, env = "WEBEX_LOG", default_value = "warn", global = true, value_name = "FILTER")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not authorized, \
                          4 cloud unreachable, 5 stored sign-in damaged, 6 application refused, \
                          7 device limit, 8 certificate not trusted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Register a Meetings device and a Calling line, and keep them until Ctrl-C.
    Register(commands::register::Arguments),
    /// Sign in, and keep the tokens for other commands.
    Login(commands::login::Arguments),
    /// Show who is signed in.
    Whoami(commands::whoami::Arguments),
    /// Print an access token, renewed if necessary.
    Token(commands::token::Arguments),
    /// Sign out: revoke the tokens and erase them.
    Logout(commands::logout::Arguments),
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
            failure.code()
        }
    }
}

fn run(arguments: Arguments, started: Instant) -> Result<(), Failure> {
    let filter: Targets =
        arguments.log.parse().map_err(|error| Failure::usage(format!("--log: {error}")))?;
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
            Command::Login(arguments) => commands::login::run(arguments).await,
            Command::Whoami(arguments) => commands::whoami::run(arguments).await,
            Command::Token(arguments) => commands::token::run(arguments).await,
            Command::Logout(arguments) => commands::logout::run(arguments).await,
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
