//! The service catalog (U2C): which services the user's organisation has, and where.
//!
//! One request brings the whole map; after it every other address is known.
//!
//! ```text
//!   saved state ─┐                         ┌─► service_url, mobius_clusters
//!                ├─► services ─► Catalog ──┤
//!   U2C ─────────┘   (keeps it)            └─► hosts: which ports the allow list takes over,
//!       ▲                                              where a request goes when its host fails
//!       └── invalidation events, hosts that keep failing
//! ```
//!
//! The answer is parsed straight into what is used, and equal catalogs are held once per process:
//! one is tens of kilobytes, and a process may have thousands of users of one organisation.
//!
//! There is one rule for choosing a host, whoever asks ([`Catalog::service_url`], a request to a URL
//! that a service handed out, the event socket): among the hosts listed for the service, those with
//! a priority above zero that have not failed lately; of these the smallest priority; if all have
//! failed, all are good again.
//!
//! A catalog names addresses like any other answer: what the allow list does not let it name is left
//! out of it (ADR 0007).

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
