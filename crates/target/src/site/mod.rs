//! The probe-site planner: the cheapest placement of each function's probes that is provably
//! right.

mod callers;
mod entry;
mod exit;
mod inner;
mod options;
mod place;
mod plan;
mod planner;

pub use options::{Options, Placement};
pub use plan::{Exit, FunctionPlan, Object, Op, PlacementKind, ResultStyle, Site};

pub(crate) use entry::first_instruction;
pub(crate) use exit::ret_sites;
pub(crate) use inner::Wrapper;
pub(crate) use place::{Placer, first_site};
pub(crate) use planner::Planner;

#[cfg(test)]
mod tests;
