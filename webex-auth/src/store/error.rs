//! Why a store failed.

use std::{error::Error as StdError, path::PathBuf, sync::Arc};

use thiserror::Error;

/// Why a store failed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The name is invalid.
    #[error("`{0}` is no name for a stored value: use letters, digits and . _ - @ +")]
    BadName(String),
    /// The stored value is damaged. It is left in place.
    #[error("the stored value in {} is damaged: remove it and sign in again", .0.display())]
    Corrupt(PathBuf),
    /// The stored value is not what was expected.
    #[error("the stored value `{0}` is not of this program: remove it and sign in again")]
    Foreign(String),
    /// Others could read or change the stored values, so the store is not used.
    #[error("{} is not safe: {}", .path.display(), .problem)]
    Unsafe {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The store cannot be reached, or refuses.
    #[error("the store cannot be used: {0}")]
    Unavailable(#[source] Arc<dyn StdError + Send + Sync>),
    /// Another process holds the lock for too long.
    #[error("the lock of the store is held by another process for too long")]
    LockTimeout,
}

impl StoreError {
    /// The store cannot be reached, or refuses. The text of `source` must hold no secret.
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable(source.into().into())
    }
}
