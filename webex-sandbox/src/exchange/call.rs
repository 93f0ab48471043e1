//! A request as its handler sees it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, header::HeaderName};
use hyper::upgrade::OnUpgrade;
use serde_json::{Map, Value};

use crate::{
    exchange::{connection::Connection, reply::Reply},
    state::{fault::Fault, instances::Instance, users::User},
    urls::Base,
    world::World,
};

/// The variable parts of a path, by name.
pub(crate) type Params = Vec<(String, String)>;

/// A request as its handler sees it.
pub(crate) struct Call {
    pub(crate) world: Arc<World>,
    pub(crate) base: Base,
    pub(crate) connection: Connection,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The bearer token as sent, if any.
    pub(crate) token: Option<String>,
    /// The fault that applies to this request, for handlers that go on after the answer.
    pub(crate) fault: Option<Fault>,
    /// Set when the client asked for an upgrade.
    pub(crate) upgrade: Option<OnUpgrade>,
    pub(super) user: Option<Arc<User>>,
    pub(super) params: Params,
    pub(super) query: String,
}

impl Call {
    /// The user of the token. Operations that need a user are only called with one.
    ///
    /// # Errors
    /// The 401 answer, for tokens that do not belong to a person.
    pub(crate) fn user(&self) -> Result<&Arc<User>, Reply> {
        self.user.as_ref().ok_or_else(Reply::unauthorized)
    }

    /// A part of the path, by its name in the route.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The query without `?`.
    pub(crate) fn raw_query(&self) -> &str {
        &self.query
    }

    /// A query parameter, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        pairs(self.query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The JSON object in the body.
    ///
    /// # Errors
    /// The 400 answer.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Reply> {
        serde_json::from_slice(&self.body)
            .map_err(|_| Reply::bad_request("The body is not a JSON object."))
    }

    /// The form fields of the body.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        pairs(&self.body).collect()
    }

    /// The Mobius instance of the path.
    ///
    /// # Errors
    /// The 404 answer when no instance has that name.
    pub(crate) fn instance(&self) -> Result<&Instance, Reply> {
        self.world.instance(self.param("instance")).ok_or_else(|| Reply::not_found("Instance"))
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn pairs(encoded: &[u8]) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(encoded)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
}
