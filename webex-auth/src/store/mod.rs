//! Where secrets are kept between runs, and shared between processes.
//!
//! A [`Store`] keeps named texts: the tokens of a user, the address of a device. Stores that several
//! processes use also have a lock, so that of `n` processes only one renews a token.
//!
//! * [`MemoryStore`]: for one process, gone with it.
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
