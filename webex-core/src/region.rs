//! Region discovery: where the user is, according to this machine's address.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    endpoints::Endpoints,
    error::HttpError,
    http::{Auth, Http, Request},
    lenient,
};

/// How long region discovery may take (reference client: 5,000 ms).
pub const REGION_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the user is. Fields that the service leaves out are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Region {
    /// The address that the service sees.
    #[serde(deserialize_with = "lenient::field")]
    pub client_address: String,
    /// The region of the client, such as `US-EAST`.
    #[serde(deserialize_with = "lenient::field")]
    pub client_region: String,
    /// The country, such as `US`.
    #[serde(deserialize_with = "lenient::field")]
    pub country_code: String,
    /// The region whose services to use.
    #[serde(deserialize_with = "lenient::field")]
    pub region_code: String,
    /// The time zone, such as `America/New_York`.
    #[serde(deserialize_with = "lenient::field")]
    pub timezone: String,
}

/// The largest answer that is read, in bytes; some hundred are usual.
const ANSWER_LIMIT: usize = 64 * 1024;

impl Region {
    /// Asks the service, which needs neither a token nor the client's headers.
    pub(crate) async fn fetch(http: &Http, endpoints: &Endpoints) -> Result<Self, HttpError> {
        let request = Request::get(endpoints.region.clone())
            .auth(Auth::None)
            .without_header("spark-user-agent")
            .timeout(REGION_TIMEOUT)
            .answer_limit(ANSWER_LIMIT);
        http.send(request).await?.json()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use webex_tests::mutate::mutations;

    use super::*;

    #[test]
    fn one_field_never_destroys_the_answer() {
        let full = json!({
            "clientAddress": "192.0.2.1", "clientRegion": "US-EAST", "countryCode": "US",
            "regionCode": "US-EAST", "timezone": "America/New_York",
        });
        for (path, mutated) in mutations(&full) {
            let region: Region = serde_json::from_value(mutated.clone()).unwrap();
            assert!(path == "/countryCode" || region.country_code == "US", "{mutated}");
            assert!(path == "/regionCode" || region.region_code == "US-EAST", "{mutated}");
        }
    }
}
