//! The C ABI of the Webex SDK, declared in `include/webex.h`.
//!
//! The header is generated from these modules; `docs/ffi.md` is the contract on one page. In short:
//!
//! - Objects are [handles](crate::handle::ClientHandle): numbers. A stale or wrong one gives
//!   [`Status::InvalidHandle`](status::Status::InvalidHandle), never undefined behaviour.
//! - A call that may take time returns at once with a request id; an
//!   [event](event::EventKind::Completed) with the same id reports its result.
//! - Events are delivered by a thread of the library, or polled.
//!
//! # Safety
//! Every function is `unsafe` for Rust, with the same requirements:
//!
//! - a pointer is NULL, or points to what its type says, for the duration of the call; results are
//!   written once, on success;
//! - texts are NUL-terminated;
//! - a struct that begins with `struct_size` is as long as it says;
//! - a callback, and the `user_data` it is given, may be used on another thread until
//!   `free_user_data` has been called;
//! - a text is passed to `webex_string_free` once, and came from this library.
//!
//! NULL where a value is required, text that is not UTF-8, unknown numbers and misaligned pointers
//! are refused with a status.
//!
//! # Beside the C ABI
//! A Rust program that links this crate gets the SDK's crates from it ([`webex_auth`],
//! [`webex_core`], [`webex_meetings`], [`webex_calling`]), so that it shares types and connections
//! with users of the C functions:
//!
//! ```
//! fn show(info: &webex_ffi::webex_calling::LineInfo) -> Option<&str> {
//!     info.phone_number.as_deref()
//! }
//! // One type, whichever way it was named.
//! let show: fn(&webex_sdk::LineInfo) -> Option<&str> = show;
//! # let _ = show;
//! ```
//!
//! # How it is built
//! ```text
//!   C ──► export! ──► meetings, calling ──► client ──► handle (registry)
//!         (guard)                             │
//!                                             ▼
//!                       pump: one task per client ──► outbox ──► dispatcher thread ──► callbacks
//! ```

pub use webex_sdk::{
    auth as webex_auth, calling as webex_calling, core as webex_core, meetings as webex_meetings,
};

pub mod calling;
pub mod client;
pub mod error;
pub mod event;
mod failure;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
pub mod handle;
mod macros;
pub mod meetings;
pub mod outbox;
mod pointer;
mod pump;
mod runtime;
pub mod status;
pub mod version;
