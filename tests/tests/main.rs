//! End to end: real programs against the built binary, grouped by what a user does.

mod discovery;
mod errors;
mod exactness;
mod filters;
mod harm;
mod load;
mod machinery;
mod placement;
mod run_command;
