//! `webex login`, `whoami`, `token` and `logout`, as a user runs them against a sandbox.

mod support;

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use support::{browser::open, webex};
use tempfile::TempDir;
use webex_sandbox::{OAuth, OAuthClient, Sandbox, Wdm};
use webex_tests::process::Ended;

/// A sandbox in plain HTTP, and the directory of a sign-in.
struct Bench {
    sandbox: Sandbox,
    folder: TempDir,
}

impl Bench {
    async fn start() -> Self {
        let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
        Self { sandbox, folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn store(&self) -> String {
        self.path("store")
    }

    /// Runs a command to its end, off the runtime that the sandbox runs on.
    async fn run(&self, arguments: &[&str]) -> Ended {
        let store = self.store();
        let mut all: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        all.extend(["--store".to_owned(), store]);
        let run = move || webex(all.iter().map(String::as_str), None).end();
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    async fn login(&self) {
        let cloud = self.sandbox.origin().as_str().to_owned();
        let ended = self.run(&["login", "--cloud", &cloud]).await;
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
    }

    async fn token(&self) -> String {
        let ended = self.run(&["token"]).await;
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        ended.stdout.last().unwrap().clone()
    }
}

#[cfg(unix)]
fn assert_private(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;

    for file in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

#[cfg(not(unix))]
fn assert_private(_: &Path) {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_lasts_from_login_to_logout() {
    let bench = Bench::start().await;
    let nobody = bench.run(&["whoami"]).await;
    assert_eq!(nobody.code(), 3);
    assert!(nobody.stderr.contains("run `webex login`"), "{}", nobody.stderr);

    bench.login().await;
    assert_private(Path::new(&bench.store()));

    let whoami = bench.run(&["whoami", "--json"]).await;
    assert_eq!(whoami.code(), 0, "{}", whoami.stderr);
    let person: Value = serde_json::from_str(whoami.stdout.last().unwrap()).unwrap();
    let user = bench.sandbox.user();
    assert_eq!(person["emails"][0], *user.email);
    assert_eq!(person["displayName"], *user.display_name);
    assert!(person["scope"].as_str().unwrap().contains("spark:webrtc_calling"), "{person}");
    assert!(person["expiresAt"].as_str().unwrap().ends_with('Z'), "{person}");
    let text = bench.run(&["whoami"]).await;
    assert!(text.stdout.iter().any(|line| line.contains(&*user.email)), "{:?}", text.stdout);

    let token = bench.token().await;
    assert_eq!(bench.token().await, token, "no refresh without need");
    // The token is revoked: the next command that needs one renews it.
    bench.sandbox.revoke_token(&token);
    assert_eq!(bench.run(&["whoami"]).await.code(), 0);
    let renewed = bench.run(&["token", "--json"]).await;
    let renewed: Value = serde_json::from_str(renewed.stdout.last().unwrap()).unwrap();
    assert_ne!(renewed["access_token"], *token);
    assert_eq!(renewed["token_type"], "Bearer");

    // Other commands use the sign-in too.
    bench.sandbox.revoke_token(renewed["access_token"].as_str().unwrap());
    let store = bench.store();
    let mut register = webex(["register", "--meetings", "--json", "--store", &store], None);
    register.wait_for_event("meetings:registered");
    register.signal("INT");
    let register = tokio::task::spawn_blocking(move || register.end()).await.unwrap();
    assert_eq!(register.code(), 0, "{}", register.stderr);
    let events = ["meetings:ready", "meetings:registered", "meetings:unregistered"];
    assert_eq!(register.events("meetings"), events);
    assert_eq!(bench.sandbox.requests().of(Wdm::register()).by(user).count(), 1);

    let before = bench.sandbox.identity().live_tokens(user);
    let logout = bench.run(&["logout"]).await;
    assert_eq!(logout.code(), 0, "{}", logout.stderr);
    assert_eq!(bench.sandbox.identity().live_tokens(user), before - 1);
    assert_eq!(bench.sandbox.requests().of(OAuth::revoke()).count(), 2);
    assert_eq!(bench.run(&["token"]).await.code(), 3);
    let left = fs::read_dir(bench.store()).unwrap().map(Result::unwrap);
    let left: Vec<_> = left.filter(|file| file.metadata().unwrap().len() > 0).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_integration_signs_in_with_the_browser() {
    let bench = Bench::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redirect = format!("http://127.0.0.1:{port}/callback");
    let app = OAuthClient::confidential("my-app", "the-secret-of-my-app");
    bench.sandbox.identity().add_client(app.redirect_uri(&redirect));
    let (store, secret) = (bench.store(), bench.path("secret"));
    fs::write(&secret, "the-secret-of-my-app\n").unwrap();
    let mut login = webex(
        [
            "login",
            "--client-id",
            "my-app",
            "--client-secret-file",
            &secret,
            "--redirect-uri",
            &redirect,
            "--scope",
            "spark:calls_read spark:people_read",
            "--no-browser",
            "--cloud",
            bench.sandbox.origin().as_str(),
            "--store",
            &store,
        ],
        None,
    );
    let link = login.wait_for("link", |line| line.contains("/v1/authorize?"));
    let (status, location, _) = open(link.trim()).await;
    assert_eq!(status, 302);
    let (status, _, page) = open(&location.unwrap()).await;
    assert_eq!(status, 200);
    assert!(page.contains("You are signed in"), "{page}");
    let ended = tokio::task::spawn_blocking(move || login.end()).await.unwrap();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let shown = format!("{:?}{}", ended.stdout, ended.stderr);
    assert!(!shown.contains("the-secret-of-my-app"), "{shown}");

    let whoami = bench.run(&["whoami", "--json"]).await;
    let person: Value = serde_json::from_str(whoami.stdout.last().unwrap()).unwrap();
    assert_eq!(person["scope"], "spark:calls_read spark:people_read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_shows_a_code_and_waits() {
    let bench = Bench::start().await;
    let store = bench.store();
    let cloud = bench.sandbox.origin().as_str();
    let mut login = webex(["login", "--device", "--cloud", cloud, "--store", &store], None);
    let line = login.wait_for("code", |line| line.contains("enter the code"));
    let code = line.rsplit(' ').next().unwrap().to_owned();
    assert!(bench.sandbox.identity().approve_device(&code, bench.sandbox.user()));
    let ended = tokio::task::spawn_blocking(move || login.end()).await.unwrap();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_eq!(bench.run(&["whoami"]).await.code(), 0);

    let mut login = webex(["login", "--device", "--cloud", cloud, "--store", &store], None);
    let line = login.wait_for("code", |line| line.contains("enter the code"));
    bench.sandbox.identity().deny_device(line.rsplit(' ').next().unwrap());
    let ended = tokio::task::spawn_blocking(move || login.end()).await.unwrap();
    assert_eq!(ended.code(), 3);
    assert!(ended.stderr.contains("refused"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_at_any_level_shows_a_secret() {
    let bench = Bench::start().await;
    let cloud = bench.sandbox.origin().as_str().to_owned();
    let mut logs = String::new();
    for command in [&["login", "--cloud", &cloud][..], &["whoami"], &["token"], &["logout"]] {
        let mut secrets = vec![OAuthClient::DEFAULT_SECRET.to_owned()];
        secrets.extend(stored_secrets(Path::new(&bench.store())));
        let ended = bench.run(&[&["--log", "trace"], command].concat()).await;
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        secrets.extend(stored_secrets(Path::new(&bench.store())));
        for secret in &secrets {
            assert!(!ended.stderr.contains(secret), "a secret in the log of {command:?}");
        }
        assert!(secrets.len() > 2, "there is something to look for");
        logs += &ended.stderr;
    }
    assert!(logs.contains("asking the authorization server"), "{logs}");
}

/// The access and the refresh token of a sign-in.
fn stored_secrets(directory: &Path) -> Vec<String> {
    let Ok(file) = fs::read_to_string(directory.join("tokens.secret")) else { return Vec::new() };
    let json: Value = serde_json::from_str(file.split_once('\n').unwrap().1).unwrap();
    ["access_token", "refresh_token"].map(|name| json[name].as_str().unwrap().to_owned()).into()
}

#[test]
fn without_anything_it_signs_in_to_a_sandbox_of_its_own() {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store");
    let ended = webex(["login", "--store", store.to_str().unwrap()], None).end();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stdout.iter().any(|line| line.contains("signed in as")), "{:?}", ended.stdout);
    assert!(!store.exists(), "nothing is kept of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_shown_on_a_terminal_only_when_forced() {
    let bench = Bench::start().await;
    bench.login().await;
    // `script` runs a command on a terminal of its own.
    let on_terminal = |more: &'static str| {
        let command =
            format!("{} token --store {} {more}", env!("CARGO_BIN_EXE_webex"), bench.store());
        tokio::task::spawn_blocking(move || {
            let output = Command::new("script")
                .args(["-q", "-e", "-c", &command, "/dev/null"])
                .stdin(std::process::Stdio::null())
                .output()
                .expect("`script` is needed: `apt-get install bsdutils`");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.code(), text)
        })
    };
    let (code, text) = on_terminal("").await.unwrap();
    let token = bench.token().await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--force") && !text.contains(&token));
    let (code, text) = on_terminal("--force").await.unwrap();
    assert_eq!(code, Some(0));
    assert!(text.contains(&token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_reported_with_their_exit_code() {
    let bench = Bench::start().await;
    let cloud = bench.sandbox.origin().as_str().to_owned();
    let elsewhere = ["login", "--client-id", "x", "--redirect-uri", "https://app.example/cb"];
    assert_eq!(bench.run(&elsewhere).await.code(), 2);
    let bad = ["login", "--cloud", "nowhere"];
    assert_eq!(bench.run(&bad).await.code(), 2);

    bench.login().await;
    bench.sandbox.identity().revoke_all(bench.sandbox.user());
    let ended = bench.run(&["whoami"]).await;
    assert_eq!(ended.code(), 3, "{}", ended.stderr);
    let ended = bench.run(&["token"]).await;
    assert_eq!(ended.code(), 3);
    assert!(ended.stderr.contains("run `webex login`"), "{}", ended.stderr);

    bench.sandbox.shutdown().await;
    let folder = bench.folder;
    let store = folder.path().join("other");
    let login =
        move || webex(["login", "--cloud", &cloud, "--store", store.to_str().unwrap()], None).end();
    let ended = tokio::task::spawn_blocking(login).await.unwrap();
    assert_eq!(ended.code(), 4, "{}", ended.stderr);
}
