//! The hold-back and the pcapng writer together, judged by tshark.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod fixture;
mod format;
mod live;
mod one_pass;
mod tshark;
