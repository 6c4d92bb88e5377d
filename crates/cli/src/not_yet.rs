//! Flags of the old command line that this version reads, and cannot do: one line each, to be
//! removed when it can.

use crate::Exit;
use crate::args::GlobalArgs;
use crate::values::Address;

/// A use of a flag that is not available.
struct NotYet {
    what: &'static str,
    instead: &'static str,
    is_used: fn(&GlobalArgs) -> bool,
}

#[rustfmt::skip]
static GLOBAL: [NotYet; 4] = [
    NotYet { what: "--logaddr with a network address", instead: "Give a file.", is_used: |args| matches!(args.logaddr, Some(Address::Network(_))) },
    NotYet { what: "--eventaddr", instead: "Use --output FILE.", is_used: |args| args.eventaddr.as_ref().is_some_and(|address| *address != Address::Default) },
    NotYet { what: "--eventroratesize", instead: "", is_used: |args| args.eventroratesize.is_some_and(|size| size != 0) },
    NotYet { what: "--eventroratetime", instead: "", is_used: |args| args.eventroratetime.is_some_and(|time| time != 0) },
];

pub(crate) fn check_global(args: &GlobalArgs) -> Result<(), Exit> {
    let Some(entry) = GLOBAL.iter().find(|entry| (entry.is_used)(args)) else { return Ok(()) };
    let message = format!("{} is not available yet in this version of ecapture", entry.what);
    let instead =
        if entry.instead.is_empty() { String::new() } else { format!("{} ", entry.instead) };
    Err(Exit::error(&message, &format!("{instead}For more information, try '--help'.")))
}
