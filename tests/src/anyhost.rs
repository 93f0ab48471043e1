//! A proxy that connects every host to one address: the sandbox, reached by Webex host names that
//! do not resolve here.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;

/// The proxy. Its threads end with their connections; the listening one ends with the process.
#[derive(Debug)]
pub struct AnyHost {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl AnyHost {
    /// Starts it: `CONNECT` to any host leads to `target`. With `authorization`, the value of a
    /// `Proxy-Authorization` header, requests without it get a 407.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub fn start(target: SocketAddr, authorization: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::default();
        let log: Arc<Mutex<Vec<String>>> = Arc::clone(&asked);
        let expected = authorization.map(str::to_owned);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, expected) = (Arc::clone(&log), expected.clone());
                // A failure here shows in the test.
                thread::spawn(move || serve(stream, target, expected.as_deref(), &log));
            }
        });
        Self { address, asked }
    }

    /// `host:port` of the proxy.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The `host:port` of every request.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

fn serve(
    stream: TcpStream,
    target: SocketAddr,
    expected: Option<&str>,
    asked: &Mutex<Vec<String>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut back = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let sent = head.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
    });
    if expected.is_some() && sent != expected {
        return back.write_all(b"HTTP/1.1 407 Who are you\r\n\r\n");
    }
    let host = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    asked.lock().push(host.to_owned());
    let there = TcpStream::connect(target)?;
    there.set_nodelay(true)?;
    back.write_all(b"HTTP/1.1 200 Go on\r\n\r\n")?;
    let mut answers = there.try_clone()?;
    let backward = thread::spawn(move || {
        let _ = io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut there = there;
    let _ = io::copy(&mut from, &mut there);
    let _ = there.shutdown(Shutdown::Both);
    let _ = backward.join();
    Ok(())
}
