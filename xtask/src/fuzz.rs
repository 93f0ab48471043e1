//! `cargo xtask fuzz [target] [--minutes N] [--jobs N] [--keep]`: runs a fuzz target, or all of them.
//!
//! What the targets do stands in each crate's `fuzzing` module; ordinary tests run the same on the corpus,
//! `fuzz/corpus`. One program holds every target, built by plain cargo with the pinned compiler. What the
//! fuzzer finds goes to `target/fuzz`; `--keep` puts what reaches new code into the corpus.
//!
//! There are two builds of it. With `--minutes` it has the address sanitizer and follows the libraries too;
//! it has a target folder of its own then, and takes minutes to build. Without, as in the gate, it follows
//! our own crates only, and uses what the tests have built of the libraries: the compiler is called through
//! xtask, which adds the flags.

use std::{
    env,
    ffi::OsString,
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Mutex,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::workspace::{self, Notes, Workspace};

/// Default time of each target: enough to see that it works.
const SMOKE: Duration = Duration::from_secs(3);

/// Limit of an input, bytes.
const MAX_LEN: u32 = 16 * 1024;

/// Longest time one input may take, seconds. Under the sanitizer everything takes several times longer.
const INPUT_TIMEOUT: u32 = 20;

/// Most memory a target may take, MiB, the sanitizer's own included.
const MEMORY: u32 = 2048;

/// When set, xtask is called in place of the compiler.
pub(crate) const AS_COMPILER: &str = "WEBEX_FUZZ_COMPILER";

/// What cargo-fuzz gives the compiler too: counters at every edge, and the operands of comparisons.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// Beside these, for long runs: every access to memory is checked. Not stable, so it has to be allowed.
const SANITIZER: &str = "-Zsanitizer=address";

/// What the command line asks for.
struct Options {
    target: Option<String>,
    /// Whether it is a long run.
    minutes: bool,
    time: Duration,
    jobs: NonZero<usize>,
    keep: bool,
}

/// The program with all targets, and where their files are.
struct Fuzzer {
    program: PathBuf,
    corpus: PathBuf,
    /// Below `target`: what was found, inputs that fail, logs.
    scratch: PathBuf,
}

/// What one target did.
#[derive(Debug, PartialEq, Eq, Default)]
struct Figures {
    executions: u64,
    edges: u64,
}

/// Runs the target of the first argument, or all.
///
/// # Errors
/// When there is no such target, the program cannot be built, or an input fails.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let options = options(arguments)?;
    let mut names = targets(workspace)?;
    if let Some(wanted) = &options.target {
        ensure!(names.contains(wanted), "no target `{wanted}`; there are: {}", names.join(", "));
        names.retain(|name| name == wanted);
    }
    let fuzzer =
        if options.minutes { build_checked(workspace)? } else { build_quickly(workspace)? };
    let figures = fuzzer.run_all(&names, options.time, options.jobs)?;
    if options.keep {
        for name in &names {
            fuzzer.keep(name)?;
        }
    }
    for (name, Figures { executions, edges }) in figures {
        println!("{name:<20} {executions:>12} executions {edges:>7} edges");
    }
    Ok(())
}

/// A few seconds of each target, from the committed corpus: part of the gate.
///
/// # Errors
/// As [`run`].
pub(crate) fn smoke(workspace: &Workspace) -> Result<Notes> {
    let names = targets(workspace)?;
    let fuzzer = build_quickly(workspace)?;
    let figures = fuzzer.run_all(&names, SMOKE, jobs())?;
    let executions: u64 = figures.iter().map(|(_, figures)| figures.executions).sum();
    println!("{} fuzz targets, {executions} executions", figures.len());
    Ok(Notes::new())
}

