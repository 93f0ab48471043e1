//! `webex doctor`: each fault of its list is found, and nothing else; nothing is left behind, and what
//! it says can be shown to anybody.

mod support;

use std::{fs, time::Duration};

use serde_json::{Value, json};
use support::{ca_file, webex, webex_command};
use tempfile::TempDir;
use webex_sandbox::{Mercury, Mobius, Outage, Region, Sandbox, U2c, Wdm};
use webex_tests::{anyhost::AnyHost, process::Process, user::assert_empty};

/// A sandbox, and where its certificate is.
struct Bench {
    sandbox: Sandbox,
    folder: TempDir,
    ca: String,
}

/// What a run has said.
struct Said {
    code: i32,
    report: Value,
    stderr: String,
}

impl Bench {
    async fn start() -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = TempDir::new().unwrap();
        let ca = ca_file(&sandbox, &folder);
        Self { sandbox, folder, ca }
    }

    fn begin(&self, token: &str) -> Process {
        let cloud = self.sandbox.origin().as_str();
        webex(["doctor", "--json", "--cloud", cloud, "--ca", &self.ca], Some(token))
    }

    /// Examines the sandbox with its default user's token.
    fn examine(&self) -> Said {
        let said = Said::of(self.begin(self.sandbox.token()));
        assert_empty(&self.sandbox);
        said
    }
}

impl Said {
    fn of(process: Process) -> Self {
        let ended = process.end();
        let report = serde_json::from_str(&ended.stdout.join("\n"));
        let report = report.unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        Self { code: ended.code(), report, stderr: ended.stderr }
    }

