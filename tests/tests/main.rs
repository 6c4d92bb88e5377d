//! End to end: real programs against the built binary, grouped by what a user does.

mod addresses;
mod control;
mod databases;
mod discovery;
mod errors;
mod exactness;
mod filters;
mod gnutls;
mod gotls;
mod harm;
mod inspect;
mod keylog;
mod load;
mod machinery;
mod nspr;
mod output;
mod packets;
mod placement;
mod run_command;
mod shells;
mod streaming;
mod versions;
