//! Command lines as JSON.

use super::line::{Line, names};
use super::mark_cut;
use event::Command;

/// Everything after the time.
pub(super) fn command(line: &mut Line<'_>, command: &Command) {
    line.text("\",\"kind\":\"", "command");
    line.number(",\"pid\":", command.pid);
    line.number(",\"tid\":", command.tid);
    line.number(",\"uid\":", command.uid);
    line.text(",\"comm\":\"", &command.comm);
    optional_text(line, ",\"exe\":", command.exe.as_deref());
    optional_number(line, ",\"ppid\":", command.ppid);
    optional_number(line, ",\"login_uid\":", command.login_uid);
    optional_text(line, ",\"tty\":", command.tty.as_deref());
    match &command.cwd {
        Some(cwd) => line.lossy(names!("cwd"), cwd),
        None => line.raw(",\"cwd\":null"),
    }
    line.text(",\"shell\":\"", &command.shell.path);
    line.text(",\"ended\":\"", command.ending.as_str());
    optional_number(line, ",\"status\":", command.status);
    let nanos = command.duration.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    optional_number(line, ",\"duration_ns\":", nanos);
    line.number(",\"len\":", command.line.len());
    let is_cut = line.payload(names!("line"), &command.line);
    mark_cut(line, is_cut);
    if let Some(why) = command.incomplete {
        line.text(",\"incomplete\":\"", why);
    }
}

pub(super) fn optional_number(line: &mut Line<'_>, key: &str, value: Option<impl itoa::Integer>) {
    if let Some(value) = value {
        line.number(key, value);
    } else {
        line.raw(key);
        line.raw("null");
    }
}

pub(super) fn optional_text(line: &mut Line<'_>, key: &str, value: Option<&str>) {
    line.raw(key);
    match value {
        Some(text) => line.text("\"", text),
        None => line.raw("null"),
    }
}
