//! Timestamps in JSON: RFC 3339, as all timestamps on the wire are.

use jiff::Timestamp;
use serde::Serializer;

/// Writes a time.
pub(crate) fn as_text<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

/// Writes a time, or null when it is not known yet.
#[allow(clippy::ref_option)] // serde hands a reference to the field
pub(crate) fn as_text_or_null<S: Serializer>(
    time: &Option<Timestamp>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_text(time, to),
        None => to.serialize_none(),
    }
}
