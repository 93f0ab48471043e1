//! `webex sandbox`: a stand-in Webex cloud until Ctrl-C.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use webex_sandbox::Sandbox;

use crate::{exit::Failure, signals::Signals};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Plain HTTP instead of TLS
    #[arg(long)]
    plain: bool,
    /// Write the root certificate to this file
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
    /// Write the ready-made token to this file
    #[arg(long, value_name = "FILE")]
    token_out: Option<PathBuf>,
    /// Seconds between the keepalives of lines
    #[arg(long, default_value = "30", value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3600))]
    keepalive_interval: u64,
    /// Append every request to this file, one JSON object per line, secrets redacted
    #[arg(long, value_name = "FILE")]
    request_log: Option<PathBuf>,
    /// Milliseconds added to every answer
    #[arg(long, default_value = "0", value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=60_000))]
    latency: u64,
}

/// Runs the sandbox until a signal.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::other(error.to_string()))?;
    let mut builder = Sandbox::builder()
        .listen(arguments.listen)
        .plain(arguments.plain)
        .keepalive_interval(Duration::from_secs(arguments.keepalive_interval))
        .latency(Duration::from_millis(arguments.latency));
    if let Some(path) = &arguments.ca_out {
        builder = builder.ca_file(path);
    }
    if let Some(path) = &arguments.request_log {
        builder = builder.request_log(path);
    }
    let sandbox = builder.start().await.map_err(|error| {
        Failure::other(format!("the sandbox does not start on {}: {error}", arguments.listen))
    })?;
    if let Some(path) = &arguments.token_out {
        write_token(path, sandbox.token())?;
    }
    if !arguments.listen.ip().is_loopback() {
        eprintln!("warning: others can reach this sandbox, and its control API has no password");
    }
    println!("{}", banner(&sandbox, &arguments));
    signals.next().await;
    sandbox.shutdown().await;
    Ok(())
}

/// Its address, and how to use it.
fn banner(sandbox: &Sandbox, arguments: &Arguments) -> String {
    let origin = sandbox.origin().as_str().trim_end_matches('/');
    let trust = match (&arguments.ca_out, arguments.plain) {
        (_, true) => String::new(),
        (Some(path), false) => format!(" --ca {}", path.display()),
        (None, false) => " --insecure".to_owned(),
    };
    format!(
        "Webex sandbox cloud, until Ctrl-C\n  \
           origin   {origin}\n  \
           control  {origin}/sandbox/\n  \
           token    {token}\n\
         Try it from another terminal:\n  \
           WEBEX_ACCESS_TOKEN={token} webex register --cloud {origin}{trust}",
        token = sandbox.token(),
    )
}

/// Writes the token so that other users of the machine cannot read it, even if the file already
/// exists and was readable.
fn write_token(path: &PathBuf, token: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file = options.open(path)?;
        // Done before the token is written. `mode` only applies to new files.
        #[cfg(unix)]
        if file.metadata()?.is_file() {
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            file.set_len(0)?;
        }
        #[cfg(not(unix))]
        file.set_len(0)?;
        writeln!(file, "{token}")
    };
    write().map_err(|error| Failure::other(format!("--token-out {}: {error}", path.display())))
}
