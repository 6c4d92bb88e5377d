//! The validated configuration: what the rest of the program works from.

use crate::generate::Shell;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Capture what the OpenSSL family encrypts and decrypts.
    Tls(Box<TlsConfig>),
    /// Show what would be probed.
    Inspect(InspectConfig),
    /// Show what works here.
    Doctor(DoctorConfig),
    /// Print a completion script: see [`crate::write_completion`].
    Completion(Shell),
    /// Write the man pages into this directory: see [`crate::write_man_pages`].
    Man(PathBuf),
}

/// What every command has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Log more.
    pub debug: bool,
    /// Log only errors.
    pub quiet: bool,
    /// Where the tool's own log goes, if not to standard error.
    pub log_file: Option<PathBuf>,
    /// Whether kernel types are used.
    pub btf: BtfMode,
    /// Show payloads in hexadecimal.
    pub hex: bool,
    /// Show at most so many bytes of each payload; `None` is all.
    pub tsize: Option<NonZeroU64>,
    /// Kernel buffer per CPU in bytes; a multiple of 4096, not always a power of two.
    pub buffer_bytes_per_cpu: u64,
    /// Only these processes, in ascending order without repetition; empty is all.
    pub pids: Vec<u32>,
    /// Only this user (effective id, 0 is root); `None` is all.
    pub uid: Option<u32>,
}

/// `-b`: whether the kernel's type information is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BtfMode {
    /// If the kernel has it.
    #[default]
    Auto,
    /// Yes, and fail without.
    Core,
    /// No.
    NonCore,
}

/// What capturing modules have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureConfig {
    /// How records are written.
    pub format: Format,
    /// The file they go to; `None` is standard output.
    pub output: Option<PathBuf>,
    /// When to use colour.
    pub color: Color,
    /// Parse protocols; otherwise every record is a chunk of bytes as the library returned it.
    pub parse: bool,
    /// Only processes in this cgroup (version 2).
    pub cgroup: Option<PathBuf>,
    /// End after this time.
    pub duration: Option<Duration>,
    /// End after so many records.
    pub count: Option<NonZeroU64>,
    /// Write the balance to this file as JSON.
    pub summary: Option<PathBuf>,
    /// Exit with status 3 if anything was lost.
    pub strict: bool,
    /// Run this program and capture only it and its children; empty if there is none.
    pub program: Vec<OsString>,
}

/// `ecapture tls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// What every command has.
    pub global: Global,
    /// What capturing modules have in common.
    pub capture: CaptureConfig,
    /// Only these library files or executables; empty is all that can be found.
    pub libssl: Vec<PathBuf>,
    /// How probe sites are chosen.
    pub placement: Placement,
    /// What the user should know about the flags, to be logged.
    pub notes: Vec<String>,
}

/// `ecapture inspect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectConfig {
    /// What every command has.
    pub global: Global,
    /// What to look at.
    pub target: InspectTarget,
    /// How to write what was found.
    pub format: Format,
}

/// What `ecapture inspect` looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InspectTarget {
    /// A file.
    Path(PathBuf),
    /// A process.
    Pid(u32),
}

/// `ecapture doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorConfig {
    /// What every command has.
    pub global: Global,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How probe sites are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Placement {
    /// The cheapest that is provably right.
    #[default]
    Auto,
    /// Always the function's entry and return.
    Entry,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether to use colour, given whether records go to a terminal and the value of the
    /// environment variable `NO_COLOR`, which counts if it is not empty (<https://no-color.org>).
    pub fn enabled(self, is_terminal: bool, no_color: Option<&OsStr>) -> bool {
        match self {
            Self::Auto => is_terminal && no_color.is_none_or(OsStr::is_empty),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_is_for_terminals_and_no_color_is_honoured() {
        let set = Some(OsStr::new("1"));
        let empty = Some(OsStr::new(""));
        assert!(Color::Auto.enabled(true, None));
        assert!(Color::Auto.enabled(true, empty));
        assert!(!Color::Auto.enabled(true, set));
        assert!(!Color::Auto.enabled(false, None));
        assert!(Color::Always.enabled(false, set));
        assert!(!Color::Never.enabled(true, None));
    }
}
