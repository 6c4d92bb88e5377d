//! The line before a command: whose it is, where it was entered, and what became of it.

use super::header::{duration, field};
use event::{Command, CommandEnding};
use std::io::Write as _;

pub(super) fn write(command: &Command, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail, here and below.
    let _ = write!(out, "PID:{}, Comm:", command.pid);
    field(command.comm.as_bytes(), out);
    let _ = write!(out, ", UID:{}", command.uid);
    if let Some(uid) = command.login_uid {
        let _ = write!(out, ", LoginUID:{uid}");
    }
    if let Some(ppid) = command.ppid {
        let _ = write!(out, ", PPID:{ppid}");
    }
    let known = |name: &str, value: Option<&[u8]>, out: &mut Vec<u8>| {
        let _ = write!(out, ", {name}:");
        field(value.unwrap_or(b"unknown"), out);
    };
    known(
        "TTY",
        command.tty.as_deref().map_or(Some(&b"none"[..]), |tty| Some(tty.as_bytes())),
        out,
    );
    known("Cwd", command.cwd.as_deref(), out);
    let _ = write!(out, ", Kind:command, Len:{}, Retvalue:", command.line.len());
    let _ = match command.status {
        Some(status) => write!(out, "{status}"),
        None => write!(out, "unknown"),
    };
    if command.ending != CommandEnding::Returned {
        let _ = write!(out, ", Ended:{}", command.ending.as_str());
    }
    if let Some(why) = command.incomplete {
        let _ = write!(out, ", Incomplete:{why}");
    }
    if let Some(time) = command.duration {
        out.extend_from_slice(b", after ");
        duration(time, out);
    }
}
