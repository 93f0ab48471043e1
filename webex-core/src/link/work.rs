//! Work in progress of a link's task: requests, dialling, open sockets.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, stream::FuturesUnordered};
use webex_auth::AccessToken;

use super::{
    error::LinkError,
    socket::{Socket, SocketEvent},
};
use crate::{
    device::{record::Device, room::Room},
    error::HttpError,
    mercury::machine::action::{ConnId, OpenFailure},
};

/// The result of something that the driver has started.
pub(super) enum Completion {
    Restored(Option<Arc<Device>>),
    Room(Result<Room, LinkError>),
    /// The device is saved for the next start.
    Saved,
    Record {
        action: &'static str,
        outcome: Result<Arc<Device>, LinkError>,
    },
    Deleted(Result<(), HttpError>),
    Token(bool),
    Opened(ConnId, Dialled),
    Socket(ConnId, SocketEvent),
}

pub(super) type Dialled = Result<(Box<Socket>, AccessToken), OpenFailure>;
pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Everything in progress: requests, dialling, open sockets.
#[derive(Default)]
pub(super) struct Work {
    pub(super) requests: FuturesUnordered<BoxFuture<Completion>>,
    /// How many of them write to the saved state; a client that ends waits for these.
    pub(super) saving: usize,
    pub(super) dialing: Vec<(ConnId, BoxFuture<Dialled>)>,
    pub(super) sockets: Vec<(ConnId, Box<Socket>)>,
}

impl Work {
    /// Returns the next result; waits for ever when nothing is in progress. Cancel safe.
    pub(super) async fn next(&mut self) -> Completion {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Completion> {
        if let Poll::Ready(Some(news)) = Pin::new(&mut self.requests).poll_next(cx) {
            return Poll::Ready(news);
        }
        for index in 0..self.dialing.len() {
            if let Poll::Ready(outcome) = self.dialing[index].1.as_mut().poll(cx) {
                let (conn, _) = self.dialing.swap_remove(index);
                return Poll::Ready(Completion::Opened(conn, outcome));
            }
        }
        for (conn, socket) in &mut self.sockets {
            if let Poll::Ready(event) = socket.poll(cx) {
                return Poll::Ready(Completion::Socket(*conn, event));
            }
        }
        Poll::Pending
    }

    pub(super) fn socket(&mut self, conn: ConnId) -> Option<&mut Socket> {
        self.sockets.iter_mut().find(|(id, _)| *id == conn).map(|(_, socket)| &mut **socket)
    }

    pub(super) fn drop_conn(&mut self, conn: ConnId) {
        self.dialing.retain(|(id, _)| *id != conn);
        if let Some(index) = self.sockets.iter().position(|(id, _)| *id == conn) {
            // Queued frames, such as a close frame, are still written if possible.
            let (_, mut socket) = self.sockets.swap_remove(index);
            socket.flush_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::mercury::machine::{Machine, action::Action};

    #[test]
    fn dropping_one_attempt_leaves_the_others() {
        let conns: Vec<_> = (0..2)
            .map(|attempts| {
                let mut machine = Machine::new(1);
                for _ in 0..=attempts {
                    machine.connect(std::time::Instant::now());
                    machine.disconnect(std::time::Instant::now(), "again");
                }
                let opens = std::iter::from_fn(|| machine.poll_action());
                let opens = opens.filter_map(|action| match action {
                    Action::Open(conn) => Some(conn),
                    _ => None,
                });
                opens.last().unwrap()
            })
            .collect();
        let mut work = Work::default();
        for conn in &conns {
            work.dialing.push((*conn, Box::pin(pending())));
        }
        work.drop_conn(conns[0]);
        let left: Vec<_> = work.dialing.iter().map(|(conn, _)| *conn).collect();
        assert_eq!(left, conns[1..]);
    }
}
