//! Helpers shared by the tests of this crate.

#![allow(dead_code)] // each uses its part

pub(crate) mod tinyproxy;

use webex_core::{Credentials, Endpoints, Request, TransportBuilder, Webex};
use webex_sandbox::Sandbox;
use webex_tests::anyhost::AnyHost;
pub(crate) use webex_tests::user::{builder, trusting};

/// The sandbox's default user, over this transport.
pub(crate) fn client(sandbox: &Sandbox, transport: TransportBuilder) -> Webex {
    builder(sandbox).transport(transport.build().unwrap()).build().unwrap()
}

/// The user with these credentials.
pub(crate) fn client_of(
    sandbox: &Sandbox,
    credentials: Credentials,
    transport: TransportBuilder,
) -> Webex {
    builder(sandbox).credentials(credentials).transport(transport.build().unwrap()).build().unwrap()
}

/// The sandbox as a cloud.
pub(crate) fn cloud(sandbox: &Sandbox) -> Endpoints {
    Endpoints::at(sandbox.origin().as_str()).unwrap()
}

/// A small request that needs the token.
pub(crate) fn people(sandbox: &Sandbox) -> Request {
    Request::get(sandbox.url("/v1/people/me"))
}

/// A proxy that sends every host name to the sandbox.
pub(crate) fn any_host(sandbox: &Sandbox) -> AnyHost {
    AnyHost::start(sandbox.origin().socket_addrs(|| None).unwrap()[0], None)
}
