//! The proxy of the environment: HTTP and socket of the whole program go through it.
//!
//! The cloud is addressed by Webex host names, which do not resolve here: only the proxy knows
//! where they are. `webex-core/tests/http_proxy.rs` tests the same with a real proxy.

mod support;

use std::process::Command;

use support::ca_file;
use tempfile::TempDir;
use webex_sandbox::Sandbox;
use webex_tests::{anyhost::AnyHost, process::Process};

/// Basic authentication of `ann:pass-word`.
const AUTHORIZATION: &str = "Basic YW5uOnBhc3Mtd29yZA==";

fn proxy(sandbox: &Sandbox) -> AnyHost {
    let target = sandbox.origin().socket_addrs(|| None).unwrap()[0];
    AnyHost::start(target, Some(AUTHORIZATION))
}

fn webex(sandbox: &Sandbox, ca: &str, variable: &str, proxy: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webex"));
    command.args(["register", "--json", "--ca", ca]);
    command.env("WEBEX_ACCESS_TOKEN", sandbox.token()).env_remove("WEBEX_LOG");
    command.env("WEBEX_STORE", concat!(env!("CARGO_TARGET_TMPDIR"), "/nobody-is-signed-in"));
    for name in ["HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.env(variable, proxy);
    Process::start(&mut command)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_through_the_proxy_of_the_environment() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let proxy = proxy(&sandbox);
    let url = format!("http://ann:pass-word@{}", proxy.address());
    let mut webex = webex(&sandbox, &ca, "HTTPS_PROXY", &url);
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
    let ended = webex(&sandbox, &ca, "all_proxy", &url).end();
    assert_ne!(ended.status.code(), Some(0));
    let all = format!("{}\n{}", ended.stdout.join("\n"), ended.stderr);
    assert!(all.contains(&address), "{all}");
    assert!(!all.contains("other-word"), "{all}");
    assert!(sandbox.requests().is_empty());
}