fn options(arguments: &[OsString]) -> Result<Options> {
    let mut options =
        Options { target: None, minutes: false, time: SMOKE, jobs: jobs(), keep: false };
    let mut parser = lexopt::Parser::from_args(arguments.iter().cloned());
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("minutes") => {
                let minutes: u64 = lexopt::ValueExt::parse(&parser.value()?)?;
                options.minutes = true;
                options.time = Duration::from_secs(minutes.saturating_mul(60));
            }
            lexopt::Arg::Long("jobs") => {
                options.jobs = lexopt::ValueExt::parse(&parser.value()?)?;
            }
            lexopt::Arg::Long("keep") => options.keep = true,
            lexopt::Arg::Value(name) if options.target.is_none() => {
                options.target = Some(name.to_string_lossy().into_owned());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn jobs() -> NonZero<usize> {
    thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// The names of all targets: each has a corpus, as the tests of the crates make sure.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root().join("fuzz/corpus");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    ensure!(!names.is_empty(), "{} is empty", folder.display());
    Ok(names)
}

/// The program for long runs, in a target folder of its own: nothing else is built with these flags.
fn build_checked(workspace: &Workspace) -> Result<Fuzzer> {
    let scratch = workspace.target()?.join("fuzz");
    let host = host(workspace)?;
    let mut command = workspace.cargo("build");
    command.args(["--locked", "--profile", "fuzz", "-p", "webex-fuzz", "--features", "fuzzer"]);
    // With a target named, build scripts and macros are built without the flags.
    command.args(["--target", &host]).arg("--target-dir").arg(&scratch);
    let flags = [FLAGS, &[SANITIZER]].concat().join("\x1f");
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", flags);
    workspace::run(&mut command)?;
    Ok(Fuzzer::new(workspace, &scratch.join(host).join("fuzz"), scratch))
}

/// The gate's program: our crates with the flags, the libraries as the tests have them.
fn build_quickly(workspace: &Workspace) -> Result<Fuzzer> {
    let target = workspace.target()?;
    let mut command = workspace.cargo("build");
    // The test kit is chosen too, but not built: with it, the libraries have the tests' features.
    command.args(["--locked", "-p", "webex-fuzz", "-p", "webex-tests", "--bin", "every"]);
    command.args(["--features", "webex-fuzz/fuzzer"]);
    let wrapper = env::current_exe().context("xtask knows its path")?;
    command.env("RUSTC_WORKSPACE_WRAPPER", wrapper).env(AS_COMPILER, "1");
    workspace::run(&mut command)?;
    Ok(Fuzzer::new(workspace, &target.join("debug"), target.join("fuzz/quick")))
}

/// The compiler, called by cargo through xtask for each crate of the workspace.
///
/// # Errors
/// When there is no compiler to call.
pub(crate) fn compile() -> Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let compiler = arguments.next().context("cargo names the compiler")?;
    let arguments: Vec<OsString> = arguments.collect();
    let mut command = Command::new(compiler);
    command.args(&arguments);
    // Not when cargo asks for the version.
    if arguments.iter().any(|argument| argument == "--crate-name") {
        command.args(FLAGS);
    }
    let status = command.status().context("the compiler")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The machine's own triple.
fn host(workspace: &Workspace) -> Result<String> {
    let text = workspace::capture(workspace.command("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

impl Fuzzer {
    fn new(workspace: &Workspace, built: &Path, scratch: PathBuf) -> Self {
        let program = built.join(format!("every{}", env::consts::EXE_SUFFIX));
        Self { program, corpus: workspace.root().join("fuzz/corpus"), scratch }
    }

    /// Runs these targets, so many side by side.
    fn run_all(
        &self,
        names: &[String],
        time: Duration,
        jobs: NonZero<usize>,
    ) -> Result<Vec<(String, Figures)>> {
        let waiting = Mutex::new(names.iter());
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..jobs.get() {
                scope.spawn(|| {
                    loop {
                        let next = waiting.lock().expect("no worker panics").next();
                        let Some(name) = next else { break };
                        let result = self.run_one(name, time);
                        done.lock().expect("no worker panics").push((name.clone(), result));
                    }
                });
            }
        });
        let mut done = done.into_inner().expect("no worker panics");
        done.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut failures = Vec::new();
        let mut figures = Vec::new();
        for (name, result) in done {
            match result {
                Ok(of_target) => figures.push((name, of_target)),
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(figures)
    }

    fn run_one(&self, name: &str, time: Duration) -> Result<Figures> {
        let found = self.found(name);
        let artifacts = self.scratch.join("artifacts").join(name);
        for folder in [&found, &artifacts, &self.scratch.join("logs")] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let log = self.scratch.join("logs").join(format!("{name}.log"));
        println!("fuzz {name}: {} s", time.as_secs());
        let mut command = self.command(name);
        command.arg(format!("-max_total_time={}", time.as_secs()));
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.arg("-print_final_stats=1").arg(found).arg(self.corpus.join(name));
        let output = fs::File::create(&log).with_context(|| log.display().to_string())?;
        command.stdout(output.try_clone()?).stderr(output);
        let status = command.status().with_context(|| self.program.display().to_string())?;
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        ensure!(
            status.success(),
            "fuzz {name}: {status}; the whole of it is in {}, the input in {}\n{}",
            log.display(),
            artifacts.display(),
            tail(&text, 30),
        );
        figures(&text).with_context(|| format!("fuzz {name}: no figures in {}", log.display()))
    }

    /// Adds to the corpus what was found and reaches code that the corpus does not.
    fn keep(&self, name: &str) -> Result<()> {
        let mut command = self.command(name);
        // The fewest inputs, and edges only: how often each is taken makes a corpus of thousands of files.
        command.args(["-set_cover_merge=1", "-use_counters=0"]);
        command.arg(self.corpus.join(name)).arg(self.found(name));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        workspace::run(&mut command)
    }

    fn found(&self, name: &str) -> PathBuf {
        self.scratch.join("found").join(name)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env("WEBEX_FUZZ_TARGET", name).stdin(Stdio::null());
        command.current_dir(self.program.parent().unwrap_or(Path::new(".")));
        command.arg(format!("-max_len={MAX_LEN}")).arg(format!("-timeout={INPUT_TIMEOUT}"));
        command.arg(format!("-rss_limit_mb={MEMORY}"));
        command
    }
}

/// What the fuzzer says at its end, and the edges of its last line of progress.
fn figures(log: &str) -> Option<Figures> {
    let number = |text: &str| text.split_whitespace().next()?.parse().ok();
    let after = |mark: &str| {
        log.lines().rev().find_map(|line| line.split_once(mark).and_then(|(_, rest)| number(rest)))
    };
    Some(Figures { executions: after("stat::number_of_executed_units:")?, edges: after(" cov: ")? })
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_log() {
        let log = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                   #900\tNEW    cov: 57 ft: 60 corp: 9/80b lim: 4 exec/s: 0 rss: 31Mb\n\
                   Done 1234 runs in 3 second(s)\nstat::number_of_executed_units: 1234\n";
        assert_eq!(figures(log), Some(Figures { executions: 1_234, edges: 57 }));
        assert_eq!(figures("ERROR: no interesting inputs were found"), None);
    }

    #[test]
    fn every_corpus_belongs_to_a_target() {
        let workspace = Workspace::find().unwrap();
        let sources: String = ["auth", "calling", "core", "ffi"]
            .map(|name| workspace.root().join(format!("webex-{name}/src/fuzzing.rs")))
            .map(|path| fs::read_to_string(path).unwrap())
            .concat();
        for name in targets(&workspace).unwrap() {
            assert!(sources.contains(&format!("(\"{name}\", ")), "{name}");
        }
    }

    #[test]
    fn an_unknown_target_names_those_there_are() {
        let error = run(&Workspace::find().unwrap(), &["no-such".into()]).unwrap_err();
        assert!(error.to_string().contains("mercury_frame"), "{error}");
    }
}
