//! The arguments as the user types them. The doc comments are the help, the man pages and the
//! completions.

use crate::config::{Color, Format, Placement};
use crate::generate::Shell;
use crate::values::{self, Address, User};
use crate::{CaptureMode, examples};
use clap::builder::TypedValueParser as _;
use clap::{ArgAction, Parser, Subcommand};
use std::ffi::{OsStr, OsString};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

/// Shows the plaintext of TLS connections without a CA certificate, by eBPF.
#[derive(Debug, Parser)]
#[command(
    name = "ecapture",
    after_help = examples::ROOT,
    disable_version_flag = true,
    infer_subcommands = true,
    args_override_self = true,
    subcommand_required = false,
    max_term_width = 100
)]
pub(crate) struct Args {
    /// Print the version.
    #[arg(short = 'v', long)]
    pub(crate) version: bool,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Option<CommandArgs>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CommandArgs {
    /// Capture the plaintext of the OpenSSL family: OpenSSL, BoringSSL, LibreSSL, AWS-LC.
    ///
    /// Without flags, of every such library that is in use or installed, in containers too, and of
    /// those that appear later.
    #[command(visible_alias = "openssl", after_help = examples::TLS)]
    Tls(Box<TlsArgs>),
    /// Capture the plaintext of Go programs (crypto/tls).
    ///
    /// Without flags, of every Go program that runs or is started later.
    #[command(visible_alias = "tlsgo", after_help = examples::GOTLS)]
    Gotls(Box<GotlsArgs>),
    /// Capture the plaintext of GnuTLS.
    #[command(visible_alias = "gnu", after_help = examples::GNUTLS)]
    Gnutls(Box<GnutlsArgs>),
    /// Capture the plaintext of NSS (Firefox, Thunderbird).
    #[command(visible_alias = "nss", after_help = examples::NSPR)]
    Nspr(Box<NsprArgs>),
    /// Capture the commands that are typed into bash, with their outcome.
    #[command(after_help = examples::BASH)]
    Bash(Box<BashArgs>),
    /// Capture the commands that are typed into zsh, with their outcome.
    #[command(after_help = examples::ZSH)]
    Zsh(Box<ZshArgs>),
    /// Capture the statements that MySQL and MariaDB servers execute.
    #[command(after_help = examples::MYSQLD)]
    Mysqld(Box<MysqldArgs>),
    /// Capture the statements that PostgreSQL servers execute.
    #[command(after_help = examples::POSTGRES)]
    Postgres(Box<PostgresArgs>),
    /// Show the TLS libraries of a file or process, and where they would be probed.
    #[command(after_help = examples::INSPECT)]
    Inspect(InspectArgs),
    /// Check what works on this machine, and say what to do about the rest.
    ///
    /// The exit status is 0 if capturing can work.
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Print a completion script for a shell.
    #[command(after_help = examples::COMPLETION)]
    Completion(CompletionArgs),
    /// Write the man pages into a directory.
    #[command(hide = true, after_help = examples::MAN)]
    Man(ManArgs),
}

/// Allowed before and after the command: every command has its own, and both are joined.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Log more.
    #[arg(short, long)]
    pub(crate) debug: bool,
    /// Log only errors.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Only these processes: a list, repeatable [default: 0, all].
    #[arg(short, long, value_name = "PID,…", value_delimiter = ',', value_parser = values::pid, action = ArgAction::Append, allow_negative_numbers = true)]
    pub(crate) pid: Vec<u32>,
    /// Only this user: id (0 is all), or name (root is root alone) [default: 0, all].
    #[arg(short, long, value_name = "USER", value_parser = values::user, allow_negative_numbers = true)]
    pub(crate) uid: Option<User>,
    /// Kernel type information: 0 if there is any, 1 required, 2 unused [default: 0].
    #[arg(short, long, value_name = "0|1|2", value_parser = clap::value_parser!(u8).range(0..=2), allow_negative_numbers = true)]
    pub(crate) btf: Option<u8>,
    /// Show payloads in hexadecimal.
    #[arg(long)]
    pub(crate) hex: bool,
    /// Show at most so many bytes of each payload; 0 is all [default: 0].
    #[arg(short, long, value_name = "BYTES", allow_negative_numbers = true)]
    pub(crate) tsize: Option<u64>,
    /// Kernel buffer per CPU, in pages of 4 KiB [default: 1024, which is 4 MiB].
    #[arg(long, value_name = "PAGES", value_parser = values::mapsize, allow_negative_numbers = true)]
    pub(crate) mapsize: Option<u64>,
    /// Write the tool's own log to a file instead of standard error.
    #[arg(short, long, value_name = "FILE", value_parser = address_parser())]
    pub(crate) logaddr: Option<Address>,
    /// Where captured events go (not available yet, see --output).
    #[arg(long, value_name = "ADDRESS", value_parser = address_parser(), hide = true)]
    pub(crate) eventaddr: Option<Address>,
    /// Serve captured events to the eCaptureQ GUI: `ws://127.0.0.1:28257/`. See docs/control.md.
    #[arg(long, value_name = "URL", value_parser = values::websocket_server)]
    pub(crate) ecaptureq: Option<String>,
    /// Serve the HTTP interface that shows and changes what is captured: 127.0.0.1:28256. See
    /// docs/control.md.
    #[arg(long, value_name = "HOST:PORT", value_parser = values::listen)]
    pub(crate) listen: Option<String>,
    /// With --listen or --ecaptureq: the token that clients must show is in this file, which nobody
    /// else may read [default: a new one, printed at the start].
    #[arg(long, value_name = "FILE", value_parser = path_parser())]
    pub(crate) token_file: Option<PathBuf>,
    /// With --ecaptureq: needs no token. Every program on this host, of any user, can then read
    /// everything that is captured.
    #[arg(long)]
    pub(crate) no_token: bool,
    /// With --listen or --ecaptureq: serve other machines without encryption. Tokens and plaintext
    /// cross the network in the clear.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// With --listen or --ecaptureq: serve by TLS with this certificate chain (PEM).
    #[arg(long, value_name = "FILE", value_parser = path_parser(), requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key to --tls-cert (PEM).
    #[arg(long, value_name = "FILE", value_parser = path_parser(), requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// With --listen or --ecaptureq: a name by which clients may call the server, besides addresses and
    /// localhost; repeatable.
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub(crate) allow_host: Vec<String>,
    /// With --listen or --ecaptureq: web pages of this origin may connect; repeatable.
    #[arg(long, value_name = "ORIGIN", action = ArgAction::Append)]
    pub(crate) allow_origin: Vec<String>,
    /// Begin a new event file after so many MB (not available yet).
    #[arg(long, value_name = "MB", hide = true, allow_negative_numbers = true)]
    pub(crate) eventroratesize: Option<u16>,
    /// Begin a new event file after so many seconds (not available yet).
    #[arg(long, value_name = "SECONDS", hide = true, allow_negative_numbers = true)]
    pub(crate) eventroratetime: Option<u16>,
}

