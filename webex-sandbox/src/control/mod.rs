//! The control API over HTTP, under `/sandbox`: the powers of [`Sandbox`](crate::Sandbox) for programs
//! that are not written in Rust.
//!
//! Its requests are not logged, not delayed, and never made to fail. It has no password; what protects
//! it is the loopback address, and [`guard`], which keeps web pages out.

pub(crate) mod guard;
pub(crate) mod http;
mod page;
mod query;
mod requests;
mod stream;

/// Whether a path belongs to the control API.
pub(crate) fn owns(path: &str) -> bool {
    path == "/sandbox" || path.starts_with("/sandbox/")
}
