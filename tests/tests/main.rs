//! End to end: real programs against the built binary, grouped by what a user does.

mod addresses;
mod destinations;
mod discovery;
mod errors;
mod exactness;
mod filters;
mod harm;
mod inspect;
mod keylog;
mod load;
mod machinery;
mod output;
mod placement;
mod run_command;
mod streaming;
mod versions;
