//! `-- CMD`: a program that is started by us, held until the probes are in place.
//!
//! The child starts as this very program, stops itself, and becomes the wanted one when it is
//! continued. So its process id is known before its first instruction runs, with no code between
//! fork and exec.

use anyhow::{Context as _, bail};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_parent_process_death_signal,
    waitpid,
};
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// First argument of the program while it stands in for a child. No user types this by accident.
const MARK: &str = "\u{1}ecapture-stand-in";

/// What shells say of a program that cannot be run, and of one that is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// If this process is the stand-in for a child: becomes it. Returns only if that fails.
pub(crate) fn stand_in() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != MARK {
        return None;
    }
    let program = args.next()?;
    // Should ecapture die before it continues us, nobody else would.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let _ = kill_process(getpid(), Signal::STOP);
    let _ = set_parent_process_death_signal(None);
    let error = Command::new(&program).args(args).exec();
    let _ = writeln!(std::io::stderr(), "error: cannot run {}: {error}", program.to_string_lossy());
    let code = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
    Some(ExitCode::from(code))
}

/// A program that we started.
pub(crate) struct Child {
    pid: Pid,
}

impl Child {
    /// Starts `program` and waits until it is held.
    pub(crate) fn start(program: &[OsString]) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot find ecapture's own executable")?;
        let child = Command::new(own)
            .arg(MARK)
            .args(program)
            .spawn()
            .context("cannot start a process for the command after --")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else { bail!("the new process has no usable id") };
        match waitpid(Some(pid), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => Ok(Self { pid }),
            Ok(_) => bail!("the process for the command after -- ended before it was started"),
            Err(error) => Err(error).context("cannot wait for the command after --"),
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Lets it run.
    pub(crate) fn go(&self) {
        let _ = kill_process(self.pid, Signal::CONT);
    }

    /// Passes a signal on.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    /// Its exit status as a shell would report it, if it has ended.
    pub(crate) fn status(&self) -> Option<u8> {
        match waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => exit_code(status),
            _ => None,
        }
    }
}

fn exit_code(status: WaitStatus) -> Option<u8> {
    if let Some(code) = status.exit_status() {
        return u8::try_from(code).ok();
    }
    status.terminating_signal().and_then(|signal| u8::try_from(128 + signal).ok())
}

/// The file that `program` names, as a shell would find it.
pub(crate) fn executable(program: &OsString) -> Option<PathBuf> {
    let name = PathBuf::from(program);
    if name.components().count() > 1 {
        return Some(name);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|file| file.is_file())
}
