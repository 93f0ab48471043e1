//! The machine on virtual time: every expectation is computed from the constants.

// A subtraction below zero panics, which fails the test as it should.
#![allow(clippy::unchecked_time_subtraction)]

pub(crate) mod bench;
mod deregister;
mod failback;
mod keepalive;
mod late;
mod properties;
mod renewal;
mod retry;
mod rows;
mod search;
mod tables;
mod token;
