//! Reading the body of an answer, as far as its limit goes.

use bytes::Bytes;

use super::limits::{ERROR_LIMIT, UNUSED_LIMIT};

/// How much of a body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it; more than so many bytes is an error.
    Whole(usize),
    /// Nothing.
    Nothing,
}

/// Why a body cannot be had.
pub(super) enum BodyError {
    /// The connection broke.
    Broken(reqwest::Error),
    /// It is longer than so many bytes.
    TooLarge(usize),
}

/// Reads the body. Of an error, and of what nobody wants, the beginning is enough.
pub(super) async fn read(
    mut response: reqwest::Response,
    wanted: Wanted,
) -> Result<Bytes, BodyError> {
    let is_error = response.status().as_u16() >= 400;
    let (limit, cut) = match wanted {
        _ if is_error => (ERROR_LIMIT, true),
        Wanted::Whole(limit) => (limit, false),
        Wanted::Nothing => (UNUSED_LIMIT, true),
    };
    let announced = response.content_length().unwrap_or_default();
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > limit && !cut {
        return Err(BodyError::TooLarge(limit));
    }
    let keep = is_error || wanted != Wanted::Nothing;
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
