//! `webex login --meetings-xml`: the XML API of a Webex Meetings site, as its users sign in to it.

mod support;

use std::net::TcpListener;

use serde_json::Value;
use support::{browser::open, webex};
use tempfile::TempDir;
use webex_sandbox::{OAuth, OAuthClient, Sandbox};
use webex_tests::process::Process;

const STATE: &str = "state-of-my-own-choice";

struct Bench {
    sandbox: Sandbox,
    folder: TempDir,
    uri: String,
}

impl Bench {
    async fn start() -> Self {
        let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("secret"), "XML_SECRET=\"xml-secret\"\r\n").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let uri = format!("http://127.0.0.1:{port}/callback");
        let app = OAuthClient::confidential("xml-app", "xml-secret").redirect_uri(&uri);
        sandbox.identity().add_client(app.meetings_site("acme"));
        Self { sandbox, folder, uri }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn login(&self, more: &[&str]) -> Process {
        let (cloud, secret) = (self.sandbox.origin().as_str(), self.path("secret"));
        let store = self.path("store");
        let own = ["login", "--meetings-xml", "--client-id", "xml-app", "--no-browser"];
        let place = ["--cloud", cloud, "--redirect-uri", &self.uri, "--store", &store];
        let arguments = own.into_iter().chain(place).chain(["--client-secret-file", &secret]);
        webex(arguments.chain(more.iter().copied()), None)
    }

    async fn run(&self, arguments: &[&str]) -> webex_tests::process::Ended {
        let store = self.path("store");
        let all = arguments.iter().copied().chain(["--store", &store]);
        let process = webex(all, None);
        tokio::task::spawn_blocking(|| process.end()).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meetings_sign_in_lasts_from_login_to_logout() {
    let bench = Bench::start().await;
    let site = ["--site", " https://ACME.webex.com/meet/ada ", "--state", STATE];
    let mut login = bench.login(&site);
    let link = login.wait_for("the link", |line| line.contains("oauth2/authorize"));
    assert!(link.contains(&format!("state={STATE}")) && link.contains("scope=all_read"), "{link}");
    let (status, back, _) = open(link.trim()).await;
    assert_eq!(status, 302);
    let back = back.unwrap();
    // Somebody else's redirect is not taken for ours.
    let (status, _, _) = open(&back.replace(STATE, "another-state-of-that-length")).await;
    assert_eq!(status, 400);
    let (status, _, _) = open(&back).await;
    assert_eq!(status, 200);
    let ended = tokio::task::spawn_blocking(|| login.end()).await.unwrap();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stdout.iter().any(|line| line.contains("Signed in to acme")), "{ended:?}");
    let shown = format!("{:?}{}", ended.stdout, ended.stderr);
    assert!(!shown.contains("xml-secret"), "{shown}");

    let token = bench.run(&["token", "--json"]).await;
    assert_eq!(token.code(), 0, "{}", token.stderr);
    let token: Value = serde_json::from_str(token.stdout.last().unwrap()).unwrap();
    assert_eq!(token["scope"], "all_read");
    // The refresh token is kept as it is sent: with the site in front.
    let file = bench.folder.path().join("store/tokens.secret");
    let kept = std::fs::read_to_string(&file).unwrap();
    let kept: Value = serde_json::from_str(kept.split_once('\n').unwrap().1).unwrap();
    assert!(kept["refresh_token"].as_str().unwrap().starts_with("acme_"), "{kept}");
    assert_eq!(bench.run(&["logout"]).await.code(), 0);
    assert_eq!(bench.run(&["token"]).await.code(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_is_told_before_anything_is_sent() {
    let bench = Bench::start().await;
    for (more, says) in [
        (&["--site", "webex.com"][..], "no Webex site"),
        (&["--scope", "spark:all"], "all_read"),
        (&["--device"], "cannot be used with"),
        (&["--state", "two words"], "a space at character 4"),
    ] {
        let process = bench.login(more);
        let ended = tokio::task::spawn_blocking(|| process.end()).await.unwrap();
        assert_eq!(ended.code(), 2, "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{more:?}: {}", ended.stderr);
    }
    assert!(bench.sandbox.requests().of(OAuth::token()).is_empty());
}