    fn check(&self, name: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["check"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {:#}", self.report))
    }

    /// The checks with a verdict.
    fn with(&self, verdict: &str) -> Vec<&str> {
        let checks = self.report["checks"].as_array().unwrap().iter();
        let those = checks.filter(|check| check["verdict"] == verdict);
        those.map(|check| check["check"].as_str().unwrap()).collect()
    }

    /// That just this check has failed, with this code, and everything that was not checked was not
    /// because of it.
    #[track_caller]
    fn assert_found(&self, name: &str, code: i32, says: &str) {
        assert_eq!(self.with("failed"), [name], "{:#}", self.report);
        assert_eq!(self.with("warning"), Vec::<&str>::new(), "{:#}", self.report);
        assert_eq!((self.code, &self.report["exitCode"]), (code, &json!(code)), "{}", self.stderr);
        let check = self.check(name);
        let detail = check["detail"].as_str().unwrap();
        assert!(detail.contains(says), "no `{says}` in: {detail}");
        assert!(check["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{check}");
        for skipped in self.with("not checked") {
            assert_eq!(self.check(skipped)["because"], name, "{:#}", self.report);
        }
        assert!(self.stderr.contains(&format!("failed: {name}")), "{}", self.stderr);
    }
}

const ALL: [&str; 17] = [
    "proxy",
    "dns",
    "connection",
    "tls",
    "clock",
    "token",
    "catalog",
    "wdm",
    "mercury",
    "mobius",
    "mobius-primary-1",
    "mobius-primary-2",
    "mobius-backup-1",
    "mobius-backup-2",
    "device-limit",
    "registration",
    "left",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_cloud_passes_and_is_left_empty() {
    let bench = Bench::start().await;
    let said = bench.examine();
    assert_eq!(said.code, 0, "{:#}", said.report);
    println!("{:#}", said.report);
    assert_eq!(said.with("ok"), ALL, "{:#}", said.report);
    assert!(bench.sandbox.requests().of(Mobius::register()).count() == 1, "a line was tried");
}

macro_rules! finds {
    ($($name:ident: $fault:expr => $check:literal, $code:literal, $says:literal;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let bench = Bench::start().await;
            let fault: fn(&Sandbox) -> _ = $fault;
            let _fault = fault(&bench.sandbox);
            bench.examine().assert_found($check, $code, $says);
        })*
    };
}

finds! {
    a_wrong_clock: |s| s.set_clock_skew(-86_400) => "clock", 2, "s ahead of the cloud's";
    a_slow_clock: |s| s.set_clock_skew(86_400) => "clock", 2, "s behind the cloud's";
    a_revoked_token: |s| s.revoke_token(s.token()) => "token", 3, "401";
    an_expired_token: |s| s.expire_token(s.token()) => "token", 3, "401";
    a_failing_catalog: |s| s.fail(U2c::postauth()).with(503).always() => "catalog", 10, "503";
    a_failing_wdm: |s| s.fail(Wdm::register()).with(503).always() => "wdm", 10, "503";
    a_user_without_devices: |s| s.fail(Wdm::register()).with(403).always() => "wdm", 9, "403";
    a_refused_socket: |s| s.fail(Mercury::connect()).with(403).always() => "mercury", 9, "refused";
    a_failing_socket: |s| s.fail(Mercury::connect()).with(503).always() => "mercury", 10, "503";
    failing_discovery: |s| s.fail(Mobius::discovery()).with(503).always() => "mobius", 10, "503";
    a_primary_that_is_down: |s| s.down("primary-1") => "mobius-primary-1", 4, "127.0.0.1";
    another_primary_that_is_down: |s| s.down("primary-2") => "mobius-primary-2", 4, "127.0.0.1";
    a_backup_that_is_down: |s| s.down("backup-1") => "mobius-backup-1", 4, "127.0.0.1";
    a_user_who_may_not_call: |s| s.fail(Mobius::register()).with(403)
        .body(json!({"errorCode": 102})).always() => "registration", 9, "403";
    a_registration_that_fails: |s| s.fail(Mobius::register()).with(503).always()
        => "registration", 10, "503";
    too_many_lines: |s| s.mobius_policy(|it| it.line_limit = Some(0)) => "device-limit", 7, "limit";
    too_many_devices: |s| s.wdm_policy(|it| it.device_limit = 0) => "device-limit", 7, "devices";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_is_found_in_bounded_time() {
    let bench = Bench::start().await;
    bench.sandbox.instance("backup-2", |it| (it.down, it.outage) = (true, Outage::Hang));
    bench.examine().assert_found("mobius-backup-2", 4, "did not answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_certificate() {
    let bench = Bench::start().await;
    let cloud = bench.sandbox.origin().as_str();
    let said = Said::of(webex(["doctor", "--json", "--cloud", cloud], Some(bench.sandbox.token())));
    said.assert_found("tls", 8, "issued by \"");
    let advice = said.check("tls")["advice"].as_str().unwrap();
    assert!(advice.contains("--ca") && advice.contains("clock"), "{advice}");
    assert_eq!(said.check("connection")["verdict"], "ok");
    assert!(bench.sandbox.requests().is_empty(), "nothing was sent there");
}

#[test]
fn a_name_that_does_not_resolve() {
    let cloud = "https://cloud.example.invalid";
    let said = Said::of(webex(["doctor", "--json", "--cloud", cloud], Some("some-token")));
    said.assert_found("dns", 4, "cloud.example.invalid");
}

#[test]
fn nobody_listens() {
    let cloud = "https://127.0.0.1:1";
    let said = Said::of(webex(["doctor", "--json", "--cloud", cloud], Some("some-token")));
    said.assert_found("connection", 4, "refused");
}

/// The production cloud behind a proxy that takes every host to the sandbox.
fn proxied(bench: &Bench, variables: &[(&str, &str)]) -> Said {
    let arguments = ["doctor", "--json", "--ca", &bench.ca];
    let mut command = webex_command(arguments, Some(bench.sandbox.token()));
    command.envs(variables.iter().copied());
    Said::of(Process::start(&mut command))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_named_and_whatever_is_wrong_with_it() {
    let bench = Bench::start().await;
    let target = bench.sandbox.origin().socket_addrs(|| None).unwrap()[0];
    let open = AnyHost::start(target, None);
    let said = proxied(&bench, &[("HTTPS_PROXY", &open.address())]);
    assert_eq!(said.with("ok"), ALL, "{:#}", said.report);
    assert!(said.check("proxy")["detail"].as_str().unwrap().contains(&open.address()));

    let closed = AnyHost::start(target, Some("Basic YW5uOnBhc3Mtd29yZA=="));
    let wrong = format!("http://ann:other-word@{}", closed.address());
    let said = proxied(&bench, &[("HTTPS_PROXY", &wrong)]);
    said.assert_found("proxy", 2, &closed.address());
    assert!(!said.report.to_string().contains("other-word"));
    proxied(&bench, &[("ALL_PROXY", "127.0.0.1:1")]).assert_found("proxy", 4, "127.0.0.1:1");
    let said = proxied(&bench, &[("HTTPS_PROXY", "socks5://127.0.0.1:1")]);
    said.assert_found("proxy", 2, "HTTPS_PROXY");
    assert_empty(&bench.sandbox);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_the_network_is_judged_all_the_same() {
    let bench = Bench::start().await;
    let cloud = bench.sandbox.origin().as_str();
    let said = Said::of(webex(["doctor", "--json", "--cloud", cloud, "--ca", &bench.ca], None));
    said.assert_found("token", 3, "nobody is signed in");
    assert_eq!(said.with("ok"), ["proxy", "dns", "connection", "tls", "clock", "left"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_something_else_is_told_by_its_scopes() {
    let bench = Bench::start().await;
    let (cloud, store) = (bench.sandbox.origin().as_str(), bench.folder.path().join("store"));
    let store = store.to_str().unwrap();
    let sign_in = |scopes| {
        let arguments = ["login", "--cloud", cloud, "--ca", &bench.ca, "--store", store];
        let ended = webex(arguments.into_iter().chain(["--scope", scopes]), None).end();
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        Said::of(webex(["doctor", "--json", "--store", store], None))
    };
    let said = sign_in("spark:people_read");
    said.assert_found("token", 3, "lacks spark:all");
    assert_eq!(said.with("ok").len(), ALL.len() - 1, "everything else was judged");
    let said = sign_in("spark:all spark:kms");
    assert_eq!((said.code, said.with("warning")), (0, vec!["token"]), "{:#}", said.report);

    let file = fs::read_dir(store).unwrap().map(Result::unwrap);
    let tokens = file.map(|it| it.path()).find(|it| it.to_str().unwrap().contains("tokens"));
    fs::write(tokens.unwrap(), "{").unwrap();
    let said = Said::of(webex(["doctor", "--json", "--store", store], None));
    said.assert_found("token", 5, "damaged");
    assert_empty(&bench.sandbox);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_calling_is_told_and_not_failed() {
    let bench = Bench::start().await;
    let nothing = json!({"serviceLinks": {"mobius": null}, "hostCatalog": null});
    bench.sandbox.fail(U2c::postauth()).merge(nothing).always();
    let said = bench.examine();
    assert_eq!((said.code, said.with("warning")), (0, vec!["mobius"]), "{:#}", said.report);
    assert_eq!(said.check("registration")["because"], "mobius");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_region_is_a_warning() {
    let bench = Bench::start().await;
    bench.sandbox.fail(Region::lookup()).with(500).always();
    let said = bench.examine();
    assert_eq!((said.code, said.with("warning")), (0, vec!["mobius"]), "{:#}", said.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_anywhere_it_leaves_nothing() {
    let bench = Bench::start().await;
    for operation in [Wdm::register(), Mercury::connect(), Mobius::discovery(), Mobius::register()]
    {
        let fault = bench.sandbox.fail(operation).delay(Duration::from_secs(1)).always();
        let doctor = bench.begin(bench.sandbox.token());
        bench.sandbox.wait_for(|_| fault.fired() > 0).await.unwrap();
        doctor.signal("INT");
        let said = Said::of(doctor);
        fault.clear();
        assert_eq!(said.code, 1, "{operation:?}: {:#}", said.report);
        assert!(said.stderr.contains("interrupted"), "{}", said.stderr);
        assert_eq!(said.check("left")["verdict"], "ok", "{operation:?}: {:#}", said.report);
        assert_empty(&bench.sandbox);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_confirmed_to_be_gone_is_told() {
    let bench = Bench::start().await;
    bench.sandbox.fail(Wdm::unregister()).with(503).always();
    let said = Said::of(bench.begin(bench.sandbox.token()));
    said.assert_found("left", 1, "deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_says_can_be_shown_to_anybody() {
    let bench = Bench::start().await;
    let user = bench.sandbox.user();
    // A service that tells everything it knows.
    let message = format!(
        "{} ({}, {}) of {} may not use {}.",
        user.display_name, user.email, user.phone_number, user.org_id, user.extension
    );
    bench.sandbox.fail(Mobius::discovery()).with(403).body(json!({"message": message})).always();
    let cloud = bench.sandbox.origin().as_str();
    let arguments = ["doctor", "--cloud", cloud, "--ca", &bench.ca];
    let people = webex(arguments, Some(bench.sandbox.token())).end();
    let text = format!("{}\n{}", people.stdout.join("\n"), people.stderr);
    assert!(text.contains("failed       mobius") && text.contains("→"), "{text}");
    for form in [text, bench.examine().report.to_string()] {
        let token = bench.sandbox.token().split('_').next().unwrap();
        for private in [&*user.id, &user.display_name, &user.email, &user.org_id, token] {
            assert!(!form.contains(private), "{private} in {form}");
        }
        let mut words = form.split(|c: char| !c.is_alphanumeric());
        assert!(words.all(|word| word != user.extension), "{form}");
        assert!(form.contains("may not use #"), "the rest of the message stays: {form}");
        assert!(form.contains(&user.org_id[..8]), "the beginning of the organisation's id: {form}");
    }
}
