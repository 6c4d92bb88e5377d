//! The registry of capture modules: what a user can ask for by name.

use crate::Exit;
use clap::{Arg, ArgAction, Command};
use std::ffi::OsString;

/// In what form a module gives out what it captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CaptureMode {
    /// Plaintext, parsed.
    Text,
    /// TLS secrets in the NSS key log format.
    Keylog,
    /// Packets with the secrets to decrypt them.
    Pcap,
}

/// A capture module.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// The subcommand.
    pub name: &'static str,
    /// Other names of the subcommand.
    pub aliases: &'static [&'static str],
    /// What it captures.
    pub purpose: &'static str,
    /// The modes that it is made for.
    pub modes: &'static [CaptureMode],
    /// Whether this version has it.
    pub available: bool,
}

const ALL_MODES: &[CaptureMode] = &[CaptureMode::Text, CaptureMode::Keylog, CaptureMode::Pcap];
const TEXT: &[CaptureMode] = &[CaptureMode::Text];

/// Every module, in the order of the help.
#[rustfmt::skip]
pub static MODULES: [Module; 8] = [
    Module { name: "tls", aliases: &["openssl"], purpose: "the OpenSSL family of TLS libraries", modes: ALL_MODES, available: true },
    Module { name: "gotls", aliases: &["tlsgo"], purpose: "crypto/tls in Go programs", modes: ALL_MODES, available: true },
    Module { name: "gnutls", aliases: &["gnu"], purpose: "GnuTLS", modes: ALL_MODES, available: true },
    Module { name: "nspr", aliases: &["nss"], purpose: "NSS through NSPR", modes: TEXT, available: true },
    Module { name: "bash", aliases: &[], purpose: "commands typed into bash", modes: TEXT, available: true },
    Module { name: "zsh", aliases: &[], purpose: "commands typed into zsh", modes: TEXT, available: true },
    Module { name: "mysqld", aliases: &[], purpose: "queries that MySQL and MariaDB execute", modes: TEXT, available: true },
    Module { name: "postgres", aliases: &[], purpose: "queries that PostgreSQL executes", modes: TEXT, available: true },
];

impl Module {
    /// The subcommand of a module that this version does not have: takes whatever comes, so that
    /// the answer is about the module and not about its flags.
    pub(crate) fn placeholder(&self) -> Command {
        let anything = Arg::new("arguments")
            .value_parser(clap::value_parser!(OsString))
            .action(ArgAction::Append)
            .num_args(0..)
            .allow_hyphen_values(true)
            .trailing_var_arg(true);
        Command::new(self.name)
            .about(self.purpose)
            .aliases(self.aliases)
            .hide(true)
            .disable_help_flag(true)
            .arg(anything)
    }

    pub(crate) fn not_available(&self) -> Exit {
        let message = format!(
            "'{}' ({}) is not available in this version of ecapture",
            self.name, self.purpose
        );
        let available: Vec<&str> =
            MODULES.iter().filter(|module| module.available).map(|module| module.name).collect();
        Exit::error(
            &message,
            &format!("Available: {}. Try 'ecapture --help'.", available.join(", ")),
        )
    }
}

pub(crate) fn unavailable() -> impl Iterator<Item = &'static Module> {
    MODULES.iter().filter(|module| !module.available)
}

pub(crate) fn unavailable_module(name: &str) -> Option<&'static Module> {
    unavailable().find(|module| module.name == name)
}
