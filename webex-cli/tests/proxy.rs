//! The proxy of the environment: HTTP and socket of the whole program go through it.
//!
//! The cloud is addressed by Webex host names, which do not resolve here: only the proxy knows
//! where they are. `webex-core/tests/http_proxy.rs` tests the same with a real proxy.

mod support;

use support::{ca_file, webex_command};
use tempfile::TempDir;
use webex_sandbox::Sandbox;
use webex_tests::{anyhost::AnyHost, process::Process};

/// Basic authentication of `ann:pass-word`.
const AUTHORIZATION: &str = "Basic YW5uOnBhc3Mtd29yZA==";

fn proxy(sandbox: &Sandbox) -> AnyHost {
    let target = sandbox.origin().socket_addrs(|| None).unwrap()[0];
    AnyHost::start(target, Some(AUTHORIZATION))
}

fn webex(sandbox: &Sandbox, more: &[&str], variable: &str, proxy: &str) -> Process {
    let arguments = ["register", "--json"].into_iter().chain(more.iter().copied());
    let mut command = webex_command(arguments, Some(sandbox.token()));
    Process::start(command.env(variable, proxy))
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_through_the_proxy_of_the_environment() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let proxy = proxy(&sandbox);
    let url = format!("http://ann:pass-word@{}", proxy.address());
    let mut webex = webex(&sandbox, &["--ca", &ca], "HTTPS_PROXY", &url);
    webex.wait_for_event("registered");
    webex.wait_for_event("meetings:registered");
    webex.signal("INT");
    assert_eq!(webex.end().code(), 0);

    let asked = proxy.asked();
    for host in ["u2c.wbx2.com", "wdm-a.wbx2.com", "mercury-connection-partition0-a.wbx2.com"] {
        assert!(asked.contains(&format!("{host}:443")), "{host}: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_that_refuses_is_named() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let address = proxy(&sandbox).address();
    let url = format!("http://ann:other-word@{address}");
    let ended = webex(&sandbox, &["--ca", &ca], "all_proxy", &url).end();
    assert_ne!(ended.status.code(), Some(0));
    let all = format!("{}\n{}", ended.stdout.join("\n"), ended.stderr);
    assert!(all.contains(&address), "{all}");
    assert!(!all.contains("other-word"), "{all}");
    assert!(sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_made_token_is_used_at_webex_for_government() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let proxy = AnyHost::start(sandbox.origin().socket_addrs(|| None).unwrap()[0], None);
    // The sandbox names commercial hosts, which do not belong to that cloud.
    for service in ["wdm", "mercury"] {
        assert!(sandbox.place(service, &format!("{service}.gov.ciscospark.com")));
    }
    let start = ["--ca", &ca, "--cloud", "fedramp", "--meetings"];
    let mut webex = webex(&sandbox, &start, "HTTPS_PROXY", &proxy.address());
    webex.wait_for_event("meetings:registered");
    webex.signal("INT");
    assert_eq!(webex.end().code(), 0);
    let asked = proxy.asked();
    assert!(asked.contains(&"u2c.gov.ciscospark.com:443".to_owned()), "{asked:?}");
    assert!(!asked.contains(&"u2c.wbx2.com:443".to_owned()), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_would_not_be_used_stops_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let cloud = sandbox.origin().as_str();
    // This cloud is on loopback: reached directly, whatever the environment says.
    for (variable, value) in
        [("HTTPS_PROXY", "socks5://p:1"), ("ALL_PROXY", "http://["), ("HTTP_PROXY", "x y")]
    {
        let start = ["--ca", &ca, "--cloud", cloud, "--meetings"];
        let mut webex = webex(&sandbox, &start, variable, value);
        webex.wait_for_event("meetings:registered");
        webex.signal("INT");
        assert_eq!(webex.end().code(), 0, "{variable}={value}");
    }
    let ended = webex(&sandbox, &["--ca", &ca], "HTTPS_PROXY", "my proxy:3128").end();
    assert_eq!(ended.code(), 2, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("HTTPS_PROXY") && ended.stderr.contains("a space at character 3")
    );
    assert!(!ended.stderr.contains("get a new access token"), "{}", ended.stderr);
}
