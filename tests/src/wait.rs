//! Waiting for what a test expects, and for no longer than a busy machine may need.

use std::time::Duration;

use webex_core::{Subscription, events::Lossy};

/// Longest wait for anything that should happen at once; generous, for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The next event of a subscription.
///
/// # Panics
/// When there is none within [`PATIENCE`], or when its source is gone.
pub async fn next<E: Lossy>(events: &mut Subscription<E>) -> E {
    let event = tokio::time::timeout(PATIENCE, events.next()).await;
    event.expect("an event in time").expect("the source is there")
}

/// The next event of a subscription that is one of those wanted.
///
/// # Panics
/// When there is none within [`PATIENCE`], or when its source is gone.
pub async fn until<E: Lossy>(events: &mut Subscription<E>, wanted: impl Fn(&E) -> bool) -> E {
    let search = async {
        loop {
            let event = events.next().await.expect("the source is there");
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("the event in time")
}
