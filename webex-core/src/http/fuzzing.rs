//! Fuzz targets of private parts of this folder; see [`crate::fuzzing`].

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use super::{
    allow::AllowList,
    policy::HostPolicy,
    proxy::{Proxies, Proxy},
    request::Request,
    response::{Redirects, Response},
};
use crate::{endpoints::Endpoints, error::HttpError};

/// A catalog that lists one host with one port.
#[derive(Debug)]
struct Listed;

const LISTED: (&str, u16) = ("wdm.wbx2.com", 8443);

impl HostPolicy for Listed {
    fn lists(&self, host: &str, port: u16) -> bool {
        (host, port) == LISTED
    }
    fn place(&self, url: &Url) -> Url {
        url.clone()
    }
    fn observe(&self, _: &Url, _: Option<&HttpError>) {}
    fn mark_failed(&self, _: &Url) {}
    fn forget_failures(&self) {}
}

/// An answer: two bytes of status, lines of headers, an empty line, the body.
pub fn http_answer(data: &[u8]) {
    let [high, low, rest @ ..] = data else { return };
    let status = 100 + u16::from_be_bytes([*high, *low]) % 500;
    let status = StatusCode::from_u16(status).expect("in range");
    let split = rest.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match split {
        Some(at) => (&rest[..at], &rest[at + 2..]),
        None => (&rest[..0], rest),
    };
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(50) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let allow = AllowList::new(&Endpoints::production(), Arc::new(Listed));
    let from = Url::parse("https://wdm-a.wbx2.com/wdm/api/v1/devices?x=1").expect("a URL");
    let response = Response::new(from.clone(), status, headers, Bytes::copy_from_slice(body));
    if let Ok(Some(redirect)) = Redirects::default().next(&response) {
        let mut request = Request::get(from);
        if redirect.apply(&mut request, &allow).is_ok() {
            let may = may_have_token(&request.url, false);
            assert!(may || request.url.host_str() == Some("ds.ciscospark.com"), "{}", request.url);
        }
    }
    let _ = response.retry_after();
    if let Err(error) = response.into_result(&std::iter::empty()) {
        let _ = (error.kind(), error.to_string(), format!("{error:?}"));
    }
}

/// An address: the allow list and a second implementation of its rule agree.
pub fn allow_list(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(url) = Url::parse(text) else { return };
    for (endpoints, government) in [(Endpoints::production(), false), (Endpoints::fedramp(), true)]
    {
        let list = AllowList::new(&endpoints, Arc::new(Listed));
        assert_eq!(list.allows(&url), may_have_token(&url, government), "{url} {government}");
        if list.allows(&url) {
            assert!(list.may_list(&url), "{url}");
        }
    }
}

/// The rule, from the text of the address: a TLS scheme, no user, a Webex host of this cloud, and
/// the TLS port or the listed one.
fn may_have_token(url: &Url, government: bool) -> bool {
    let Some((scheme, rest)) = url.as_str().split_once("://") else { return false };
    if !["https", "wss"].contains(&scheme) {
        return false;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if authority.contains('@') {
        return false;
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    if port != "443" && (host, port) != (LISTED.0, "8443") {
        return false;
    }
    let mut labels: Vec<_> = host.split('.').collect();
    if labels.last() == Some(&"") {
        labels.pop();
    }
    let domains = [
        "wbx2.com",
        "ciscospark.com",
        "webex.com",
        "webexapis.com",
        "broadcloudpbx.com",
        "broadcloud.eu",
        "broadcloud.com.au",
        "broadcloudpbx.net",
    ];
    let is_webex = domains.iter().any(|domain| {
        let domain: Vec<_> = domain.split('.').collect();
        labels.len() >= domain.len() && labels[labels.len() - domain.len()..] == domain[..]
    });
    let is_government = labels.iter().any(|label| {
        ["idbroker-f", "identity-f"].contains(label)
            || label.split('-').any(|word| word == "gov" || word == "usgov")
    });
    is_webex && is_government == government
}

/// Three lines: a proxy, its exceptions, the address of a request.
pub fn proxy_rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (proxy, except, target) = (line(), line(), line());
    if let Ok(proxy) = Proxy::new(proxy) {
        let shown = format!("{proxy:?}");
        let hidden = Url::parse(text).ok().and_then(|url| url.password().map(str::to_owned));
        if let Some(password) = hidden.filter(|password| password.len() > 8) {
            assert!(!shown.contains(&password), "{shown}");
        }
    }
    let variable = |name: &str| match name {
        "HTTPS_PROXY" | "HTTP_PROXY" => Some(proxy.to_owned()),
        "NO_PROXY" => Some(except.to_owned()),
        _ => None,
    };
    let Ok(target) = Url::parse(target) else { return };
    let proxies = Proxies::from_variables(variable);
    let chosen = proxies.for_url(&target);
    if except.split([',', ' ']).any(|entry| entry.trim() == "*") {
        assert!(matches!(chosen, Ok(None)), "everything is excepted");
    }
    if matches!(target.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        assert!(matches!(chosen, Ok(None)), "loopback is reached directly");
    }
}