/// What capturing modules have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct CaptureArgs {
    /// How records are written; json is one object a line, see docs/events.md.
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "text|json"
    )]
    pub(crate) format: Format,
    /// Write records to this file, readable by its owner alone; - is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// When to use colour; auto is on a terminal, unless `NO_COLOR` is set.
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "auto|always|never"
    )]
    pub(crate) color: Color,
    /// Only processes in this cgroup (version 2).
    #[arg(long = "cgroup_path", alias = "cgroup-path", value_name = "DIR", value_parser = path_parser())]
    pub(crate) cgroup_path: Option<PathBuf>,
    /// End after this time: 500ms, 10s, 2m.
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub(crate) duration: Option<Duration>,
    /// End after so many records.
    #[arg(long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    pub(crate) count: Option<NonZeroU64>,
    /// At the end, write the balance to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<PathBuf>,
    /// Exit with status 3 if anything was lost.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Nothing: records are always in order.
    #[arg(long = "perf-reorder", hide = true)]
    pub(crate) perf_reorder: bool,
    /// Nothing: records are always in order.
    #[arg(long = "perf-reorder-lag-ms", value_name = "MS", hide = true)]
    pub(crate) perf_reorder_lag_ms: Option<u64>,
    /// Run this program and capture only it and its children; exit with its status.
    #[arg(last = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<OsString>,
}

