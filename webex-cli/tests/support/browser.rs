//! A browser, as far as a sign-in needs one.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use url::Url;

/// Opens a link as a browser does: status, `Location` and body.
pub(crate) async fn open(url: &str) -> (u16, Option<String>, String) {
    let url = Url::parse(url).unwrap();
    let get = move || {
        let address = (url.host_str().unwrap(), url.port().unwrap());
        let mut stream = TcpStream::connect(address).unwrap();
        let target = &url[url::Position::BeforePath..];
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
        (status, location.map(str::to_owned), answer.clone())
    };
    tokio::task::spawn_blocking(get).await.unwrap()
}
