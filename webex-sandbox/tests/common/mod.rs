//! A small independent client. What it sends and receives is written out, so that tests assert on
//! the wire.

#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use url::Url;
use webex_sandbox::Sandbox;

/// TLS that trusts only the sandbox's authority.
pub fn tls(sandbox: &Sandbox, alpn: &[&[u8]]) -> ClientConfig {
    let pem = sandbox.ca_pem().expect("the sandbox speaks TLS");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// HTTP client of a sandbox, HTTP/2 unless `http1`.
pub fn http(sandbox: &Sandbox, http1: bool) -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    let alpn: &[&[u8]] = if http1 { &[b"http/1.1"] } else { &[b"h2", b"http/1.1"] };
    let builder = if sandbox.ca_pem().is_some() {
        builder.tls_backend_preconfigured(tls(sandbox, alpn))
    } else {
        builder.tls_backend_preconfigured(empty_tls())
    };
    builder.build().unwrap()
}

fn empty_tls() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A client with a token.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub origin: Url,
    pub token: String,
    pub user_id: String,
}

impl Client {
    pub fn new(sandbox: &Sandbox) -> Self {
        let user = sandbox.user();
        Self::with_token(sandbox, user.token(), &user.id)
    }

    pub fn with_token(sandbox: &Sandbox, token: &str, user_id: &str) -> Self {
        Self {
            http: http(sandbox, false),
            origin: sandbox.origin().clone(),
            token: token.to_owned(),
            user_id: user_id.to_owned(),
        }
    }

    /// Sends a request to a path of the sandbox or to a full URL.
    pub async fn try_send(
        &self,
        method: Method,
        target: &str,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        let url = self.origin.join(target).unwrap();
        let mut request = self
            .http
            .request(method, url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("trackingid", "test_1");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        read(request.send().await?).await
    }

    pub async fn send(&self, method: Method, target: &str, body: Option<Value>) -> Answer {
        self.try_send(method, target, body).await.unwrap()
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(Method::GET, target, None).await
    }

    pub async fn post(&self, target: &str, body: Value) -> Answer {
        self.send(Method::POST, target, Some(body)).await
    }

    pub async fn delete(&self, target: &str) -> Answer {
        self.send(Method::DELETE, target, None).await
    }

    /// Posts a form, without a bearer token.
    pub async fn form(&self, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.form_as(target, fields, None).await
    }

    /// Posts a form with HTTP Basic credentials.
    pub async fn form_as(
        &self,
        target: &str,
        fields: &[(&str, &str)],
        basic: Option<(&str, &str)>,
    ) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields.iter().copied())
            .finish();
        let mut request = self
            .http
            .post(self.origin.join(target).unwrap())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some((id, secret)) = basic {
            request = request.basic_auth(id, Some(secret));
        }
        read(request.send().await.unwrap()).await.unwrap()
    }

    /// Registers a WDM device and returns its record.
    pub async fn device(&self) -> Value {
        let body = json!({"deviceType": "WEB", "name": "test", "model": "test", "ttl": 1800});
        let answer = self.post("/wdm/api/v1/devices?includeUpstreamServices=all", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Registers a line at a Mobius instance.
    pub async fn line(&self, instance: &str, device_url: &str) -> Answer {
        let body = json!({
            "userId": self.user_id,
            "clientDeviceUri": device_url,
            "serviceData": {"indicator": "calling", "domain": ""},
        });
        self.post(&format!("/mobius/{instance}/api/v1/calling/web/device"), body).await
    }
}

async fn read(response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await?;
    Ok(Answer { status, headers, text })
}

/// A Mercury client.
pub struct MercuryClient {
    stream: WebSocketStream<Box<dyn Stream>>,
}

/// Anything a websocket can run on.
pub trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for T {}

impl MercuryClient {
    /// Opens the socket of a device record, with the usual query plus `more`.
    pub async fn open(sandbox: &Sandbox, device: &Value, more: &str) -> Self {
        let url = format!(
            "{}?outboundWireFormat=text&bufferStates=true&aliasHttpStatus=true{more}",
            device["webSocketUrl"].as_str().unwrap()
        );
        Self::open_url(sandbox, &url).await.unwrap()
    }

    pub async fn open_url(
        sandbox: &Sandbox,
        url: &str,
    ) -> Result<Self, tokio_tungstenite::tungstenite::Error> {
        let at = sandbox.origin();
        let tcp = TcpStream::connect((at.host_str().unwrap(), at.port().unwrap())).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = if sandbox.ca_pem().is_some() {
            let name = Url::parse(url).unwrap().host_str().unwrap().to_owned();
            let connector = TlsConnector::from(Arc::new(tls(sandbox, &[b"http/1.1"])));
            Box::new(connector.connect(ServerName::try_from(name).unwrap(), tcp).await?)
        } else {
            Box::new(tcp)
        };
        let (stream, _) = client_async(url, stream).await?;
        Ok(Self { stream })
    }

    /// Opens and authorizes, and returns the first frame.
    pub async fn authorized(sandbox: &Sandbox, device: &Value, token: &str) -> (Self, Value) {
        let mut socket = Self::open(sandbox, device, "&multipleConnections=true").await;
        socket.authorize(token).await;
        let first = socket.next().await;
        (socket, first)
    }

    pub async fn authorize(&mut self, token: &str) {
        self.send(json!({
            "id": "a1",
            "type": "authorization",
            "data": {"token": format!("Bearer {token}")},
            "trackingId": "test_1",
        }))
        .await;
    }

    pub async fn send(&mut self, frame: Value) {
        self.stream.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next JSON frame; panics when the socket ends first.
    pub async fn next(&mut self) -> Value {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("a frame was expected, not {other:?}"),
        }
    }

    /// The next message of any kind.
    pub async fn next_message(&mut self) -> Option<Message> {
        self.stream.next().await.and_then(Result::ok)
    }

    /// Reads until the socket ends. Returns code and reason of the close frame, `None` when there was none.
    pub async fn closed(&mut self) -> Option<(u16, String)> {
        let mut close = None;
        // Reading on after a close frame answers it.
        while let Some(Ok(message)) = self.stream.next().await {
            if let Message::Close(frame) = message {
                close = Some(frame.map_or((1005, String::new()), |frame| {
                    (frame.code.into(), frame.reason.to_string())
                }));
            }
        }
        close
    }

    /// Closes as a client does. Returns the close frame of the answer, as [`Self::closed`] does.
    pub async fn close(&mut self, code: u16, reason: &'static str) -> Option<(u16, String)> {
        use tokio_tungstenite::tungstenite::protocol::CloseFrame;
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.stream.close(Some(frame)).await.unwrap();
        self.closed().await
    }
}