/// What the modules for TLS libraries have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct LibraryArgs {
    /// With -m pcap: which packets, in the language of tcpdump (see pcap-filter(7)).
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// What to write, a list: text (plaintext), keylog or key (TLS secrets), pcap or pcapng
    /// (packets with their secrets).
    #[arg(short, long, alias = "mode", value_name = "MODE,…", default_value = "text", value_delimiter = ',', value_parser = mode_parser(), hide_possible_values = true, action = ArgAction::Append)]
    pub(crate) model: Vec<CaptureMode>,
    /// With -m keylog: the file that secrets are appended to, in the format of SSLKEYLOGFILE; - is
    /// standard output [default: `ecapture_openssl_key.log`, or as the
    /// module is called].
    #[arg(short, long, value_name = "FILE", value_parser = path_parser())]
    pub(crate) keylogfile: Option<PathBuf>,
    /// With -m pcap: the packet file; - is standard output [default: save.pcapng].
    #[arg(short = 'w', long, value_name = "FILE", value_parser = path_parser())]
    pub(crate) pcapfile: Option<PathBuf>,
    /// With -m pcap: a network interface, repeatable [default: any, all that are up].
    #[arg(short, long, value_name = "NAME", action = ArgAction::Append)]
    pub(crate) ifname: Vec<String>,
    /// With -m pcap: keep at most so many bytes of a packet; 0 is all [default: 0].
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    pub(crate) snaplen: Option<u32>,
    /// With -m pcap: begin a new file after so many MB.
    #[arg(long, value_name = "MB", value_parser = values::count, allow_negative_numbers = true)]
    pub(crate) pcap_rotate_size: Option<NonZeroU64>,
    /// With -m pcap: begin a new file after this time: 30s, 5m, 1h.
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub(crate) pcap_rotate_time: Option<Duration>,
    /// With -m pcap: keep only so many files, the newest.
    #[arg(long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    pub(crate) pcap_keep: Option<NonZeroU64>,
    /// Also write the HTTP exchanges to this file as HAR 1.2.
    #[arg(long, value_name = "FILE", value_parser = path_parser())]
    pub(crate) har: Option<PathBuf>,
    /// Show the bytes as the library returned them, without looking for HTTP.
    #[arg(long)]
    pub(crate) no_parse: bool,
    /// How probe sites are chosen: the cheapest that are provably right, or entry and return.
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "auto|entry"
    )]
    pub(crate) placement: Placement,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TlsArgs {
    /// Only this library, or executable that contains one; repeatable.
    #[arg(long, value_name = "FILE", value_parser = path_parser(), action = ArgAction::Append)]
    pub(crate) libssl: Vec<PathBuf>,
    /// With -m keylog or pcap: take the library for this version, such as "openssl 1.1.1g", if its
    /// keys are not found by themselves.
    #[arg(long = "ssl_version", alias = "ssl-version", value_name = "VERSION")]
    pub(crate) ssl_version: Option<String>,
    #[command(flatten)]
    pub(crate) library: LibraryArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GotlsArgs {
    /// Only this executable or shared library; repeatable.
    #[arg(short, long, value_name = "FILE", value_parser = path_parser(), action = ArgAction::Append)]
    pub(crate) elfpath: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) library: LibraryArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GnutlsArgs {
    /// Only this library, or executable that contains one; repeatable.
    #[arg(long, value_name = "FILE", value_parser = path_parser(), action = ArgAction::Append)]
    pub(crate) gnutls: Vec<PathBuf>,
    /// With -m keylog or pcap: nothing is needed, the library's keys are found by themselves.
    #[arg(long = "ssl_version", alias = "ssl-version", value_name = "VERSION", hide = true)]
    pub(crate) ssl_version: Option<String>,
    #[command(flatten)]
    pub(crate) library: LibraryArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NsprArgs {
    /// Only this library (libssl3.so or libnspr4.so); repeatable.
    #[arg(long, value_name = "FILE", value_parser = path_parser(), action = ArgAction::Append)]
    pub(crate) nspr: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) library: LibraryArgs,
}

/// `--errnumber` of the shells.
#[derive(Debug, clap::Args)]
pub(crate) struct ErrnumberArgs {
    /// Only commands that ended with this exit status; 128 is all [default: 128].
    #[arg(short, long, value_name = "STATUS", allow_negative_numbers = true)]
    pub(crate) errnumber: Option<u8>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BashArgs {
    /// Only this shell; repeatable [default: all that run or are installed].
    #[arg(long, value_name = "FILE", value_parser = path_parser(), action = ArgAction::Append)]
    pub(crate) bash: Vec<PathBuf>,
    /// Instead of bash itself, this libreadline: lines that any program reads with it, without status.
    #[arg(long, value_name = "FILE", value_parser = path_parser())]
    pub(crate) readlineso: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) errnumber: ErrnumberArgs,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ZshArgs {
    /// Only this shell; repeatable [default: all that run or are installed].
    #[arg(long, value_name = "FILE", value_parser = path_parser(), action = ArgAction::Append)]
    pub(crate) zsh: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) errnumber: ErrnumberArgs,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MysqldArgs {
    /// Only this server executable; repeatable [default: all that run or are installed].
    #[arg(short, long, value_name = "FILE", value_parser = path_parser(), action = ArgAction::Append)]
    pub(crate) mysqld: Vec<PathBuf>,
    /// The function that dispatches a command, by its symbol, if it cannot be found by itself.
    #[arg(short, long, value_name = "SYMBOL")]
    pub(crate) funcname: Option<String>,
    /// Where that function is in the file, in bytes, if it has no symbol.
    #[arg(long, value_name = "BYTES", value_parser = values::offset)]
    pub(crate) offset: Option<u64>,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PostgresArgs {
    /// Only this server executable; repeatable [default: all that run or are installed].
    #[arg(short = 'm', long, value_name = "FILE", value_parser = path_parser(), action = ArgAction::Append)]
    pub(crate) postgres: Vec<PathBuf>,
    /// The function that executes a simple query, by its symbol, if it cannot be found by itself.
    #[arg(short, long, value_name = "SYMBOL")]
    pub(crate) funcname: Option<String>,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// A library, an executable, or the id of a process (for a file whose name is a number: ./NAME).
    #[arg(value_name = "PATH|PID")]
    pub(crate) target: OsString,
    /// How to write what was found.
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "text|json"
    )]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The directory; it must exist.
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Every name of a mode, the first of each the usual one.
const MODES: [(&str, CaptureMode); 5] = [
    ("text", CaptureMode::Text),
    ("keylog", CaptureMode::Keylog),
    ("pcap", CaptureMode::Pcap),
    ("key", CaptureMode::Keylog),
    ("pcapng", CaptureMode::Pcap),
];

fn mode_parser() -> impl clap::builder::TypedValueParser<Value = CaptureMode> {
    clap::builder::PossibleValuesParser::new(MODES.map(|(name, _)| name)).map(|value| {
        // The parser let only names of the table through.
        MODES.iter().find(|(name, _)| *name == value).map_or(CaptureMode::Text, |(_, mode)| *mode)
    })
}

/// Takes an empty value too, which was the default of old flags and so stands in scripts.
fn path_parser() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    clap::builder::OsStringValueParser::new().map(PathBuf::from)
}

fn address_parser() -> impl clap::builder::TypedValueParser<Value = Address> {
    clap::builder::OsStringValueParser::new().try_map(|value| values::address(OsStr::new(&value)))
}
