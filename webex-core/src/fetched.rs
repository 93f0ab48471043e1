//! A value that is fetched once and shared.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Mutex;

/// A value of the service that all of a user's products share. One request is made at a time. A
/// success is kept; after a failure the next caller tries again.
pub(crate) struct Fetched<T> {
    held: Mutex<Option<(u64, Arc<T>)>>,
    /// Counts how often the value was forgotten.
    forgotten: AtomicU64,
}

impl<T> Default for Fetched<T> {
    fn default() -> Self {
        Self { held: Mutex::default(), forgotten: AtomicU64::new(0) }
    }
}

impl<T> fmt::Debug for Fetched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched").finish_non_exhaustive()
    }
}

impl<T> Fetched<T> {
    /// Returns the value; requests it with `fetch` when it is missing.
    pub(crate) async fn get<E, F>(&self, fetch: impl FnOnce() -> F) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        // Held during the request, so that later callers wait for its outcome.
        let mut held = self.held.lock().await;
        let forgotten = self.forgotten.load(Ordering::Acquire);
        if let Some((since, value)) = &*held
            && *since == forgotten
        {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(fetch().await?);
        *held = Some((forgotten, Arc::clone(&value)));
        Ok(value)
    }

    /// Drops the value, so that the next caller requests it again.
    pub(crate) fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_make_one_request_and_a_failure_is_not_kept() {
        let (value, asked) = (Fetched::default(), AtomicU64::new(0));
        let ask = |outcome: Result<u64, ()>| {
            let (value, asked) = (&value, &asked);
            value.get(move || async move {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                outcome
            })
        };
        assert_eq!(ask(Err(())).await, Err(()));
        let (one, two) = tokio::join!(ask(Ok(7)), ask(Ok(8)));
        assert_eq!((*one.unwrap(), *two.unwrap()), (7, 7));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        value.forget();
        assert_eq!(*ask(Ok(9)).await.unwrap(), 9);
    }

    #[tokio::test]
    async fn a_value_that_is_forgotten_during_its_request_is_asked_for_again() {
        let value = Fetched::default();
        let fetch = || async {
            value.forget();
            Ok::<_, ()>(1)
        };
        assert_eq!(*value.get(fetch).await.unwrap(), 1);
        assert_eq!(*value.get(|| async { Ok::<_, ()>(2) }).await.unwrap(), 2);
    }
}
