//! The service catalog (U2C): which services the user's organisation has, and their URLs.
//!
//! One request returns the whole map. Every other address comes from it.
//!
//! ```text
//!   saved state ─┐                         ┌─► service_url, mobius_clusters
//!                ├─► services ─► Catalog ──┤
//!   U2C ─────────┘   (keeps it)            └─► hosts: which ports the allow list takes over,
//!       ▲                                              where a request goes when its host fails
//!       └── invalidation events, hosts that keep failing
//! ```
//!
//! The answer is parsed straight into the fields in use. Equal catalogs are held once per process:
//! one takes tens of kilobytes, and a process may have thousands of users of one organisation.
//!
//! One rule chooses a host for every caller ([`Catalog::service_url`], a request to a URL that a
//! service handed out, the event socket): of the hosts listed for the service with a priority above
//! zero that have not failed lately, the one with the smallest priority. If all have failed, all
//! count as good again.
//!
//! A catalog names addresses like any other answer: those that the allow list rejects are removed
//! (ADR 0007).

mod address;
mod answers;
mod error;
mod events;
mod expected;
mod hosts;
mod limited;
mod model;
mod services;
mod timings;
mod wire;

pub use self::{
    error::CatalogError,
    limited::{CatalogFormat, CatalogSelector},
    model::Catalog,
};
pub(crate) use self::{hosts::Hosts, services::Services};

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
