//! ecapture's command line.
//!
//! [`parse`] turns the process's arguments into a [`Command`] or into an [`Exit`]: what to print,
//! where, and the exit status. In between there are two kinds of types: the *arguments*, as typed
//! by the user and described for the help, the man pages and the completions (private); and the
//! *configuration*, which is complete, checked, and has no flags any more.
//!
//! Whether a file or a process exists is not looked at here: only the moment of use can tell.

mod args;
mod config;
mod examples;
mod exit;
mod generate;
mod go_style;
mod modules;
mod not_yet;
mod resolve;
mod values;
mod version;

pub use config::{
    BtfMode, CaptureConfig, Color, Command, ControlConfig, DatabaseConfig, DatabaseKind,
    DoctorConfig, Format, Global, InspectConfig, InspectTarget, PacketConfig, Place, Placement,
    Rotate, ShellConfig, ShellKind, TlsConfig, TlsFamily,
};
pub use exit::Exit;
pub use generate::{Shell, write_completion, write_man_pages};
pub use modules::{CaptureMode, MODULES, Module};
pub use version::version_line;

use clap::{CommandFactory as _, FromArgMatches as _};
use std::ffi::OsString;

/// The command line as data: for completions, man pages, and everything else that describes it.
pub fn clap_command() -> clap::Command {
    modules::unavailable().fold(args::Args::command(), |command, module| {
        command.mut_subcommand(module.name, |_| module.placeholder())
    })
}

/// Reads a command line, of which the first item is the program's own name.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, Exit> {
    let mut command = clap_command();
    let args = go_style::without_bool_values(args, &command);
    let matches = command.try_get_matches_from_mut(args)?;
    if let Some(module) = matches.subcommand_name().and_then(modules::unavailable_module) {
        return Err(module.not_available());
    }
    let args = args::Args::from_arg_matches(&matches)?;
    resolve::command(args, &mut command)
}
