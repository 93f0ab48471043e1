//! `cargo xtask bench fleet`: the cost of a process with thousands of users.
//!
//! Two parts, each in a process of its own, with the sandbox in another one:
//!
//! 1. **Meetings**: many registered Meetings clients; the memory of each, at rest and after one
//!    large event to each.
//! 2. **Lines**: many users with Meetings device, socket and line, for minutes; their memory and
//!    processor time, and the delay of their keepalives.
//!
//! A probe runs beside them: a thread that only sleeps, and records how late it wakes.
//!
//! ```text
//! cargo xtask bench fleet [--clients 1000] [--lines 2000] [--seconds 300] [--only meetings|lines]
//! ```

// Figures of a benchmark are far below what a double holds exactly.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod cloud;
mod figure;
mod machine;
mod parts;
mod program;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    match option(&arguments, "--part").as_deref() {
        Some("cloud") => {
            cloud::serve(number(&arguments, "--users", 1));
            ExitCode::SUCCESS
        }
        Some("meetings") => parts::meetings(number(&arguments, "--clients", 1000)),
        Some("lines") => parts::lines(
            number(&arguments, "--lines", 2000),
            number(&arguments, "--seconds", 300) as u64,
        ),
        _ => both(&arguments),
    }
}

/// Runs each part in a process of its own, so that neither inherits the other's memory.
fn both(arguments: &[String]) -> ExitCode {
    let only = option(arguments, "--only");
    let mut met = true;
    for part in ["meetings", "lines"] {
        if only.as_deref().is_some_and(|only| only != part) {
            continue;
        }
        let mut command = program::again(["--part", part]);
        command.args(arguments.iter().skip(1).filter(|argument| *argument != "--bench"));
        met &= command.status().expect("this program runs").success();
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn option(arguments: &[String], name: &str) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).cloned()
}

fn number(arguments: &[String], name: &str, otherwise: usize) -> usize {
    option(arguments, name).map_or(otherwise, |text| text.parse().expect("a number"))
}
