//! Stores that several processes share: one of them renews, none loses a token, and a process that
//! is killed at any point does no damage.
//!
//! The other processes are this test program, started again for the one test [`child`] with its role
//! in the environment.

#[cfg(feature = "redis")]
#[path = "common/redis.rs"]
mod redis_server;
#[path = "common/wire.rs"]
mod wire;

use std::{
    collections::HashSet,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use secrecy::{ExposeSecret, SecretString};
use webex_auth::{
    Credentials, DirectoryStore, Integration, OAuthEndpoints, ReqwestHttp, Store, TokenSet, Tokens,
};
use webex_sandbox::{OAuth, OAuthClient, Sandbox};
use webex_tests::leak::LeakCheck;

use wire::{Cloud, client};

const ROLE: &str = "WEBEX_AUTH_TEST_ROLE";
const STORE: &str = "WEBEX_AUTH_TEST_STORE";
const ARGUMENT: &str = "WEBEX_AUTH_TEST_ARGUMENT";

/// Processes that ask at the same time, and tasks in each.
const PROCESSES: usize = 20;
const TASKS: usize = 50;

/// Another process. Its messages are the lines that begin with `@`; the rest comes from the test harness.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(role: &str, store: &str, argument: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(STORE, store)
            .env(ARGUMENT, argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// Its next message; `None` when it has ended.
    fn says(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // A line cut off by a kill does not count.
            if let Some((_, said)) = line.split_once('@').filter(|_| line.ends_with('\n')) {
                return Some(said.trim_end().to_owned());
            }
        }
    }

    fn go(&mut self) {
        writeln!(self.input, "go").unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

fn say(text: impl std::fmt::Display) {
    println!("@{text}");
    std::io::stdout().flush().unwrap();
}

fn wait_for_go() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// The work of the other processes. Does nothing in an ordinary run of the tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    let (store, argument) = (env::var(STORE).unwrap(), env::var(ARGUMENT).unwrap());
    match role.as_str() {
        "writer" => write_for_ever(&store, argument.parse().unwrap()).await,
        "asker" => ask(&store, &argument).await,
        other => panic!("no such role: {other}"),
    }
}

/// A value that is long enough to be written in more than one piece.
fn numbered(number: u64) -> SecretString {
    SecretString::from(format!("{number}:{}", "x".repeat(60_000 + (number % 7) as usize)))
}

async fn write_for_ever(store: &str, mut number: u64) {
    let store = DirectoryStore::new(store);
    loop {
        number += 1;
        store.save("tokens", numbered(number)).await.unwrap();
        say(number);
    }
}

async fn ask(store: &str, origin: &str) {
    let leaks = LeakCheck::install([OAuthClient::DEFAULT_SECRET]);
    let json = open(store).load("ada").await.unwrap().unwrap();
    let stored = TokenSet::from_json(json.expose_secret()).unwrap();
    leaks.add(stored.access_token().expose());
    leaks.add(stored.expose_refresh_token().unwrap());
    let tokens = tokens(open(store), &origin.parse().unwrap());
    say("ready");
    wait_for_go();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { tokens.token().await.unwrap() })
        })
        .collect();
    let mut seen = HashSet::new();
    for task in tasks {
        seen.insert(task.await.unwrap().expose().to_owned());
    }
    for token in seen {
        say(Sandbox::fingerprint(&token));
    }
}

/// A store by its address.
fn open(address: &str) -> Arc<dyn Store> {
    #[cfg(feature = "redis")]
    if address.starts_with("redis:") {
        let store = webex_auth::RedisStore::new(address, "webex:").unwrap();
        return Arc::new(store.lease(redis::LEASE));
    }
    Arc::new(DirectoryStore::new(address))
}

fn tokens(store: Arc<dyn Store>, origin: &url::Url) -> Tokens {
    let integration = Integration::builder(OAuthClient::DEFAULT_ID)
        .secret(OAuthClient::DEFAULT_SECRET)
        .endpoints(OAuthEndpoints::api(&origin.join("/v1").unwrap()))
        .build();
    let http = ReqwestHttp::from_builder(client()).unwrap();
    Tokens::builder(Credentials::stored(integration))
        .http(Arc::new(http))
        .store(store, "ada")
        .build()
        .unwrap()
}

/// Tokens of the sandbox that have expired according to their own data.
async fn expired(cloud: &Cloud) -> TokenSet {
    let set = cloud.sign_in().await;
    let then = SystemTime::now() - Duration::from_hours(2);
    set.issued_at(then).expires_in(Duration::from_hours(1))
}

