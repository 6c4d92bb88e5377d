//! Records of every kind, through both encoders.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commands;
mod held;
mod json;
mod queries;
mod round_trip;
mod samples;
mod schema;
mod stored;
mod text;
