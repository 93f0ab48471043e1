//! Refusals of the control API.

use std::fmt;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::StatusCode;

use crate::{control::ControlError, exchange::reply::Reply};

/// The answer to a control call, or the refusal.
pub(crate) type Result<T> = std::result::Result<T, Refused>;

/// A refused control call.
#[derive(Debug)]
pub(crate) struct Refused(Reply);

impl Refused {
    pub(crate) fn new(status: StatusCode, message: &str) -> Self {
        Self(Reply::error(status, message))
    }

    pub(crate) fn bad(error: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &error.to_string())
    }
}

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        let status = match error {
            ControlError::Unknown => StatusCode::NOT_FOUND,
            ControlError::Malformed(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, &error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response<Body> {
        self.0.into_response(None)
    }
}
