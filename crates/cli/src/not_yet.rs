//! Flags of the old command line that this version reads, and cannot do: one line each, to be
//! removed when it can.

use crate::Exit;
use crate::args::GlobalArgs;

/// A use of a flag that is not available.
struct NotYet {
    what: &'static str,
    instead: &'static str,
    is_used: fn(&GlobalArgs) -> bool,
}

#[rustfmt::skip]
static GLOBAL: [NotYet; 2] = [
    NotYet { what: "--ecaptureq", instead: "", is_used: |args| is_filled(args.ecaptureq.as_ref()) },
    NotYet { what: "--listen", instead: "", is_used: |args| is_filled(args.listen.as_ref()) },
];

/// The old defaults were empty strings, so scripts may give them.
fn is_filled(value: Option<&String>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}

pub(crate) fn check_global(args: &GlobalArgs) -> Result<(), Exit> {
    let Some(entry) = GLOBAL.iter().find(|entry| (entry.is_used)(args)) else { return Ok(()) };
    let message = format!("{} is not available yet in this version of ecapture", entry.what);
    let instead =
        if entry.instead.is_empty() { String::new() } else { format!("{} ", entry.instead) };
    Err(Exit::error(&message, &format!("{instead}For more information, try '--help'.")))
}
