//! Reads the body of an answer, up to its limit.

use bytes::Bytes;

use super::limits::{ERROR_LIMIT, UNUSED_LIMIT};

/// How much of a body to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyRead {
    /// All of it; more than this many bytes is an error.
    Whole(usize),
    /// Nothing.
    Nothing,
}

/// Why a body could not be read.
pub(super) enum BodyError {
    /// The connection broke.
    Broken(reqwest::Error),
    /// It is longer than this many bytes.
    TooLarge(usize),
}

/// Reads the body. Of errors and unused answers only the beginning is read.
pub(super) async fn read(
    mut response: reqwest::Response,
    wanted: BodyRead,
) -> Result<Bytes, BodyError> {
    let is_error = response.status().as_u16() >= 400;
    let (limit, cut) = match wanted {
        _ if is_error => (ERROR_LIMIT, true),
        BodyRead::Whole(limit) => (limit, false),
        BodyRead::Nothing => (UNUSED_LIMIT, true),
    };
    let announced = response.content_length().unwrap_or_default();
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > limit && !cut {
        return Err(BodyError::TooLarge(limit));
    }
    let keep = is_error || wanted != BodyRead::Nothing;
    let (mut body, mut read) = (Vec::new(), 0);
    if keep {
        body.reserve_exact(announced.min(limit));
    }
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        read += chunk.len();
        if read > limit && !cut {
            return Err(BodyError::TooLarge(limit));
        }
        if keep {
            let room = limit - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        if read >= limit && cut {
            break;
        }
    }
    Ok(body.into())
}
