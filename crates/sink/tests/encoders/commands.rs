//! Command lines, as programs and as people read them.

use crate::samples::TS;
use crate::schema;
use event::{Command, CommandEnding, Library};
use proptest::prelude::*;
use serde_json::Value;
use sink::{Encoder as _, JsonEncoder, JsonOptions, TextEncoder, TextOptions};
use std::sync::Arc;
use std::time::Duration;

/// The one that stands in `docs/events.md`.
pub(crate) fn documented() -> Command {
    Command {
        ts: TS,
        pid: 4242,
        tid: 4242,
        ppid: Some(4240),
        uid: 0,
        login_uid: Some(1000),
        comm: "bash".into(),
        exe: Some("/usr/bin/bash".into()),
        shell: Arc::new(Library { path: "/usr/bin/bash".to_owned(), build_id: None }),
        tty: Some("/dev/pts/3".to_owned()),
        cwd: Some(b"/srv/www".to_vec()),
        line: b"for i in 1 2\ndo touch $i\ndone".to_vec(),
        incomplete: None,
        ending: CommandEnding::Returned,
        status: Some(0),
        duration: Some(Duration::from_nanos(1_234_567)),
    }
}

fn hostile() -> Command {
    Command {
        ppid: None,
        login_uid: None,
        comm: "x\n\u{1b}[2J".into(),
        exe: None,
        tty: None,
        cwd: Some(b"/tmp/\xff\n".to_vec()),
        line: b"echo \x1b]0;owned\x07\xe2\x80\xae\tend".to_vec(),
        incomplete: Some("lost"),
        ending: CommandEnding::Exec,
        status: None,
        ..documented()
    }
}

/// Of every kind, with everything and with nothing that is optional.
pub(crate) fn all() -> Vec<Command> {
    let endings = [CommandEnding::Returned, CommandEnding::Exit, CommandEnding::Running];
    let ended = |ending| Command { ending, status: Some(-1), duration: None, ..documented() };
    let mut all: Vec<Command> = endings.map(ended).into();
    let binary = Command { line: b"echo \xff".to_vec(), cwd: None, ..hostile() };
    all.extend([documented(), hostile(), binary]);
    all
}

pub(crate) fn json(command: &Command, options: JsonOptions) -> String {
    let mut out = Vec::new();
    JsonEncoder::new(options).command(command, &mut out);
    String::from_utf8(out).unwrap()
}

fn text(command: &Command, options: TextOptions) -> String {
    let mut out = Vec::new();
    TextEncoder::new(options).command(command, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_command_reads_well() {
    let options = TextOptions::default();
    assert_eq!(
        text(&documented(), options),
        "2026-11-22T00:05:08.123456789Z PID:4242, Comm:bash, UID:0, LoginUID:1000, PPID:4240, \
         TTY:/dev/pts/3, Cwd:/srv/www, Kind:command, Len:29, Retvalue:0, after 1.2 ms\n\
         for i in 1 2\ndo touch $i\ndone\n\n"
    );
}

#[test]
fn a_terminal_is_not_driven_by_a_command() {
    let options = TextOptions { escape: true, ..TextOptions::default() };
    assert_eq!(
        text(&hostile(), options),
        "2026-11-22T00:05:08.123456789Z PID:4242, Comm:x\\n\\x1b[2J, UID:0, TTY:none, \
         Cwd:/tmp/\\xff\\n, Kind:command, Len:22, Retvalue:unknown, Ended:exec, Incomplete:lost, \
         after 1.2 ms\necho \\x1b]0;owned\\x07\\u{202e}\tend\n\n"
    );
}

#[test]
fn a_cut_command_says_so() {
    let line = json(&documented(), JsonOptions { tsize: Some(5), escape: false });
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(schema::objection(&value), None, "{line}");
    assert_eq!((&value["line"], &value["cut"]), (&"for i".into(), &true.into()));
    assert_eq!(value["len"], 29);
}

proptest! {
    #[test]
    fn every_command_is_one_line_that_holds_it(
        line in any::<Vec<u8>>(),
        cwd in proptest::option::of(any::<Vec<u8>>()),
        status in any::<Option<i32>>(),
        escape in any::<bool>(),
    ) {
        let command = Command { line, cwd, status, ..hostile() };
        let json = json(&command, JsonOptions { tsize: None, escape });
        prop_assert_eq!(json.find('\n'), Some(json.len() - 1));
        let value: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(schema::objection(&value), None);
        let held = match (&value["line"], &value["line_b64"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (_, Value::String(base64)) => data_encoding::BASE64.decode(base64.as_bytes()).unwrap(),
            _ => panic!("{json}"),
        };
        prop_assert_eq!(held, command.line);
    }
}
