//! From arguments to configuration: what no single flag can tell.

mod other;
mod tls;

use crate::args::{Args, CaptureArgs, CommandArgs, GlobalArgs};
use crate::config::{
    BtfMode, CaptureConfig, Command, ControlConfig, DoctorConfig, Format, Global, InspectConfig,
    InspectTarget,
};
use crate::values::{self, Address, MAPSIZE_UNIT, User};
use crate::{Exit, not_yet, version_line};
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

const DEFAULT_MAPSIZE: u64 = 1024;

/// `clap` is only asked to word the errors like its own.
pub(crate) fn command(args: Args, clap: &mut clap::Command) -> Result<Command, Exit> {
    if args.version {
        return Err(Exit::answer(format!("{}\n", version_line())));
    }
    let Some(command) = args.command else {
        return Err(Exit { code: 1, text: clap.render_help().to_string(), to_stdout: false });
    };
    let mut errors = Errors { clap, command: command.name() };
    let before = args.global;
    match command {
        CommandArgs::Tls(args) => {
            tls::openssl(*args, before, &mut errors).map(Box::new).map(Command::Tls)
        }
        CommandArgs::Gotls(args) => {
            tls::go(*args, before, &mut errors).map(Box::new).map(Command::Tls)
        }
        CommandArgs::Gnutls(args) => {
            tls::gnutls(*args, before, &mut errors).map(Box::new).map(Command::Tls)
        }
        CommandArgs::Nspr(args) => {
            tls::nss(*args, before, &mut errors).map(Box::new).map(Command::Tls)
        }
        CommandArgs::Bash(args) => {
            other::bash(*args, before, &mut errors).map(Box::new).map(Command::Shell)
        }
        CommandArgs::Zsh(args) => {
            other::zsh(*args, before, &mut errors).map(Box::new).map(Command::Shell)
        }
        CommandArgs::Mysqld(args) => {
            other::mysqld(*args, before, &mut errors).map(Box::new).map(Command::Database)
        }
        CommandArgs::Postgres(args) => {
            other::postgres(*args, before, &mut errors).map(Box::new).map(Command::Database)
        }
        CommandArgs::Inspect(args) => Ok(Command::Inspect(InspectConfig {
            global: global(before, args.global, &mut errors)?,
            target: inspect_target(args.target),
            format: args.format,
        })),
        CommandArgs::Doctor(args) => {
            Ok(Command::Doctor(DoctorConfig { global: global(before, args.global, &mut errors)? }))
        }
        CommandArgs::Completion(args) => {
            global(before, args.global, &mut errors)?;
            Ok(Command::Completion(args.shell))
        }
        CommandArgs::Man(args) => {
            global(before, args.global, &mut errors)?;
            Ok(Command::Man(args.dir))
        }
    }
}

impl CommandArgs {
    fn name(&self) -> &'static str {
        match self {
            Self::Tls(_) => "tls",
            Self::Gotls(_) => "gotls",
            Self::Gnutls(_) => "gnutls",
            Self::Nspr(_) => "nspr",
            Self::Bash(_) => "bash",
            Self::Zsh(_) => "zsh",
            Self::Mysqld(_) => "mysqld",
            Self::Postgres(_) => "postgres",
            Self::Inspect(_) => "inspect",
            Self::Doctor(_) => "doctor",
            Self::Completion(_) => "completion",
            Self::Man(_) => "man",
        }
    }
}

/// Makes errors that look like the parser's, with the usage of the command at hand.
struct Errors<'a> {
    clap: &'a mut clap::Command,
    command: &'static str,
}

impl Errors<'_> {
    fn conflict(&mut self, message: &str) -> Exit {
        let command = match self.clap.find_subcommand_mut(self.command) {
            Some(command) => command,
            None => self.clap,
        };
        command.error(ErrorKind::ArgumentConflict, message).into()
    }
}

fn notes(args: &CaptureArgs) -> Vec<String> {
    let mut notes = Vec::new();
    if args.perf_reorder || args.perf_reorder_lag_ms.is_some() {
        notes.push("--perf-reorder is not needed any more: records are always in order".to_owned());
    }
    notes
}

fn capture(
    args: CaptureArgs,
    global: &Global,
    errors: &mut Errors<'_>,
) -> Result<CaptureConfig, Exit> {
    if !args.program.is_empty() && !global.pids.is_empty() {
        return Err(errors.conflict(
            "the argument '--pid' cannot be used with '-- PROGRAM': the program is the process",
        ));
    }
    if global.hex && args.format == Format::Json {
        return Err(errors.conflict(
            "the argument '--hex' cannot be used with '--format json': \
             bytes that are no text are in base64 there",
        ));
    }
    Ok(CaptureConfig {
        format: args.format,
        output: args.output.filter(|path| !is_empty(path) && path != Path::new("-")),
        color: args.color,
        cgroup: args.cgroup_path.filter(|path| !is_empty(path)),
        duration: args.duration,
        count: args.count,
        summary: args.summary.filter(|path| !is_empty(path)),
        strict: args.strict,
        program: args.program,
    })
}

