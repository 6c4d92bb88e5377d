//! Where values go in a function: from its arguments, from the labels it loads, to its calls.

mod state;
mod trace;
mod value;

pub(crate) use state::{Access, Assumed};
pub(crate) use trace::{Budget, Call, Trace, Tracer};
pub(crate) use value::{Known, Path};
