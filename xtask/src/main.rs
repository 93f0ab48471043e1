//! The developer commands of this workspace: `cargo xtask <command>`.
//!
//! Each command is a function that takes the [`Workspace`] and runs the tools that a developer
//! would otherwise have to remember; `test` combines them into the gate. It has few dependencies,
//! so that the first call on a fresh clone builds in seconds.

mod addresses;
mod api;
mod bench;
mod circles;
mod deny;
mod dist;
mod features;
mod fuzz;
mod gate;
mod house;
mod interop;
mod links;
mod live;
mod mutants;
mod package;
mod promises;
mod rows;
mod sbom;
mod setup;
mod style;
mod tokens;
mod unsafety;
mod words;
mod workspace;

use std::{env, ffi::OsString, process::ExitCode};

use anyhow::{Result, bail, ensure};

use crate::workspace::Workspace;

/// A command: its name, its line of help, and its function.
struct Command {
    name: &'static str,
    help: &'static str,
    run: fn(&Workspace, &[OsString]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        help: "the whole gate: every check below, then every test; stops at the first failure",
        run: |ws, args| no_arguments(args).and_then(|()| gate::run(ws)),
    },
    Command {
        name: "setup",
        help: "install what the gate needs and this machine lacks",
        run: |ws, args| no_arguments(args).and_then(|()| setup::run(ws)),
    },
    Command {
        name: "fmt",
        help: "format the workspace; `--check` only tells what would change",
        run: fmt,
    },
    Command {
        name: "lint",
        help: "clippy with warnings as errors, and the house rules",
        run: |ws, args| {
            no_arguments(args)?;
            gate::house(ws)?;
            gate::clippy(ws)?;
            Ok(())
        },
    },
    Command {
        name: "docs",
        help: "build the API documentation with warnings as errors",
        run: |ws, args| no_arguments(args).and_then(|()| gate::docs(ws)).map(drop),
    },
    Command {
        name: "deny",
        help: "licences, banned crates, sources and advisories of the dependencies",
        run: |ws, args| no_arguments(args).and_then(|()| deny::run(ws)).map(drop),
    },
    Command {
        name: "header",
        help: "rewrite include/webex.h from the source of webex-ffi",
        run: |ws, args| no_arguments(args).and_then(|()| header(ws)),
    },
    Command {
        name: "circles",
        help: "list the files that import each other in a circle",
        run: |ws, args| no_arguments(args).and_then(|()| circles(ws)),
    },
    Command {
        name: "api",
        help: "rewrite docs/api, the listing of the public API",
        run: |ws, args| no_arguments(args).and_then(|()| api::write(ws)),
    },
    Command {
        name: "features",
        help: "every feature alone and none; one set of features for all tests",
        run: |ws, args| no_arguments(args).and_then(|()| gate::features(ws)).map(drop),
    },
    Command {
        name: "sbom",
        help: "write the components of what is shipped to target/dist (CycloneDX)",
        run: |ws, args| no_arguments(args).and_then(|()| sbom::sbom(ws)),
    },
    Command {
        name: "notices",
        help: "write the licences of what is shipped to target/dist",
        run: |ws, args| no_arguments(args).and_then(|()| sbom::notices(ws)),
    },
    Command {
        name: "dist",
        help: "build what is handed out, with its components and licences, into target/dist",
        run: dist::run,
    },
    Command {
        name: "package",
        help: "package every crate, and build a project outside from the packages",
        run: |ws, args| no_arguments(args).and_then(|()| package::run(ws)).map(drop),
    },
    Command {
        name: "interop",
        help: "the official client and others on the sandbox; with a pattern, only scenarios so named",
        run: interop::scenarios,
    },
    Command {
        name: "live",
        help: "the scenarios with our client on the real cloud, and a report; needs an access token",
        run: live::run,
    },
    Command {
        name: "bench",
        help: "run one benchmark: `bench <name> [arguments]`; without a name, list them",
        run: bench::run,
    },
    Command {
        name: "fuzz",
        help: "run the fuzz targets for 3 s each: `fuzz [target] [--minutes N] [--jobs N] [--keep]`",
        run: fuzz::run,
    },
    Command {
        name: "mutants",
        help: "change an area line by line: `mutants <area> [--all-tests]`; without a name, list them",
        run: mutants::run,
    },
    Command {
        name: "ci",
        help: "do what the build machine does: .ci/run",
        run: |ws, args| {
            no_arguments(args)?;
            workspace::run(ws.command("bash").arg(".ci/run"))
        },
    },
];

