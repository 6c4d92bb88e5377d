//! The database servers of each suite, as `cargo xtask libs` provides them, and clients that say
//! exactly what they send.

pub mod mysql;
pub mod postgres;
mod root;
pub mod statement;

pub use root::Root;
pub use statement::{Query, Sent};
