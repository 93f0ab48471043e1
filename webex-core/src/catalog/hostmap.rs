//! The wire form of the catalog, `format=hostmap`.
//!
//! Both maps keep the order of the text: the reference client takes Mobius clusters in it.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use url::Url;

use super::{Catalog, CatalogHost};

/// A catalog answer. Fields that are not used are skipped while reading.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HostMap {
    #[serde(default, deserialize_with = "ordered")]
    service_links: Vec<(String, String)>,
    #[serde(default, deserialize_with = "ordered")]
    host_catalog: Vec<(String, Vec<CatalogHost>)>,
}

impl From<HostMap> for Catalog {
    fn from(map: HostMap) -> Self {
        // A link that is no URL is as good as none: the service is reported as missing when asked for.
        let url = |(name, link): (String, String)| Some((name, Url::parse(&link).ok()?));
        Self {
            services: map.service_links.into_iter().filter_map(url).collect(),
            hosts: map.host_catalog,
        }
    }
}

/// Reads a JSON object into a list of pairs, in its order.
fn ordered<'de, D, V>(deserializer: D) -> Result<Vec<(String, V)>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Pairs<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
        type Value = Vec<(String, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_map(Pairs(PhantomData))
}