/// Commands that pass on `--help`.
const HELP_THEMSELVES: [&str; 2] = ["bench", "live"];

fn main() -> ExitCode {
    match dispatch() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            match error.downcast_ref::<workspace::Exit>() {
                Some(exit) => ExitCode::from(exit.code),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn dispatch() -> Result<ExitCode> {
    if env::var_os(fuzz::AS_COMPILER).is_some() {
        return fuzz::compile();
    }
    command().map(|()| ExitCode::SUCCESS)
}

fn command() -> Result<()> {
    let mut parser = lexopt::Parser::from_args(env::args_os().skip(1));
    let name = match parser.next()? {
        None | Some(lexopt::Arg::Short('h') | lexopt::Arg::Long("help")) => {
            println!("{}", help());
            return Ok(());
        }
        Some(lexopt::Arg::Value(name)) => name,
        Some(other) => return Err(other.unexpected().into()),
    };
    let arguments: Vec<OsString> = parser.raw_args()?.collect();
    let Some(command) = COMMANDS.iter().find(|command| name == command.name) else {
        bail!("no command `{}`\n\n{}", name.to_string_lossy(), help());
    };
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h")
        && !HELP_THEMSELVES.contains(&command.name)
    {
        println!("cargo xtask {} - {}", command.name, command.help);
        return Ok(());
    }
    (command.run)(&Workspace::find()?, &arguments)
}

fn help() -> String {
    let commands: Vec<String> =
        COMMANDS.iter().map(|command| format!("  {:<10}{}", command.name, command.help)).collect();
    format!("cargo xtask <command>\n\n{}", commands.join("\n"))
}

fn no_arguments(arguments: &[OsString]) -> Result<()> {
    match arguments.first() {
        None => Ok(()),
        Some(first) => bail!("unexpected argument `{}`", first.to_string_lossy()),
    }
}

fn fmt(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    match arguments {
        [] => {
            style::order_all(workspace)?;
            workspace::run(workspace.cargo("fmt").arg("--all"))
        }
        [flag] if flag == "--check" => gate::fmt(workspace).map(drop),
        [other, ..] => bail!("unexpected argument `{}`", other.to_string_lossy()),
    }
}

fn circles(workspace: &Workspace) -> Result<()> {
    let found = circles::check(workspace)?;
    for circle in &found {
        println!("{circle}\n");
    }
    ensure!(found.is_empty(), "{} to be opened, or named with a reason", found.len());
    println!("no file imports in a circle");
    Ok(())
}

/// When set, the drift test of webex-ffi writes the header instead of comparing it.
const UPDATE_HEADER: &str = "WEBEX_UPDATE_HEADER";

fn header(workspace: &Workspace) -> Result<()> {
    let path = workspace.root().join("include/webex.h");
    let before = std::fs::read(&path).ok();
    workspace::run(
        workspace
            .cargo("test")
            .args(["-p", "webex-ffi", "--test", "header"])
            .env(UPDATE_HEADER, "1"),
    )?;
    let after = std::fs::read(&path).ok();
    ensure!(after.is_some(), "the header test did not write {}", path.display());
    println!(
        "include/webex.h {}",
        if before == after { "was already up to date" } else { "rewritten" }
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_command_once() {
        let help = help();
        for command in COMMANDS {
            let lines = help.lines().filter(|line| {
                line.split_whitespace().next() == Some(command.name) && line.starts_with("  ")
            });
            assert_eq!(lines.count(), 1, "`{}` in:\n{help}", command.name);
        }
    }

    #[test]
    fn stray_arguments_are_refused() {
        assert!(no_arguments(&[]).is_ok());
        let error = no_arguments(&["--fast".into()]).unwrap_err();
        assert!(error.to_string().contains("--fast"), "{error}");
    }
}
