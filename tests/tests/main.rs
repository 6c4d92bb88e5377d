//! End to end: real programs against the built binary, grouped by what a user does.

mod exactness;
mod machinery;
