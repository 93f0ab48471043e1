//! Shared by all clients of the process: the tokio runtime, and one set of connections per choice
//! of trust.

use once_cell::sync::{Lazy, OnceCell};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use webex_sdk::core::Transport;

use crate::{failure::Failure, status::Status};

/// Threads that run the SDK. Its work is short and mostly waits for the network; with two, one can
/// go on while the other parses a large answer.
const WORKERS: usize = 2;

/// Threads that look up host names, which blocks. They end when idle.
const BLOCKING: usize = 8;

/// The runtime; started by the first call, and never stopped.
pub(crate) fn runtime() -> Result<&'static Runtime, Failure> {
    static RUNTIME: OnceCell<Runtime> = OnceCell::new();
    RUNTIME.get_or_try_init(|| {
        Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING)
            .thread_name("webex")
            .on_thread_start(block_sigpipe)
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::new(Status::Internal, format!("threads cannot be started: {error}"))
            })
    })
}

/// Keeps a write to a closed connection from ending the program. A Rust program ignores SIGPIPE,
/// but a C program may not, and the signal settings of the process are not ours to change. So the
/// signal is blocked on our own threads only, and the write fails as it should.
#[cfg(unix)]
fn block_sigpipe() {
    // SAFETY: the set is initialised by `sigemptyset` before it is used; the calling thread's mask is
    // all that changes.
    unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut());
    }
}

#[cfg(not(unix))]
fn block_sigpipe() {}

/// What a client trusts in addition to the operating system's roots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Trust {
    /// Root certificates, PEM texts.
    pub(crate) roots: Vec<Vec<u8>>,
    /// Accept any certificate.
    pub(crate) accept_invalid: bool,
}

/// The connections for a choice of trust: created once, since an HTTP client costs hundreds of
/// kilobytes.
pub(crate) fn transport(trust: Trust) -> Result<Transport, Failure> {
    static TRANSPORTS: Lazy<Mutex<Transports>> = Lazy::new(Mutex::default);
    // Locked during the creation, so that clients created at the same time share it too.
    TRANSPORTS.lock().get(trust)
}

/// Number of transports kept for later clients with the same choice. A program makes one or two
/// choices; further ones work, but are not shared.
const CACHED: usize = 8;

#[derive(Debug, Default)]
struct Transports(Vec<(Trust, Transport)>);

impl Transports {
    fn get(&mut self, trust: Trust) -> Result<Transport, Failure> {
        if let Some((_, transport)) = self.0.iter().find(|(known, _)| *known == trust) {
            return Ok(transport.clone());
        }
        let mut builder = Transport::builder().danger_accept_invalid_certs(trust.accept_invalid);
        for pem in &trust.roots {
            builder = builder.extra_roots_pem(pem)?;
        }
        let transport = builder.build()?;
        if self.0.len() < CACHED {
            self.0.push((trust, transport.clone()));
        }
        Ok(transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn no_thread_that_writes_to_sockets_gets_sigpipe() {
        fn is_blocked() -> bool {
            // SAFETY: the set is written by `pthread_sigmask` before it is read.
            unsafe {
                let mut signals = std::mem::zeroed();
                libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut signals);
                libc::sigismember(&raw const signals, libc::SIGPIPE) == 1
            }
        }
        let runtime = runtime().unwrap();
        let (worker, helper) =
            (runtime.spawn(async { is_blocked() }), runtime.spawn_blocking(is_blocked));
        assert!(runtime.block_on(async { worker.await.unwrap() && helper.await.unwrap() }));
        assert!(!is_blocked(), "the threads of the program are left alone");
    }

    #[test]
    fn one_choice_of_trust_shares_one_set_of_connections() {
        let mut transports = Transports::default();
        let careless = Trust { accept_invalid: true, ..Trust::default() };
        for trust in [Trust::default(), careless.clone(), Trust::default(), careless] {
            transports.get(trust).unwrap();
        }
        assert_eq!(transports.0.len(), 2);
        let unusable = Trust { roots: vec![b"not PEM".to_vec()], ..Trust::default() };
        assert!(transports.get(unusable).is_err());
    }
}
