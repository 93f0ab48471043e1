//! Dependencies: licences, bans and sources always; advisories when their database can be fetched.
//!
//! The first three need nothing but the crates themselves. The advisory database is a git
//! repository outside the package registries, which not every build machine can reach. Only that
//! one case is let through, and it is reported; a finding always fails.

use anyhow::{Result, bail};

use crate::setup;
use crate::workspace::{self, Notes, Workspace};

/// Runs all checks.
///
/// # Errors
/// When cargo-deny is missing, when a check finds something, or when the advisory check fails for
/// any reason but an unreachable database.
pub(crate) fn run(workspace: &Workspace) -> Result<Notes> {
    setup::require_deny(workspace)?;
    workspace::run(workspace.cargo("deny").args([
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]))?;
    advisories(workspace)
}

fn advisories(workspace: &Workspace) -> Result<Notes> {
    eprintln!("$ cargo deny check advisories");
    let output = workspace
        .cargo("deny")
        .args(["check", "--hide-inclusion-graph", "advisories"])
        .env("GIT_TERMINAL_PROMPT", "0") // a proxy that asks for a password must not hang the gate
        .output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    print!("{}", String::from_utf8_lossy(&output.stdout));
    match classify(output.status.success(), &log) {
        Outcome::Clean => {
            eprint!("{log}");
            Ok(Notes::new())
        }
        Outcome::Unreachable(reason) => {
            let note = format!(
                "advisories NOT checked: their database could not be fetched ({reason}); \
                 run `cargo xtask deny` where it can be"
            );
            eprintln!("\n!!! {note}\n");
            Ok(vec![note])
        }
        Outcome::Failed => {
            eprint!("{log}");
            bail!("`cargo deny check advisories` failed: {}", output.status);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Clean,
    /// Nothing was checked, with the reason git gave.
    Unreachable(String),
    Failed,
}

/// What cargo-deny prints when it cannot get the database, before it looks at any crate.
const FETCH_FAILED: &str = "failed to fetch advisory database";

fn classify(success: bool, log: &str) -> Outcome {
    if success {
        return Outcome::Clean;
    }
    // A finding is a diagnostic (`error[vulnerability]: …`); with one in the log the database was
    // there, whatever else went wrong.
    if !log.contains(FETCH_FAILED) || log.lines().any(|line| line.starts_with("error[")) {
        return Outcome::Failed;
    }
    let reason = log
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("fatal: "))
        .unwrap_or("no reason given")
        .trim();
    Outcome::Unreachable(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFLINE: &str = "\
2026-01-01 00:00:00 [ERROR] failed to fetch advisory database https://db.example/x with cli: failed to clone: [\"clone\"]
Cloning into '/home/dev/.cargo/advisory-dbs/advisory-db-1'...
fatal: unable to access 'https://db.example/x/': Could not resolve host: db.example
";

    #[test]
    fn success_is_clean() {
        assert_eq!(classify(true, "advisories ok"), Outcome::Clean);
    }

    #[test]
    fn an_unreachable_database_is_let_through_with_its_reason() {
        let Outcome::Unreachable(reason) = classify(false, OFFLINE) else {
            panic!("expected Unreachable");
        };
        assert!(reason.ends_with("Could not resolve host: db.example"), "{reason}");
    }

    #[test]
    fn a_finding_fails_even_beside_a_fetch_error() {
        let finding = "error[vulnerability]: Memory corruption in x\n   ┌─ Cargo.lock:1:1\n";
        assert_eq!(classify(false, finding), Outcome::Failed);
        assert_eq!(classify(false, &format!("{OFFLINE}{finding}")), Outcome::Failed);
    }

    #[test]
    fn any_other_failure_fails() {
        assert_eq!(classify(false, "[ERROR] failed to parse deny.toml"), Outcome::Failed);
        assert_eq!(classify(false, ""), Outcome::Failed);
    }
}
