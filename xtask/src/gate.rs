//! The gate: the checks that must pass before a change lands, cheapest first.
//!
//! Each step is one function, so that a developer can run it alone. A step returns notes for the
//! summary: findings that did not fail but must not be overlooked.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};

use crate::{
    api, deny, features, fuzz, house, interop, package, sbom, setup, style, unsafety,
    workspace::{self, Notes, Workspace},
};

struct Step {
    name: &'static str,
    /// The command that runs it alone.
    alone: &'static str,
    run: fn(&Workspace) -> Result<Notes>,
}

/// The file and the name of the test that takes minutes of real time.
const LONG_TEST: (&str, &str) = ("long_registration", "minutes_of_real_time");

/// Tests come last: they take longest, and readers look for their result at the end.
const STEPS: &[Step] = &[
    Step { name: "tools", alone: "cargo xtask setup", run: setup::check },
    Step { name: "format", alone: "cargo xtask fmt", run: fmt },
    Step { name: "house rules", alone: "cargo xtask lint", run: house },
    Step { name: "dependencies", alone: "cargo xtask deny", run: dependencies },
    Step { name: "clippy", alone: "cargo xtask lint", run: clippy },
    Step { name: "documentation", alone: "cargo xtask docs", run: docs },
    Step { name: "public API", alone: "cargo xtask api", run: api::check },
    Step { name: "features", alone: "cargo xtask features", run: features },
    Step { name: "packages", alone: "cargo xtask package", run: package::run },
    Step { name: "tests", alone: "cargo test --workspace", run: tests },
    Step { name: "fuzz targets", alone: "cargo xtask fuzz", run: fuzz::smoke },
    Step { name: "interop", alone: "cargo xtask interop", run: interop::run },
];

/// Runs every step in order.
///
/// # Errors
/// The first failure, with the step's name and how to run it alone.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    let mut done: Vec<(&str, Duration, Notes)> = Vec::new();
    for (index, step) in STEPS.iter().enumerate() {
        eprintln!("\n==> [{}/{}] {}", index + 1, STEPS.len(), step.name);
        let step_start = Instant::now();
        let notes = (step.run)(workspace).map_err(|error| {
            let took = seconds(step_start.elapsed());
            anyhow!(
                "GATE FAILED at step {}/{}, {}, after {took}: {error:#}\n       alone: {}",
                index + 1,
                STEPS.len(),
                step.name,
                step.alone,
            )
        })?;
        eprintln!("    {}: ok, {}", step.name, seconds(step_start.elapsed()));
        done.push((step.name, step_start.elapsed(), notes));
    }
    print!("{}", summary(&done, start.elapsed()));
    Ok(())
}

/// Checks the formatting, without changing a file.
pub(crate) fn fmt(workspace: &Workspace) -> Result<Notes> {
    setup::require_component(workspace, "fmt")?;
    workspace::run(workspace.cargo("fmt").args(["--all", "--check"]))?;
    style::check_order(workspace)?;
    Ok(Notes::new())
}

/// Checks the rules that no other tool checks: length of files, words, links in documents.
pub(crate) fn house(workspace: &Workspace) -> Result<Notes> {
    house::run(workspace)?;
    unsafety::count(workspace)
}

/// Checks the dependencies of what we ship, and writes their lists.
fn dependencies(workspace: &Workspace) -> Result<Notes> {
    let notes = deny::run(workspace)?;
    sbom::sbom(workspace)?;
    sbom::notices(workspace)?;
    Ok(notes)
}

/// Clippy over all targets; a warning is a failure.
pub(crate) fn clippy(workspace: &Workspace) -> Result<Notes> {
    setup::require_component(workspace, "clippy")?;
    workspace::run(workspace.cargo("clippy").args([
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    Ok(Notes::new())
}

/// The API documentation; a broken link or a missing page is a failure.
pub(crate) fn docs(workspace: &Workspace) -> Result<Notes> {
    workspace::run(
        workspace
            .cargo("doc")
            .args(["--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    Ok(Notes::new())
}

/// Checks every feature by itself, and the features of the tests.
pub(crate) fn features(workspace: &Workspace) -> Result<Notes> {
    features::one_set(workspace)?;
    features::each_alone(workspace)
}

/// Every test of the workspace: unit, integration and documentation tests. The header's drift test
/// and the C programs are part of them, as tests of webex-ffi.
///
/// The long one mostly waits, so it runs beside the others.
pub(crate) fn tests(workspace: &Workspace) -> Result<Notes> {
    let everything = ["--workspace", "--no-fail-fast"];
    workspace::run(workspace.cargo("test").args(everything).arg("--no-run"))?;
    let mut others = workspace.cargo("test");
    others.args(everything).args(["--", "--skip", LONG_TEST.1]);
    let (others, long) = thread::scope(|scope| {
        let long = scope.spawn(|| {
            let mut command = workspace.cargo("test");
            command.args(["--workspace", "--test", LONG_TEST.0]).output()
        });
        (workspace::run(&mut others), long.join())
    });
    let long = long.expect("no panic").context("the long test")?;
    print!("{}", String::from_utf8_lossy(&long.stdout));
    eprint!("{}", String::from_utf8_lossy(&long.stderr));
    others?;
    ensure!(long.status.success(), "`{}` failed, see above", LONG_TEST.1);
    // A renamed test would otherwise run twice, or not at all.
    let ran = format!("test {} ... ok", LONG_TEST.1);
    ensure!(
        String::from_utf8_lossy(&long.stdout).contains(&ran),
        "there is no test `{}`",
        LONG_TEST.1
    );
    Ok(Notes::new())
}

fn summary(done: &[(&str, Duration, Notes)], total: Duration) -> String {
    let mut lines = vec![String::new(), "==> summary".to_owned()];
    for (name, took, _) in done {
        lines.push(format!("    {name:<14} ok {:>9}", seconds(*took)));
    }
    for note in done.iter().flat_map(|(_, _, notes)| notes) {
        lines.push(format!("    NOTE: {note}"));
    }
    lines.push(format!("==> the gate is green, {}", seconds(total)));
    lines.join("\n") + "\n"
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_repeats_what_was_not_checked() {
        let done = [
            ("format", Duration::from_millis(1_250), Notes::new()),
            ("dependencies", Duration::from_secs(2), vec!["advisories NOT checked".to_owned()]),
        ];
        let text = summary(&done, Duration::from_millis(3_250));
        assert!(text.contains("format         ok     1.2 s"), "{text}");
        assert!(text.contains("NOTE: advisories NOT checked"), "{text}");
        assert!(text.ends_with("==> the gate is green, 3.2 s\n"), "{text}");
    }
}
