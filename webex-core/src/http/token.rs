//! Token requests over the connections of the HTTP client.

use std::sync::Arc;

use webex_auth::{BoxFuture, ReqwestHttp, TokenHttp, TokenReply, TokenRequest};

use super::dial::Dialler;

/// Sends token requests, and reports when the proxy blocks them.
#[derive(Debug)]
pub(super) struct ProxiedTokens {
    http: ReqwestHttp,
    dialler: Dialler,
}

impl ProxiedTokens {
    pub(super) fn new(http: ReqwestHttp, dialler: Dialler) -> Self {
        Self { http, dialler }
    }
}

type Outcome = Result<TokenReply, webex_auth::TokenTransportError>;

impl TokenHttp for ProxiedTokens {
    fn send<'a>(&'a self, request: &'a TokenRequest) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let way = self.dialler.check(request.url());
            way.map_err(webex_auth::TokenTransportError::connection)?;
            match self.http.send(request).await {
                Err(webex_auth::TokenTransportError::Connection(source)) => {
                    Err(match self.dialler.proxy_failure(request.url()).await {
                        Some(error) => webex_auth::TokenTransportError::connection(error),
                        None => webex_auth::TokenTransportError::Connection(Arc::clone(&source)),
                    })
                }
                outcome => outcome,
            }
        })
    }
}
