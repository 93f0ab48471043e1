//! A user at a sandbox: the client that most tests start with, and checks of what it leaves behind.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use webex_auth::{ProviderError, TokenSet};
use webex_core::{
    AccessToken, Credentials, Endpoints, Transport, TransportBuilder, Webex, WebexBuilder,
};
use webex_sandbox::Sandbox;

/// A transport that trusts the sandbox.
///
/// # Panics
/// When the sandbox speaks no TLS.
pub fn trusting(sandbox: &Sandbox) -> TransportBuilder {
    let ca = sandbox.ca_pem().expect("the sandbox speaks TLS");
    Transport::builder().extra_roots_pem(ca.as_bytes()).expect("a certificate")
}

/// A builder for the sandbox's default user.
///
/// # Panics
/// When the sandbox speaks no TLS.
pub fn builder(sandbox: &Sandbox) -> WebexBuilder {
    at(sandbox.origin().as_str(), trusting(sandbox))
        .credentials(Credentials::access_token(sandbox.token()))
}

/// The sandbox's default user.
///
/// # Panics
/// When the sandbox speaks no TLS.
pub fn client(sandbox: &Sandbox) -> Webex {
    builder(sandbox).build().expect("a client")
}

/// The user of a token at a sandbox in another process with this certificate.
///
/// # Panics
/// When the certificate or the address is invalid.
pub fn client_at(origin: &str, ca: &[u8], token: &str) -> Webex {
    let transport = Transport::builder().extra_roots_pem(ca).expect("a certificate");
    let credentials = Credentials::access_token(token);
    at(origin, transport).credentials(credentials).build().expect("a client")
}

/// Credentials that renew with a new token of the sandbox's default user, and a count of renewals.
pub fn renewable(sandbox: &Arc<Sandbox>) -> (Credentials, Arc<AtomicUsize>) {
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

/// Asserts that no device, socket or line is left in the cloud.
///
/// # Panics
/// When there is one.
pub fn assert_empty(sandbox: &Sandbox) {
    let counts = sandbox.counts();
    assert_eq!(
        (counts.devices, counts.sockets, counts.lines),
        (0, 0, 0),
        "devices, sockets, lines"
    );
}

fn at(origin: &str, transport: TransportBuilder) -> WebexBuilder {
    Webex::builder()
        .endpoints(Endpoints::at(origin).expect("an origin"))
        .transport(transport.build().expect("a transport"))
}
