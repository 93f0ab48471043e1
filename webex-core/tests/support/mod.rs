//! Helpers shared by the tests of this crate.

#![allow(dead_code)] // each uses its part

pub(crate) mod tinyproxy;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use webex_auth::{ProviderError, TokenSet};
use webex_core::{
    AccessToken, Credentials, Endpoints, Request, Transport, TransportBuilder, Webex, WebexBuilder,
};
use webex_sandbox::Sandbox;
use webex_tests::anyhost::AnyHost;

/// A transport that trusts the sandbox.
pub(crate) fn trusting(sandbox: &Sandbox) -> TransportBuilder {
    Transport::builder().extra_roots_pem(sandbox.ca_pem().unwrap().as_bytes()).unwrap()
}

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

/// A builder for the sandbox's default user.
pub(crate) fn builder(sandbox: &Sandbox) -> WebexBuilder {
    Webex::builder()
        .credentials(Credentials::access_token(sandbox.token()))
        .endpoints(cloud(sandbox))
        .transport(trusting(sandbox).build().unwrap())
}

/// A small request that needs the token.
pub(crate) fn people(sandbox: &Sandbox) -> Request {
    Request::get(sandbox.url("/v1/people/me"))
}

/// A proxy that sends every host name to the sandbox.
pub(crate) fn any_host(sandbox: &Sandbox) -> AnyHost {
    AnyHost::start(sandbox.origin().socket_addrs(|| None).unwrap()[0], None)
}

/// Credentials that renew with a new token of the sandbox, and a count of renewals.
pub(crate) fn renewable(sandbox: &Arc<Sandbox>) -> (Credentials, Arc<AtomicUsize>) {
    let renewed = Arc::new(AtomicUsize::new(0));
    let (sandbox, count) = (Arc::downgrade(sandbox), Arc::clone(&renewed));
    let provider = move || {
        count.fetch_add(1, Ordering::Relaxed);
        let token = sandbox.upgrade().and_then(|sandbox| sandbox.issue_token(sandbox.user(), None));
        async move {
            let token = token.ok_or("the sandbox is gone").map_err(ProviderError::permanent)?;
            let token = AccessToken::parse(&token).map_err(ProviderError::permanent)?;
            Ok(TokenSet::new(token))
        }
    };
    (Credentials::provider(provider), renewed)
}
