//! C programs, compiled against the header and the shared library as cargo built it, and run
//! against a sandbox; each once directly and once under valgrind.

mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;
use webex_sandbox::{Mobius, Sandbox, Wdm};
use webex_tests::process::Process;

const REGISTER: &str = "examples/c/register.c";
const CONTRACT: &str = "webex-ffi/tests/c/contract.c";
const SAMPLES: &str = "webex-ffi/tests/c/samples.c";

/// What [`CONTRACT`] checks, in its order.
const CLAUSES: &[&str] = &[
    "versions_and_names",
    "bad_options",
    "bad_handles",
    "user_data_is_freed_when_subscribing_fails",
    "unsubscribing_in_a_callback",
    "freeing_the_client_in_a_callback",
    "freeing_with_work_in_flight",
    "cancelling",
    "fetching_events",
    "calling_options",
    "lines_end_with_their_calling_object",
    "a_refused_token",
    "many_threads",
];

/// Reports definite leaks, and every invalid use of memory, as a failure.
const VALGRIND: &[&str] = &[
    "valgrind",
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite",
    "--show-leak-kinds=definite",
    concat!("--suppressions=", env!("CARGO_MANIFEST_DIR"), "/tests/c/valgrind.supp"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_example_registers_and_deregisters() {
    registers_and_deregisters(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_clean_under_valgrind() {
    registers_and_deregisters(VALGRIND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn misuse_is_reported() {
    keeps_the_contract(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn misuse_does_no_harm() {
    keeps_the_contract(VALGRIND).await;
}

/// The samples of the Meetings page and of the Calling page, whose error example is a refused token.
#[tokio::test(flavor = "multi_thread")]
async fn the_samples_of_the_documentation_run_as_written() {
    let cloud = Cloud::start().await;
    let refusal = cloud.sandbox.fail(Mobius::register()).with(401).once();
    let ended = cloud.run(SAMPLES, &[], cloud.sandbox.token()).end();
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(refusal.fired(), 1);
    cloud.is_empty().await;

    let of = |names: &[&str]| -> Vec<String> {
        let told = ended.stdout.iter().filter_map(|line| line.split(' ').next());
        told.filter(|name| names.contains(name)).map(str::to_owned).collect()
    };
    // The program of the Calling page has a Meetings object too, which is ready as well.
    let meetings = of(&["meetings:ready", "meetings:registered", "meetings:unregistered"]);
    assert_eq!(meetings[..3], ["meetings:ready", "meetings:registered", "meetings:unregistered"]);
    let line = of(&["connecting", "error", "registered", "unregistered"]);
    let page = ["connecting", "error", "connecting", "registered", "unregistered"];
    // What comes after it is the end of the program: a shutdown tells that the line is gone already.
    assert_eq!(line[..page.len()], page);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_fails_when_the_token_is_refused() {
    let cloud = Cloud::start().await;
    let token = "not-a-token-of-this-cloud";
    let ended = cloud.run(REGISTER, &[], token).end();
    assert_eq!(ended.code(), 1, "{ended:#?}");
    let completed = ended.stdout.iter().find(|line| line.starts_with("completed"));
    let unauthorized = |line: &String| line.contains(r#""kind":"unauthorized""#);
    assert!(completed.is_some_and(unauthorized), "{ended:#?}");
    assert!(!format!("{ended:?}").contains(token), "the token was printed");
}

async fn registers_and_deregisters(wrapper: &[&str]) {
    let cloud = Cloud::start().await;
    let ended = cloud.run(REGISTER, wrapper, cloud.sandbox.token()).end();
    assert!(ended.status.success(), "{ended:#?}");
    assert!(!format!("{ended:?}").contains(cloud.sandbox.token()), "the token was printed");
    cloud.is_empty().await;
    let devices = cloud.sandbox.requests().of(Wdm::register());
    assert_eq!(devices.last().expect("one").json()["name"], "register.c");

    let place = |name: &str| {
        let place = ended.stdout.iter().position(|line| line.split(' ').next() == Some(name));
        place.unwrap_or_else(|| panic!("no {name}: {ended:#?}"))
    };
    // Events of a call come before its completion.
    let completed = |line: &String| line.starts_with("completed");
    assert_eq!(ended.stdout.iter().filter(|line| completed(line)).count(), 2, "{ended:#?}");
    let last_completed = ended.stdout.iter().rposition(completed).expect("two");
    assert!(place("meetings:registered") < last_completed, "{ended:#?}");
    assert!(place("completed") < place("connecting"), "{ended:#?}");
    assert!(place("connecting") < place("registered"), "{ended:#?}");
    assert!(place("registered") < place("unregistered"), "{ended:#?}");
    assert!(place("unregistered") < place("meetings:unregistered"), "{ended:#?}");

    let line = ended.stdout.iter().find_map(|line| line.strip_prefix("the line is "));
    let line: Value = serde_json::from_str(line.expect("is shown")).expect("JSON");
    assert_eq!((&line["status"], &line["keepaliveInterval"]), (&"active".into(), &30.into()));
}

async fn keeps_the_contract(wrapper: &[&str]) {
    let cloud = Cloud::start().await;
    let mut program = cloud.run(CONTRACT, wrapper, cloud.sandbox.token());
    for clause in CLAUSES {
        program.wait_for(clause, |line| line == *clause);
    }
    let ended = program.end();
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(ended.stdout, CLAUSES);
    cloud.is_empty().await;
}

/// A sandbox, and a folder for a program that uses it.
struct Cloud {
    sandbox: Sandbox,
    folder: TempDir,
}

impl Cloud {
    async fn start() -> Self {
        let sandbox = Sandbox::start().await.expect("the sandbox starts");
        Self { sandbox, folder: tempfile::tempdir().expect("a scratch folder") }
    }

    /// Compiles a program and starts it, directly or as an argument of a wrapper.
    fn run(&self, source: &str, wrapper: &[&str], token: &str) -> Process {
        let ca_file = self.folder.path().join("ca.pem");
        std::fs::write(&ca_file, self.sandbox.ca_pem().expect("TLS")).expect("it is written");
        let program = compile(source, self.folder.path());
        let mut words = wrapper.iter().map(PathBuf::from).chain([program]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).arg(self.sandbox.origin().as_str()).arg(ca_file);
        Process::start(command.env("WEBEX_ACCESS_TOKEN", token))
    }

    /// Waits until nothing of the program is left in the cloud.
    async fn is_empty(&self) {
        let empty = self.sandbox.wait_for(|sandbox| {
            let counts = sandbox.counts();
            (counts.devices, counts.sockets, counts.lines) == (0, 0, 0)
        });
        assert!(empty.await.is_ok(), "left in the cloud: {:?}", self.sandbox.counts());
    }
}

fn compile(source: &str, folder: &Path) -> PathBuf {
    let (root, library, program) = (support::root(), support::library(), folder.join("program"));
    let output = Command::new("cc")
        .args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-g", "-Wall", "-Wextra", "-Wpedantic"])
        .args(["-Werror", "-I"])
        .arg(root.join("include"))
        .arg(root.join(source))
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", library.parent().expect("a folder").display()))
        .args(["-lpthread", "-o"])
        .arg(&program)
        .output()
        .expect("cc is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}
