//! Checks dependencies: licences, bans, sources and advisories, from local data.
//!
//! The advisory database (RustSec) is committed as an archive, so that every machine checks the
//! same advisories. The gate's summary shows its date, and a copy that is too old fails.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};

use crate::{
    setup,
    workspace::{self, Notes, Workspace},
};

/// The database: the files of the RustSec repository without its history.
const ARCHIVE: &str = ".ci/advisory-db.tar.xz";

/// The folder that cargo-deny expects the default database in: its name is derived from its address.
const CHECKOUT: &str = "advisory-db-3157b0e258782691";

/// Age in days from which the copy should be replaced.
const OLD_DAYS: i64 = 180;

/// Age in days from which the copy is refused.
const TOO_OLD_DAYS: i64 = 400;

/// Runs all checks.
///
/// # Errors
/// When cargo-deny is missing, when a check finds something, or when the database is too old.
pub(crate) fn run(workspace: &Workspace) -> Result<Notes> {
    setup::require_deny(workspace)?;
    let folder = workspace.target()?.join("advisories");
    let database = unpack(workspace, &folder)?;
    let notes = age(&database)?;
    let config = folder.join("deny.toml");
    let rules = fs::read_to_string(workspace.root().join("deny.toml")).context("deny.toml")?;
    fs::write(&config, with_database(&rules, &folder)).context("target/advisories/deny.toml")?;
    // Fetches the crates of every platform; no request if they are already here.
    workspace::run(workspace.cargo("fetch").arg("--quiet"))?;
    let mut command = workspace.cargo("deny");
    command.arg("--offline").arg("--config").arg(config).args(["check", "--hide-inclusion-graph"]);
    workspace::run(command.args(["licenses", "bans", "sources", "advisories"]))?;
    Ok(notes)
}

/// Unpacks the database where cargo-deny finds it, as the git repository that it expects.
fn unpack(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    let database = folder.join(CHECKOUT);
    let archive = workspace.root().join(ARCHIVE);
    let stamp = folder.join("unpacked-from");
    let content = fs::read(&archive).context(ARCHIVE)?;
    if fs::read(&stamp).is_ok_and(|unpacked| unpacked == content) {
        return Ok(database);
    }
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&database).with_context(|| format!("cannot make {}", database.display()))?;
    workspace::run(workspace.command("tar").arg("-xJf").arg(archive).arg("-C").arg(&database))?;
    let git = |arguments: &[&str]| {
        let mut git = workspace.command("git");
        git.current_dir(&database).args([
            "-c",
            "user.name=xtask",
            "-c",
            "user.email=xtask@localhost",
        ]);
        workspace::capture(git.args(arguments))
    };
    git(&["init", "--quiet"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message", "The committed copy"])?;
    fs::write(stamp, content).context("target/advisories")?;
    Ok(database)
}

/// The date of the newest advisory, for the summary.
fn age(database: &Path) -> Result<Notes> {
    let mut newest = String::new();
    for package in fs::read_dir(database.join("crates")).context(ARCHIVE)? {
        for advisory in fs::read_dir(package.context(ARCHIVE)?.path()).context(ARCHIVE)? {
            let text = fs::read_to_string(advisory.context(ARCHIVE)?.path()).context(ARCHIVE)?;
            newest = newest.max(date(&text).unwrap_or_default().to_owned());
        }
    }
    let published = days(&newest).with_context(|| format!("no date in {ARCHIVE}: {newest:?}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?.as_secs();
    let age = i64::try_from(now / 86_400).context("the clock")? - published;
    ensure!(
        age <= TOO_OLD_DAYS,
        "{ARCHIVE} is {age} days old, more than {TOO_OLD_DAYS}: replace it by a newer state"
    );
    let advice = if age > OLD_DAYS { ": replace the copy soon" } else { "" };
    Ok(vec![format!("advisories as of {newest}, {age} days old{advice}")])
}

/// The date of publication in an advisory's header.
fn date(advisory: &str) -> Option<&str> {
    let value = advisory.lines().find_map(|line| line.strip_prefix("date = \""))?;
    value.strip_suffix('"')
}

/// Days from 1970-01-01 to a date such as `2026-08-20` (the Gregorian calendar, from March on).
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year / 4 - year / 100 + year / 400;
    Some(year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

/// The rules, with the path of the database.
fn with_database(rules: &str, folder: &Path) -> String {
    let path = format!("[advisories]\ndb-path = {:?}", folder.display().to_string());
    rules.replacen("[advisories]", &path, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_the_epoch() {
        assert_eq!(days("1970-01-01"), Some(0));
        assert_eq!(days("2000-02-29"), Some(11_016));
        assert_eq!(days("2026-08-20"), Some(20_685));
        assert_eq!(days("soon"), None);
    }

    #[test]
    fn the_date_is_that_of_the_header() {
        let advisory = "```toml\n[advisory]\nid = \"R\"\ndate = \"2022-08-31\"\n```\n# a\n";
        assert_eq!(date(advisory), Some("2022-08-31"));
        assert_eq!(date("# a"), None);
    }

    #[test]
    fn the_rules_stay_as_they_are_but_for_the_place() {
        let rules = "[bans]\nx = 1\n[advisories]\nyanked = \"deny\"\n";
        let expected = "[bans]\nx = 1\n[advisories]\ndb-path = \"/db\"\nyanked = \"deny\"\n";
        assert_eq!(with_database(rules, Path::new("/db")), expected);
    }
}
