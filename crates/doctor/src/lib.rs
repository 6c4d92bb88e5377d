//! Can capture work on this host? What doesn't, what follows from it, and what to do about it.
//!
//! What can be tried is tried ([`trial`]): programs are loaded and probes attached, to this process
//! only, and let go at once. What can't be tried is looked up ([`facts`]) and judged by tables.
//! Without any rights it says what is missing; nothing here fails.

mod bpf;
mod facts;
mod hazard;
mod kernel;
mod library;
mod report;
mod rights;
mod surroundings;
mod trial;
mod version;

pub use hazard::return_probes_can_kill;
pub use library::Library;
pub use report::{Group, Line, Report, Status};

/// Examines this host. `libraries` are those that capture would attach to.
pub fn run(libraries: &[Library]) -> Report {
    let facts = facts::Facts::gather();
    let mut lines = kernel::lines(&facts);
    lines.extend(rights::lines(&facts));
    lines.extend(surroundings::lines(&facts));
    lines.extend(hazard::lines(&facts, libraries));
    lines.extend(trial::lines());
    lines.extend(library::lines(libraries));
    Report::new(lines)
}
