//! Limits on a server's answers: how much of them is read, and how they are shown.

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::SecretString;
use serde_json::json;
use support::{client, people, trusting};
use webex_core::{Credentials, Endpoints, ErrorKind, HttpError, Request, Webex};
use webex_sandbox::{Hydra, Sandbox};

const MIB: usize = 1024 * 1024;

/// A plain HTTP server that answers everything with a head and then the same text without end.
struct Chatterbox {
    origin: String,
    said: Arc<AtomicUsize>,
}

impl Chatterbox {
    fn start(head: &'static str, word: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let said = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&said);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                thread::spawn(move || talk(stream, head, word, &count));
            }
        });
        Self { origin, said }
    }

    fn client(&self) -> (Webex, Request) {
        let webex = Webex::builder()
            .credentials(Credentials::access_token("t"))
            .endpoints(Endpoints::at(&self.origin).unwrap())
            .build()
            .unwrap();
        (webex, Request::get(format!("{}/x", self.origin).parse().unwrap()))
    }

    fn said(&self) -> usize {
        self.said.load(Ordering::Acquire)
    }
}

fn talk(mut stream: TcpStream, head: &str, word: &str, said: &AtomicUsize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let _ = stream.write_all(head.as_bytes());
    let words = word.repeat(64 * 1024 / word.len());
    while stream.write_all(words.as_bytes()).is_ok() {
        said.fetch_add(words.len(), Ordering::AcqRel);
    }
}

/// How much the operating system may buffer beyond what is read.
const BUFFERS: usize = 16 * MIB;

#[tokio::test]
async fn an_answer_without_end_is_an_error_after_its_limit() {
    let server = Chatterbox::start("HTTP/1.1 200 OK\r\n\r\n", r#"{"":0},"#);
    let (webex, request) = server.client();
    for (request, expected) in
        [(request.clone(), 8 * MIB), (request.clone().answer_limit(1000), 1000)]
    {
        let error = webex.http().send(request).await.unwrap_err();
        let HttpError::TooLarge { limit, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*limit, error.kind()), (expected, ErrorKind::Protocol));
    }
    // For an unused answer the beginning is enough.
    let answer = webex.http().send(request.ignore_body()).await.unwrap();
    assert!(answer.body().is_empty());
    assert!(server.said() < 8 * MIB + 3 * BUFFERS, "{}", server.said());
}

#[tokio::test]
async fn an_error_without_end_is_the_error_that_it_begins_as() {
    let server = Chatterbox::start("HTTP/1.1 503 No\r\n\r\n", r#"{"message":"no","":0},"#);
    let (webex, request) = server.client();
    for request in [request.clone(), request.ignore_body()] {
        let error = webex.http().send(request).await.unwrap_err();
        assert_eq!(error.status(), Some(503));
        assert!(error.service().unwrap().body.len() <= 64 * 1024);
    }
    assert!(server.said() < 2 * BUFFERS, "{}", server.said());
}

#[tokio::test]
async fn an_answer_that_announces_too_much_is_not_read() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n";
    let server = Chatterbox::start(head, "x");
    let (webex, request) = server.client();
    let error = webex.http().send(request).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error:?}");
    assert!(server.said() < BUFFERS, "{}", server.said());
}

#[tokio::test]
async fn a_catalog_with_too_many_entries_says_so() {
    let sandbox = Sandbox::start().await.unwrap();
    let links: serde_json::Map<_, _> =
        (0..20_000).map(|n| (format!("s{n}"), json!("https://x"))).collect();
    let catalog = json!({"serviceLinks": links});
    sandbox.fail(webex_sandbox::U2c::postauth()).with(200).body(catalog).once();
    let error = client(&sandbox, trusting(&sandbox)).ready().await.unwrap_err();
    assert!(error.to_string().contains("more entries than are read"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn what_a_service_quotes_of_the_request_is_not_shown() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox, trusting(&sandbox));
    let token = sandbox.token().to_owned();
    let percent: Vec<_> = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let percent = percent.concat();
    let base64 = BASE64_STANDARD.encode(format!("x:{token}"));
    let jwe = SecretString::from("secret-of-a-guest");
    let own = "Basic c29tZWJvZHk6c2VjcmV0";
    for quote in [
        format!("Bearer {token}"),
        percent,
        base64,
        "secret-of-a-guest".to_owned(),
        "c29tZWJvZHk6c2VjcmV0".to_owned(),
        "\u{1b}[2J\u{202e}\u{7}\n".to_owned(),
    ] {
        for own in [None, Some(own)] {
            if own.is_some() != quote.starts_with("c29t") {
                continue;
            }
            let body = json!({"message": format!("bad: {quote}!"), "trackingId": quote});
            sandbox.fail(Hydra::me()).with(400).body(body).once();
            let mut request =
                people(&sandbox).json(&json!({"jwe": "secret-of-a-guest"})).secret(&jwe);
            if let Some(own) = own {
                request = request.header("authorization", own);
            }
            let error = webex.http().send(request).await.unwrap_err();
            let shown = format!("{error} {error:?} {:?}", error.tracking_id());
            assert!(shown.contains("bad: "), "{shown}");
            assert!(!shown.contains(quote.trim_start_matches("Bearer ")), "{shown}");
            assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
        }
    }
}

#[tokio::test]
async fn a_web_page_instead_of_an_answer_is_named() {
    const PAGE: &str = "<!doctype html><title>Welcome to the hotel</title>";
    for (head, kind) in [
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 50\r\n\r\n", ErrorKind::Protocol),
        (
            "HTTP/1.1 511 Sign in\r\nConnection: close\r\nContent-Length: 50\r\n\r\n",
            ErrorKind::Network,
        ),
        (
            "HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 50\r\n\r\n",
            ErrorKind::Forbidden,
        ),
    ] {
        let server = Chatterbox::start(head, PAGE);
        let (webex, request) = server.client();
        let error = match webex.http().send(request).await {
            Ok(answer) => answer.json::<serde_json::Value>().unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("a sign-in page or a proxy is likely"), "{error}");
    }
}

#[tokio::test]
async fn not_modified_is_an_answer_and_no_redirect() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox, trusting(&sandbox));
    sandbox.fail(Hydra::me()).with(304).once();
    let answer = webex.http().send(people(&sandbox).header("if-none-match", "x")).await.unwrap();
    assert_eq!(answer.status(), 304);
}
