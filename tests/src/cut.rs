//! A network that can be cut: a proxy on TCP that carries nothing while it is paused.
//!
//! Connections stay open and the operating system accepts new ones, but no byte passes, as if every
//! packet were lost. Once it goes on, everything that was waiting goes on too, as in TCP when
//! retransmissions get through again.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use parking_lot::{Condvar, Mutex};

/// The proxy. Its threads end with their connections; the listening one ends with the process.
#[derive(Debug)]
pub struct Cuttable {
    address: SocketAddr,
    gate: Arc<Gate>,
}

impl Cuttable {
    /// Starts it: every connection leads to `target`.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let gate = Arc::new(Gate::default());
        let shared = Arc::clone(&gate);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let gate = Arc::clone(&shared);
                // A failure here shows in the test.
                thread::spawn(move || serve(stream, target, &gate));
            }
        });
        Self { address, gate }
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries nothing any more.
    pub fn cut(&self) {
        *self.gate.closed.lock() = true;
    }

    /// Carries again, first what has waited.
    pub fn mend(&self) {
        *self.gate.closed.lock() = false;
        self.gate.opened.notify_all();
    }
}

#[derive(Debug, Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut closed = self.closed.lock();
        while *closed {
            self.opened.wait(&mut closed);
        }
    }
}

fn serve(client: TcpStream, target: SocketAddr, gate: &Arc<Gate>) -> io::Result<()> {
    gate.pass();
    let server = TcpStream::connect(target)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (back_from, back_to, back_gate) =
        (server.try_clone()?, client.try_clone()?, Arc::clone(gate));
    thread::spawn(move || carry(back_from, back_to, &back_gate));
    carry(client, server, gate);
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer);
        gate.pass();
        match read {
            Ok(length @ 1..) if to.write_all(&buffer[..length]).is_ok() => {}
            _ => break,
        }
    }
    // The other direction may go on for a while.
    let _ = to.shutdown(Shutdown::Write);
}
