//! Durations as a number of seconds, whole numbers as integers; and deadlines made from them.
//!
//! No number that a client sends overflows: deadlines end at [`LIMIT`] from now.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Number;
use tokio::time::Instant;

/// A hundred years: longer than any sandbox runs, and far from what a clock can hold.
const LIMIT: Duration = Duration::from_hours(100 * 365 * 24);

/// `duration` from `now`, or a hundred years if that is sooner.
pub(crate) fn after(now: Instant, duration: Duration) -> Instant {
    now + duration.min(LIMIT)
}

/// The number for `duration` on the wire.
pub(crate) fn number(duration: Duration) -> Number {
    if duration.subsec_nanos() == 0 {
        duration.as_secs().into()
    } else {
        Number::from_f64(duration.as_secs_f64()).unwrap_or_else(|| 0.into())
    }
}

pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    number(*value).serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(D::Error::custom)
}

/// Durations that may be absent, as a number of seconds or null.
pub(crate) mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[allow(clippy::ref_option)] // serde hands a reference to the field
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(super::number).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(from)?;
        seconds.map(Duration::try_from_secs_f64).transpose().map_err(D::Error::custom)
    }
}
