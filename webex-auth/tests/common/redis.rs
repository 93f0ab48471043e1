//! A real redis-server on a free port of this machine.

#![allow(dead_code)] // each test program uses its part

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// A server, which ends when this value is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server and waits until it accepts connections.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            let port = free_port();
            let mut child = Command::new("redis-server")
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no", "--dir"])
                .arg(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("redis-server is needed: `apt-get install redis-server`");
            let output = BufReader::new(child.stdout.take().unwrap());
            let is_ready = |line: &String| line.contains("Ready to accept connections");
            let mut lines = output.lines().map_while(Result::ok);
            if lines.any(|line| is_ready(&line)) {
                // Keeps reading, so that the server never writes into a full or closed pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Self {
                    child,
                    address: format!("redis://127.0.0.1:{port}/"),
                    _folder: folder,
                };
            }
            let _ = child.wait(); // another program has taken the port: try the next
        }
        panic!("redis-server found no free port");
    }
}

impl Server {
    /// Stops the server while clients are connected.
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
