//! Deliberate breaches of the protocol.
//!
//! A test suite that runs against the sandbox can check itself with them: when one is switched on,
//! its tests must fail.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

/// A deliberate breach of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mutation {
    /// The first Mercury frame is an ordinary event; `mercury.buffer_state` never comes.
    WrongFirstFrame,
    /// An ordinary event comes before `mercury.buffer_state`.
    LateFirstFrame,
    /// Pongs carry a wrong id.
    WrongPongId,
    /// Every Mercury frame skips a sequence number.
    SequenceGaps,
    /// Every pushed event is delivered twice under the same id.
    DuplicateEvents,
    /// Answers have no CORS headers.
    MissingCors,
    /// Catalog entries of Mobius have no id.
    CatalogWithoutMobiusIds,
    /// Registered devices have no `webSocketUrl`.
    DeviceWithoutSocketUrl,
    /// Registered lines have no `device.uri`.
    LineWithoutUri,
    /// Registered lines have no `keepaliveInterval`.
    LineWithoutKeepaliveInterval,
    /// Unregistering answers success and does nothing.
    IgnoreUnregister,
    /// Expired and unknown tokens count as the default user's.
    AcceptAnyToken,
    /// PKCE verifiers are not checked.
    AcceptAnyVerifier,
}

impl Mutation {
    /// Every mutation.
    pub const ALL: [Self; 13] = [
        Self::WrongFirstFrame,
        Self::LateFirstFrame,
        Self::WrongPongId,
        Self::SequenceGaps,
        Self::DuplicateEvents,
        Self::MissingCors,
        Self::CatalogWithoutMobiusIds,
        Self::DeviceWithoutSocketUrl,
        Self::LineWithoutUri,
        Self::LineWithoutKeepaliveInterval,
        Self::IgnoreUnregister,
        Self::AcceptAnyToken,
        Self::AcceptAnyVerifier,
    ];
}

/// The switches, one bit each.
#[derive(Debug, Default)]
pub(crate) struct Mutations(AtomicU32);

impl Mutations {
    pub(crate) fn set(&self, mutation: Mutation, on: bool) {
        let bit = 1 << (mutation as u32);
        if on {
            self.0.fetch_or(bit, Ordering::AcqRel);
        } else {
            self.0.fetch_and(!bit, Ordering::AcqRel);
        }
    }

    pub(crate) fn has(&self, mutation: Mutation) -> bool {
        self.0.load(Ordering::Acquire) & (1 << (mutation as u32)) != 0
    }

    pub(crate) fn active(&self) -> Vec<Mutation> {
        Mutation::ALL.into_iter().filter(|mutation| self.has(*mutation)).collect()
    }
}