/// Twenty processes with fifty tasks each ask for a token that has just expired.
async fn one_refresh_for_all(address: &str) {
    let cloud = Cloud::with(|policy| policy.rotate_refresh_tokens = true).await;
    let store = open(address);
    store.save("ada", expired(&cloud).await.to_json()).await.unwrap();
    let before = cloud.sandbox.requests().of(OAuth::token()).count();

    let origin = cloud.sandbox.origin().to_string();
    let mut processes: Vec<_> =
        (0..PROCESSES).map(|_| Process::start("asker", address, &origin)).collect();
    for process in &mut processes {
        assert_eq!(process.says().as_deref(), Some("ready"));
    }
    for process in &mut processes {
        process.go();
    }
    // Reading their messages blocks, and the sandbox runs on this runtime.
    let said = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        for mut process in processes {
            said.extend(std::iter::from_fn(|| process.says()));
        }
        said
    });
    let said = said.await.unwrap();

    let json = store.load("ada").await.unwrap().unwrap();
    let set = TokenSet::from_json(json.expose_secret()).unwrap();
    assert_eq!(cloud.whoami(set.access_token()).await, 200);
    let fingerprint = Sandbox::fingerprint(set.access_token().expose());
    assert_eq!(said, vec![fingerprint; PROCESSES], "all of them got the one new token");
    let requests = cloud.sandbox.requests().of(OAuth::token()).count() - before;
    assert_eq!(requests, 1, "one refresh for {PROCESSES} processes");
}

/// A process is killed while it renews; another one takes over.
async fn a_dead_holder_does_not_block(address: &str) {
    let cloud = Cloud::start().await;
    let store = open(address);
    store.save("ada", expired(&cloud).await.to_json()).await.unwrap();
    let fault = cloud.sandbox.fail(OAuth::token()).hang().once();
    let mut process = Process::start("asker", address, cloud.sandbox.origin().as_str());
    assert_eq!(process.says().as_deref(), Some("ready"));
    process.go();
    cloud.sandbox.wait_for(|_| fault.fired() == 1).await.unwrap();
    process.kill();
    let token = tokens(store, cloud.sandbox.origin()).token().await.unwrap();
    assert_eq!(cloud.whoami(&token).await, 200);
}

fn address(folder: &Path) -> &str {
    folder.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_processes_on_one_directory_make_one_refresh() {
    let folder = tempfile::tempdir().unwrap();
    one_refresh_for_all(address(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_gives_back_the_lock_of_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    a_dead_holder_does_not_block(address(folder.path())).await;
}

#[tokio::test]
async fn a_kill_at_any_point_of_a_write_loses_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(folder.path());
    let mut random = fastrand::Rng::new();
    let mut number = 0;
    store.save("tokens", numbered(number)).await.unwrap();
    for round in 0..200 {
        let mut process = Process::start("writer", address(folder.path()), &number.to_string());
        let mut acknowledged = number;
        for _ in 0..random.u32(1..4) {
            acknowledged = process.says().unwrap().parse().unwrap();
        }
        // Somewhere during a write, or between two.
        let moment = Instant::now() + Duration::from_micros(random.u64(0..3_000));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        process.kill();
        while let Some(said) = process.says() {
            acknowledged = said.parse().unwrap();
        }

        let value = store.load("tokens").await.unwrap().expect("there is always a value");
        let stored = value.expose_secret().split(':').next().unwrap().parse().unwrap();
        assert_eq!(value.expose_secret(), numbered(stored).expose_secret(), "whole");
        assert!(
            stored == acknowledged || stored == acknowledged + 1,
            "round {round}: {stored} is stored, {acknowledged} was acknowledged"
        );
        number = stored;
    }
    store.save("tokens", numbered(0)).await.unwrap();
    store.lock("tokens").await.unwrap().release().await;
}

#[cfg(feature = "redis")]
mod redis {
    use super::{redis_server::Server, *};

    /// Short, so that the test of a dead holder is quick; long enough for a busy machine that
    /// stalls a holder for a second or two.
    pub(super) const LEASE: Duration = Duration::from_secs(5);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn twenty_processes_on_one_redis_make_one_refresh() {
        let server = Server::start();
        one_refresh_for_all(&server.address).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_killed_process_loses_its_lease() {
        let server = Server::start();
        a_dead_holder_does_not_block(&server.address).await;
    }

    #[tokio::test]
    async fn a_live_holder_keeps_its_lease_and_a_dead_server_is_reported() {
        let mut server = Server::start();
        let store = open(&server.address);
        let held = store.lock("ada").await.unwrap();
        let other = open(&server.address);
        let mut second = Box::pin(other.lock("ada"));
        assert!(tokio::time::timeout(LEASE * 3 / 2, second.as_mut()).await.is_err());
        assert!(held.is_held());
        held.release().await;
        drop(second.await.unwrap());

        server.stop();
        let error = store.load("ada").await.unwrap_err();
        assert!(error.to_string().contains("cannot be used"), "{error}");
    }

    #[tokio::test]
    async fn a_lost_lease_is_detected() {
        let mut server = Server::start();
        let store = open(&server.address);
        let held = store.lock("ada").await.unwrap();
        server.stop();
        let lost = tokio::time::timeout(LEASE * 3, async {
            while held.is_held() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        lost.await.expect("the lease ends without its server");
    }
}
