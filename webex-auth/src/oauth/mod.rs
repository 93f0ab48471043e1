//! OAuth with Webex: integrations, their endpoints, and every grant.
//!
//! [`integration`] says who the program is and has the requests of the token endpoint;
//! [`authorize`] is the browser's part; [`wire`] reads answers and [`error`] refusals.

pub(crate) mod answer;
pub(crate) mod authorize;
pub(crate) mod client;
pub(crate) mod endpoints;
pub(crate) mod error;
pub(crate) mod integration;
pub(crate) mod pkce;
pub(crate) mod wire;
