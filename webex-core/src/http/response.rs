//! An answer, or a redirect.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, LOCATION},
};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{
    allow::AllowList,
    request::{Auth, Request},
};
use crate::{
    endpoints::with_authority,
    error::{HttpError, PAGE, ServiceError, is_page, retry_after},
    lenient::{self, stream::is_too_many},
};

const CISCO_LOCATION: &str = "cisco-location";

/// Redirects by header followed for one request (the reference client's `maxAppLevelRedirects`).
const MAX_HEADER_REDIRECTS: u32 = 10;

/// Redirects by body followed for one request (the reference client's `maxLocusRedirects`).
const MAX_BODY_REDIRECTS: u32 = 5;

/// `errorCode` of a redirect by Locus.
const LOCUS_REDIRECT: i64 = 2_000_002;

/// `code` of a redirect by the App API to the user's site.
const SITE_REDIRECT: i64 = 404_100;

/// A successful answer (below 400).
#[derive(Debug)]
pub struct Response {
    url: Url,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Response {
    pub(super) fn new(url: Url, status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self { url, status, headers, body }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as received.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as JSON, parsed straight into `T`.
    ///
    /// # Errors
    /// [`HttpError::Body`] when it is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        self.read(|body| serde_json::from_slice(body))
    }

    /// The body, read by `parse`.
    pub(crate) fn read<T>(
        &self,
        parse: impl FnOnce(&[u8]) -> Result<T, serde_json::Error>,
    ) -> Result<T, HttpError> {
        parse(&self.body).map_err(|error| HttpError::Body {
            host: self.host(),
            // Only position and kind: serde's message may quote the body.
            reason: if is_page(&self.body) {
                PAGE.to_owned()
            } else if is_too_many(&error) {
                "it has more entries than are read".to_owned()
            } else {
                let kind = error.classify();
                format!("{kind:?} error at line {} column {}", error.line(), error.column())
            },
        })
    }

    /// How long the service asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }

    /// Returns the answer, or its error with the `secrets` removed.
    pub(super) fn into_result<'a>(
        self,
        secrets: &(impl Iterator<Item = &'a str> + Clone),
    ) -> Result<Self, HttpError> {
        if self.status.as_u16() < 400 {
            return Ok(self);
        }
        let host = self.host();
        let error = ServiceError::read(&host, self.status, &self.headers, self.body, secrets);
        Err(HttpError::Status(Arc::new(error)))
    }

    fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }

    /// A redirect by header: `cisco-location`, or 307 and 308, which keep method and body. Others
    /// (301, 302, 303) change the request and are not followed.
    fn header_redirect(&self) -> Result<Option<Url>, &'static str> {
        let follow = matches!(self.status.as_u16(), 307 | 308);
        let location = match self.header(CISCO_LOCATION) {
            Some(location) if self.status.as_u16() < 400 => location,
            _ if follow => self.header(LOCATION.as_str()).unwrap_or_default(),
            // The answer to a condition (`if-none-match`): nothing has changed.
            _ if self.status == StatusCode::NOT_MODIFIED => return Ok(None),
            _ if self.status.is_redirection() => "",
            _ => return Ok(None),
        };
        if location.is_empty() {
            return Err("only 307 and 308 with a location are followed");
        }
        self.url.join(location).map(Some).map_err(|_| "the location is no URL")
    }

    /// A redirect by the body of a 404: Locus names an address, the App API the host of the user's site.
    fn body_redirect(&self) -> Result<Option<Url>, &'static str> {
        if self.status != StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let Ok(body) = serde_json::from_slice::<RedirectBody>(&self.body) else { return Ok(None) };
        if let (Some(LOCUS_REDIRECT), Some(location)) = (body.error_code, &body.location) {
            return self.url.join(location).map(Some).map_err(|_| "the location is no URL");
        }
        let (Some(SITE_REDIRECT), Some(site)) = (body.code, body.data.site) else {
            return Ok(None);
        };
        with_authority(&self.url, &site).map(Some).ok_or("the site is no host")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedirectBody {
    #[serde(default, deserialize_with = "lenient::field")]
    error_code: Option<i64>,
    #[serde(default, deserialize_with = "lenient::field")]
    location: Option<String>,
    #[serde(default, deserialize_with = "lenient::field")]
    code: Option<i64>,
    #[serde(default, deserialize_with = "lenient::field")]
    data: RedirectData,
}

