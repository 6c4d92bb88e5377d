//! Whole streams played into a flow, and what it shows of them.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod codings;
mod http1;
mod http2;
mod limits;
mod properties;
mod support;
mod websocket;
