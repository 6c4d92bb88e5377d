//! The validated configuration: what the rest of the program works from.

use crate::generate::Shell;
use std::ffi::{OsStr, OsString};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Capture what a TLS library encrypts and decrypts.
    Tls(Box<TlsConfig>),
    /// Capture what is typed into a shell.
    Shell(Box<ShellConfig>),
    /// Capture what a database server executes.
    Database(Box<DatabaseConfig>),
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
    /// The servers for control from outside.
    pub control: ControlConfig,
}

/// `--listen`, `--ecaptureq` and what goes with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlConfig {
    /// `HOST:PORT` of the HTTP interface.
    pub listen: Option<String>,
    /// `HOST:PORT` of the event stream.
    pub ecaptureq: Option<String>,
    /// Where the token is; `None`: a new one is made.
    pub token_file: Option<PathBuf>,
    /// The event stream is for everybody.
    pub no_token: bool,
    /// Other machines are served without encryption.
    pub insecure: bool,
    /// Certificate chain and private key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// More names of the servers.
    pub hosts: Vec<String>,
    /// Origins of web pages that may connect.
    pub origins: Vec<String>,
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

/// `ecapture tls`, `gotls`, `gnutls` and `nspr`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// What every command has.
    pub global: Global,
    /// What capturing modules have in common.
    pub capture: CaptureConfig,
    /// Whose plaintext.
    pub family: TlsFamily,
    /// Only these library files or executables; empty is all that can be found.
    pub files: Vec<PathBuf>,
    /// Parse protocols; otherwise every record is a chunk of bytes as the library returned it.
    pub parse: bool,
    /// Write HTTP exchanges to this file as HAR too.
    pub har: Option<PathBuf>,
    /// How probe sites are chosen.
    pub placement: Placement,
    /// Write plaintext.
    pub text: bool,
    /// Write secrets, and where to.
    pub keylog: Option<Place>,
    /// Write packets.
    pub packets: Option<PacketConfig>,
    /// Take a library whose keys are not found for this version.
    pub ssl_version: Option<String>,
    /// What the user should know about the flags, to be logged.
    pub notes: Vec<String>,
}

/// The TLS libraries that a module is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFamily {
    /// OpenSSL and what descends from it.
    OpenSsl,
    /// Go's crypto/tls.
    Go,
    /// `GnuTLS`.
    GnuTls,
    /// NSS.
    Nss,
}

impl TlsFamily {
    /// The flag that names files.
    pub fn files_flag(self) -> &'static str {
        match self {
            Self::OpenSsl => "--libssl",
            Self::Go => "--elfpath",
            Self::GnuTls => "--gnutls",
            Self::Nss => "--nspr",
        }
    }
}

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Standard output.
    Stdout,
    /// A file or FIFO.
    File(PathBuf),
}

/// `-m pcap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketConfig {
    /// The packet file.
    pub place: Place,
    /// The interfaces by name; empty is all that are up.
    pub interfaces: Vec<String>,
    /// An expression in libpcap's language, unchecked; `None` is every packet.
    pub filter: Option<String>,
    /// Keep at most so many bytes of a packet; `None` is all.
    pub snaplen: Option<NonZeroU32>,
    /// When to begin a new file.
    pub rotate: Rotate,
}

/// When a new file begins, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotate {
    /// After so many bytes.
    pub bytes: Option<NonZeroU64>,
    /// After this time.
    pub time: Option<Duration>,
    /// Only the newest so many.
    pub keep: Option<NonZeroU64>,
}

/// `ecapture bash` and `zsh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellConfig {
    /// What every command has.
    pub global: Global,
    /// What capturing modules have in common.
    pub capture: CaptureConfig,
    /// Which shell.
    pub shell: ShellKind,
    /// Only these executables; empty is all that can be found.
    pub files: Vec<PathBuf>,
    /// The libreadline that a bash is linked with.
    pub readline: Option<PathBuf>,
    /// Only commands that ended with this status.
    pub status: Option<u8>,
}

/// The shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellKind {
    /// bash
    Bash,
    /// zsh
    Zsh,
}

/// `ecapture mysqld` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// What every command has.
    pub global: Global,
    /// What capturing modules have in common.
    pub capture: CaptureConfig,
    /// Which server.
    pub database: DatabaseKind,
    /// Only these executables; empty is all that can be found.
    pub files: Vec<PathBuf>,
    /// The function that gets a statement, by its symbol.
    pub function: Option<String>,
    /// The same by its position in the file, in bytes.
    pub offset: Option<u64>,
    /// What the user should know about the flags, to be logged.
    pub notes: Vec<String>,
}

/// The database servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// `MySQL` and `MariaDB`.
    Mysqld,
    /// `PostgreSQL`
    Postgres,
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