/// The old defaults were empty strings, so scripts may give them.
fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// Joins what was given before and after the command; of a single value the latter counts.
fn global(before: GlobalArgs, after: GlobalArgs, errors: &mut Errors<'_>) -> Result<Global, Exit> {
    let mut args = GlobalArgs {
        debug: before.debug | after.debug,
        quiet: before.quiet | after.quiet,
        pid: [before.pid, after.pid].concat(),
        uid: after.uid.or(before.uid),
        btf: after.btf.or(before.btf),
        hex: before.hex | after.hex,
        tsize: after.tsize.or(before.tsize),
        mapsize: after.mapsize.or(before.mapsize),
        logaddr: after.logaddr.or(before.logaddr),
        eventaddr: after.eventaddr.or(before.eventaddr),
        ecaptureq: after.ecaptureq.or(before.ecaptureq),
        listen: after.listen.or(before.listen),
        token_file: after.token_file.or(before.token_file),
        no_token: before.no_token | after.no_token,
        insecure: before.insecure | after.insecure,
        tls_cert: after.tls_cert.or(before.tls_cert),
        tls_key: after.tls_key.or(before.tls_key),
        allow_host: [before.allow_host, after.allow_host].concat(),
        allow_origin: [before.allow_origin, after.allow_origin].concat(),
        eventroratesize: after.eventroratesize.or(before.eventroratesize),
        eventroratetime: after.eventroratetime.or(before.eventroratetime),
    };
    not_yet::check_global(&args)?;
    if args.debug && args.quiet {
        return Err(errors.conflict("the argument '--debug' cannot be used with '--quiet'"));
    }
    let control = control(&mut args, errors)?;
    Ok(Global {
        debug: args.debug,
        quiet: args.quiet,
        log_file: match args.logaddr {
            Some(Address::File(path)) => Some(path),
            Some(Address::Default | Address::Network(_)) | None => None,
        },
        btf: match args.btf {
            Some(1) => BtfMode::Core,
            Some(2) => BtfMode::NonCore,
            _ => BtfMode::Auto,
        },
        hex: args.hex,
        tsize: args.tsize.and_then(NonZeroU64::new),
        buffer_bytes_per_cpu: args.mapsize.unwrap_or(DEFAULT_MAPSIZE * MAPSIZE_UNIT),
        pids: pids(args.pid, errors)?,
        uid: match args.uid {
            Some(User::Id(uid)) => Some(uid),
            Some(User::All) | None => None,
        },
        control,
    })
}

fn control(args: &mut GlobalArgs, errors: &mut Errors<'_>) -> Result<ControlConfig, Exit> {
    let filled = |value: Option<String>| value.filter(|value| !value.is_empty());
    let listen = filled(args.listen.take());
    let ecaptureq = filled(args.ecaptureq.take())
        .map(|url| url.trim_start_matches("ws://").trim_end_matches('/').to_owned());
    if listen.is_none() && ecaptureq.is_none() {
        let given = [
            ("--token-file", args.token_file.is_some()),
            ("--no-token", args.no_token),
            ("--insecure", args.insecure),
            ("--tls-cert", args.tls_cert.is_some()),
            ("--allow-host", !args.allow_host.is_empty()),
            ("--allow-origin", !args.allow_origin.is_empty()),
        ];
        if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
            return Err(errors.conflict(&format!(
                "the argument '{flag}' goes with --listen or --ecaptureq only"
            )));
        }
    }
    if args.no_token && ecaptureq.is_none() {
        return Err(errors.conflict(
            "the argument '--no-token' goes with --ecaptureq only: --listen always needs the token",
        ));
    }
    if args.no_token && args.token_file.is_some() && listen.is_none() {
        return Err(errors.conflict(
            "the argument '--no-token' cannot be used with '--token-file' without --listen",
        ));
    }
    Ok(ControlConfig {
        listen,
        ecaptureq,
        token_file: args.token_file.take().filter(|path| !is_empty(path)),
        no_token: args.no_token,
        insecure: args.insecure,
        tls: args.tls_cert.take().zip(args.tls_key.take()),
        hosts: std::mem::take(&mut args.allow_host),
        origins: std::mem::take(&mut args.allow_origin),
    })
}

fn pids(mut pids: Vec<u32>, errors: &mut Errors<'_>) -> Result<Vec<u32>, Exit> {
    pids.sort_unstable();
    pids.dedup();
    match pids.as_slice() {
        [0] => Ok(Vec::new()),
        [0, ..] => Err(errors.conflict(
            "'--pid 0' cannot be used with other process ids: 0 stands for every process",
        )),
        _ => Ok(pids),
    }
}

fn inspect_target(target: OsString) -> InspectTarget {
    match target.to_str().map(values::pid) {
        Some(Ok(pid)) if pid != 0 => InspectTarget::Pid(pid),
        _ => InspectTarget::Path(PathBuf::from(target)),
    }
}
