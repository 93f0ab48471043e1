//! OAuth with Webex: integrations, their endpoints, and every grant.
//!
//! [`integration`] has the program's registration and the requests to the token endpoint;
//! [`authorize`] is the browser's part; [`wire`] parses answers and [`error`] refusals.

pub(crate) mod answer;
pub(crate) mod authorize;
pub(crate) mod client;
pub(crate) mod endpoints;
pub(crate) mod error;
pub(crate) mod integration;
pub(crate) mod pkce;
pub(crate) mod wire;
