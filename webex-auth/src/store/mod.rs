//! Stores: where secrets are kept between runs, and shared between processes.
//!
//! A [`Store`] keeps named texts: the tokens of a user, the address of a device. Stores for several
//! processes also have a lock, so that only one of the processes renews a token.
//!
//! * [`MemoryStore`]: for one process, lost with it.
//! * [`DirectoryStore`]: files that only the user can read; shared by the processes of one machine.
//! * `KeyringStore` (feature `keyring`): the operating system's keyring.
//! * `RedisStore` (feature `redis`): shared by many machines.

mod directory;
pub(crate) mod error;
mod guard;
pub(crate) mod interface;
#[cfg(feature = "keyring")]
mod keyring;
mod memory;
pub(crate) mod name;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "keyring")]
pub use self::keyring::KeyringStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
pub use self::{
    directory::DirectoryStore,
    error::StoreError,
    interface::{HeldLock, Store, StoreLock},
    memory::MemoryStore,
};
