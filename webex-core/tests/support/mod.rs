//! What the tests of this crate have in common.

#![allow(dead_code)] // each uses its part

pub(crate) mod tinyproxy;

use webex_core::{
    Credentials, Endpoints, Request, Transport, TransportBuilder, Webex, WebexBuilder,
};
use webex_sandbox::Sandbox;

/// A transport that trusts the sandbox.
pub(crate) fn trusting(sandbox: &Sandbox) -> TransportBuilder {
    Transport::builder().extra_roots_pem(sandbox.ca_pem().unwrap().as_bytes()).unwrap()
}

/// The sandbox's default user, over this transport.
pub(crate) fn client(sandbox: &Sandbox, transport: TransportBuilder) -> Webex {
    builder(sandbox).transport(transport.build().unwrap()).build().unwrap()
}

/// The sandbox's default user, to be made.
pub(crate) fn builder(sandbox: &Sandbox) -> WebexBuilder {
    Webex::builder()
        .credentials(Credentials::access_token(sandbox.token()))
        .endpoints(Endpoints::at(sandbox.origin().as_str()).unwrap())
        .transport(trusting(sandbox).build().unwrap())
}

/// A small request that needs the token.
pub(crate) fn people(sandbox: &Sandbox) -> Request {
    Request::get(sandbox.url("/v1/people/me"))
}