#[derive(Default, Deserialize)]
struct RedirectData {
    #[serde(default, rename = "siteFullUrl", deserialize_with = "lenient::field")]
    site: Option<String>,
}

/// Where to send a request instead.
#[derive(Debug)]
pub(super) struct Redirect {
    target: Url,
    anonymous: bool,
}

impl Redirect {
    /// Applies the redirect to the request. Whether the token is sent is decided again for the new
    /// address; the request's own authorization stays with its origin.
    ///
    /// # Errors
    /// [`HttpError::Redirect`] when the address is not allowed.
    pub(super) fn apply(self, request: &mut Request, allow: &AllowList) -> Result<(), HttpError> {
        if !request.may_follow(&self.target, allow) {
            let host = request.url.host_str().unwrap_or_default().to_owned();
            return Err(HttpError::Redirect { host, reason: "it does not belong to this cloud" });
        }
        if request.url.origin() != self.target.origin() {
            let own = |name: &http::HeaderName| name == AUTHORIZATION;
            if request.headers.iter().any(|(name, value)| own(name) && value.is_some()) {
                request.headers.retain(|(name, _)| !own(name));
                request.auth = Auth::None;
            }
        }
        if self.anonymous {
            request.auth = Auth::None;
        }
        request.url = self.target;
        Ok(())
    }
}

/// The redirects of one request so far, by kind.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    by_header: u32,
    by_body: u32,
}

impl Redirects {
    /// Returns the redirect of an answer, if there is one.
    pub(super) fn next(&mut self, response: &Response) -> Result<Option<Redirect>, HttpError> {
        let refused = |reason| HttpError::Redirect { host: response.host(), reason };
        let (target, by_body) = match response.header_redirect().map_err(refused)? {
            Some(target) => (target, false),
            None => match response.body_redirect().map_err(refused)? {
                Some(target) => (target, true),
                None => return Ok(None),
            },
        };
        let (count, most) = if by_body {
            (&mut self.by_body, MAX_BODY_REDIRECTS)
        } else {
            (&mut self.by_header, MAX_HEADER_REDIRECTS)
        };
        *count += 1;
        if *count > most {
            return Err(refused("too many redirects"));
        }
        match (response.url.scheme(), target.scheme()) {
            (_, "https") | ("http", "http") => {}
            (_, "http") => return Err(refused("from https to an unprotected URL")),
            _ => return Err(refused("it is no address for HTTP")),
        }
        // Requests before joining a meeting go to the site without a token.
        let anonymous = by_body
            && response.url.path_segments().is_some_and(|mut path| path.any(|s| s == "preJoin"));
        Ok(Some(Redirect { target, anonymous }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use webex_tests::mutate::mutations;

    use super::*;

    #[test]
    fn fields_beside_a_redirect_do_not_hide_it() {
        let site = json!({"code": 404_100, "data": {"siteFullUrl": "a.webex.com"}, "errorCode": 7,
            "location": "x"});
        let locus = json!({"errorCode": LOCUS_REDIRECT, "location": "https://b.wbx2.com/",
            "code": 7, "data": {"siteFullUrl": "x"}});
        let site = {
            let mut site = site;
            site["code"] = SITE_REDIRECT.into();
            site
        };
        for (whole, needed, target) in [
            (site, ["/code", "/data"], "https://a.webex.com/x"),
            (locus, ["/errorCode", "/location"], "https://b.wbx2.com/"),
        ] {
            for (path, mutated) in mutations(&whole) {
                if needed.iter().any(|needed| path.starts_with(needed)) {
                    continue;
                }
                let body = mutated.to_string().into();
                let url = Url::parse("https://w.wbx2.com/x").unwrap();
                let response = Response::new(url, StatusCode::NOT_FOUND, HeaderMap::new(), body);
                let found = response.body_redirect().unwrap().map(String::from);
                assert_eq!(found.as_deref(), Some(target), "{mutated}");
            }
        }
    }
}
