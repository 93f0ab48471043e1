//! Paths of a service.

use std::{future::Future, sync::Arc};

use axum::{
    body::Body,
    extract::{RawPathParams, State},
    routing::{MethodFilter, MethodRouter, on},
};
use http::Request;

use crate::{
    exchange::{call::Call, pipeline::handle_request, reply::Reply},
    operation::Operation,
    world::World,
};

pub(crate) const GET: MethodFilter = MethodFilter::GET;
pub(crate) const POST: MethodFilter = MethodFilter::POST;
pub(crate) const PUT: MethodFilter = MethodFilter::PUT;
pub(crate) const DELETE: MethodFilter = MethodFilter::DELETE;

/// A route that runs `handler` as `operation`.
pub(crate) fn route<H, F>(filter: MethodFilter, operation: Operation, handler: H) -> Route
where
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Reply>> + Send,
{
    on(
        filter,
        move |State(world): State<Arc<World>>, params: RawPathParams, request: Request<Body>| {
            let params = params.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            handle_request(world, operation, params, request, handler.clone())
        },
    )
}

/// One path of the router.
pub(crate) type Route = MethodRouter<Arc<World>>;
