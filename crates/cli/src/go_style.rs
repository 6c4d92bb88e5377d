//! Boolean flags with a value, `--hex=true`: the old command line allowed them, scripts have them.

use clap::{Arg, ArgAction, Command};
use std::collections::BTreeSet;
use std::ffi::OsString;

/// Rewrites `--flag=true` to `--flag`, and drops `--flag=false`, for the switches of `command` and
/// its subcommands. What follows `--` is another program's and stays as it is.
pub(crate) fn without_bool_values(
    args: impl Iterator<Item = OsString>,
    command: &Command,
) -> Vec<OsString> {
    let mut switches = BTreeSet::new();
    for command in std::iter::once(command).chain(command.get_subcommands()) {
        let takes_no_value = |arg: &&Arg| matches!(arg.get_action(), ArgAction::SetTrue);
        for arg in command.get_arguments().filter(takes_no_value) {
            switches.extend(arg.get_long());
        }
    }
    let mut after_dashes = false;
    let rewritten = args.filter_map(|arg| {
        after_dashes |= arg == "--";
        if after_dashes { Some(arg) } else { rewrite(arg, &switches) }
    });
    rewritten.collect()
}

fn rewrite(arg: OsString, switches: &BTreeSet<&str>) -> Option<OsString> {
    let switch = arg.to_str().and_then(|arg| arg.strip_prefix("--")?.split_once('='));
    let Some((name, value)) = switch.filter(|(name, _)| switches.contains(name)) else {
        return Some(arg);
    };
    match value {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(OsString::from(format!("--{name}"))),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => None,
        // The parser says what is wrong with it.
        _ => Some(arg),
    }
}
