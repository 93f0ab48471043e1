//! A TCP relay: gives a service an address of its own, at a realistic distance.
//!
//! Data leaves half a round trip after it arrived, in both directions. A program cannot delay the
//! answer to a SYN: the client's connection is open at once. So the client's first bytes are held
//! back for one more round trip, until they would have arrived if the client had waited for the
//! handshake. For a client that sends first, as in TLS, all later times are correct; one that dials
//! ahead and sends later is not delayed twice.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The relay. Its threads end with their connections; the listening one ends with the process.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    heard: Arc<AtomicUsize>,
}

impl Relay {
    /// Starts a relay to `target` with this round trip.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub fn start(target: SocketAddr, round_trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::<AtomicUsize>::default();
        let open = Arc::<Mutex<Vec<TcpStream>>>::default();
        let (count, all) = (Arc::clone(&connections), Arc::clone(&open));
        let heard = Arc::<AtomicUsize>::default();
        let (from_clients, from_server) = (Arc::clone(&heard), Arc::<AtomicUsize>::default());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::AcqRel);
                let Ok(server) = TcpStream::connect(target) else { continue };
                all.lock().extend(client.try_clone());
                let connected = Instant::now() + round_trip;
                forward(&client, &server, round_trip / 2, connected, &from_clients);
                forward(&server, &client, round_trip / 2, connected, &from_server);
            }
        });
        Self { address, connections, open, heard }
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// `https://host:port`.
    pub fn origin(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Closes all connections, as a service or a middlebox does with idle ones.
    pub fn hang_up(&self) {
        for client in self.open.lock().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// Number of flights sent by clients so far. In TLS 1.3 the second one ends the handshake.
    pub fn heard(&self) -> usize {
        self.heard.load(Ordering::Acquire)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }
}

/// Copies one direction. Data from before `connected` counts as sent at that time.
fn forward(
    from: &TcpStream,
    to: &TcpStream,
    delay: Duration,
    connected: Instant,
    count: &Arc<AtomicUsize>,
) {
    let count = Arc::clone(count);
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let _ = to.set_nodelay(true);
    let (send, chunks) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            count.fetch_add(1, Ordering::AcqRel);
            let due = Instant::now().max(connected) + delay;
            if send.send((due, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in chunks {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
