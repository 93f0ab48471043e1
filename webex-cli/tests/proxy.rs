//! The proxy of the environment: HTTP and socket of the whole program go through it.
//!
//! The cloud is addressed by Webex host names, which nothing here resolves: only the proxy knows
//! where they are. `webex-core/tests/http_proxy.rs` has the same with a real proxy.

mod support;

use std::{
    collections::BTreeSet,
    process::Command,
    sync::{Arc, Mutex},
};

use support::ca_file;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use webex_sandbox::Sandbox;
use webex_tests::process::Process;

/// Base64 of `ann:pass-word`.
const AUTHORIZATION: &str = "proxy-authorization: basic yw5uonbhc3mtd29yza==";

type Asked = Arc<Mutex<Vec<String>>>;

/// A proxy that takes everyone who authenticates to the sandbox, whatever host was asked for.
async fn proxy(sandbox: &Sandbox) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let target = format!("127.0.0.1:{}", sandbox.origin().port().unwrap());
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, target.clone(), Arc::clone(&log)));
        }
    });
    (address, asked)
}

async fn serve(stream: TcpStream, target: String, asked: Asked) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_lowercase());
    }
    if !lines.iter().any(|line| line == AUTHORIZATION) {
        return stream.write_all(b"HTTP/1.1 407 Who are you\r\n\r\n").await;
    }
    asked.lock().unwrap().push(lines[0].clone());
    let mut there = TcpStream::connect(target).await?;
    stream.write_all(b"HTTP/1.1 200 Go on\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut there).await.map(drop)
}

fn webex(sandbox: &Sandbox, ca: &str, variables: &[(&str, &str)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webex"));
    command.args(["register", "--json", "--cloud", "https://u2c.wbx2.com", "--ca", ca]);
    command.env("WEBEX_ACCESS_TOKEN", sandbox.token()).env_remove("WEBEX_LOG");
    command.env("WEBEX_STORE", concat!(env!("CARGO_TARGET_TMPDIR"), "/nobody-is-signed-in"));
    for name in ["HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.envs(variables.iter().copied());
    Process::start(&mut command)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_through_the_proxy_of_the_environment() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let (address, asked) = proxy(&sandbox).await;
    let url = format!("http://ann:pass-word@{address}");
    let mut webex = webex(&sandbox, &ca, &[("HTTPS_PROXY", &url)]);
    webex.wait_for_event("registered");
    webex.wait_for_event("meetings:registered");
    webex.signal("INT");
    assert_eq!(webex.end().code(), 0);

    let hosts: BTreeSet<String> = asked.lock().unwrap().iter().cloned().collect();
    for host in ["u2c.wbx2.com", "wdm-a.wbx2.com", "mercury-connection-partition0-a.wbx2.com"] {
        assert!(hosts.contains(&format!("connect {host}:443 http/1.1")), "{host}: {hosts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_that_does_not_let_out_is_named() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let (address, _) = proxy(&sandbox).await;
    let url = format!("http://ann:other-word@{address}");
    let ended = webex(&sandbox, &ca, &[("all_proxy", &url)]).end();
    assert_ne!(ended.status.code(), Some(0));
    let all = format!("{}\n{}", ended.stdout.join("\n"), ended.stderr);
    assert!(all.contains(&address), "{all}");
    assert!(!all.contains("other-word"), "{all}");
    assert!(sandbox.requests().is_empty());
}
