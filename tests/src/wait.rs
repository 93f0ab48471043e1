//! Waits for what a test expects, with a limit that allows for a busy machine.

use std::time::Duration;

use webex_core::{Subscription, events::Lossy};

/// Longest wait for anything that should happen at once; generous, because machines may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the next event of a subscription.
///
/// # Panics
/// When there is none within [`PATIENCE`], or when its source is gone.
pub async fn next<E: Lossy>(events: &mut Subscription<E>) -> E {
    let event = tokio::time::timeout(PATIENCE, events.next()).await;
    event.expect("an event in time").expect("the source is there")
}

/// Waits for the next event of a subscription that `wanted` accepts.
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
