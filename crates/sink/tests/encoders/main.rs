//! Records of every kind, through both encoders.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod json;
mod round_trip;
mod samples;
mod schema;
mod stored;
mod text;
