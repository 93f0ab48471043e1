//! `GET /sandbox/events`: changes as server-sent events.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::State,
    response::{Sse, sse::Event},
};
use futures_util::{Stream, stream};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::world::World;

/// Each event is JSON with a `kind`; a listener that is too slow gets the number of events that it `missed`.
pub(crate) async fn events(
    State(world): State<Arc<World>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = world.listen();
    let begin = stream::iter([Ok(Event::default().comment("changes follow"))]);
    let rest = stream::unfold(changes, |mut changes| async move {
        let data = match changes.recv().await {
            Ok(change) => serde_json::to_value(&change).unwrap_or_default(),
            Err(RecvError::Lagged(missed)) => json!({"kind": "missed", "events": missed}),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(Event::default().data(data.to_string())), changes))
    });
    Sse::new(stream::StreamExt::chain(begin, rest))
}
