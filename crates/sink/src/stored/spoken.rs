//! Commands and statements: from a JSON line to the message `Event`, and from that to what was recorded.

use super::json::{Object, bytes, maybe_bytes, maybe_text, text};
use super::words::Words;
use crate::proto::{Command, Event, Query, event::Content as Kind};
use event::{CommandEnding, DatabaseSystem, Library, Outcome, QueryOperation, Timestamp};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const ENDINGS: [CommandEnding; 4] =
    [CommandEnding::Returned, CommandEnding::Exec, CommandEnding::Exit, CommandEnding::Running];
const SYSTEMS: [DatabaseSystem; 3] =
    [DatabaseSystem::MySql, DatabaseSystem::MariaDb, DatabaseSystem::PostgreSql];
const OPERATIONS: [QueryOperation; 4] =
    [QueryOperation::Query, QueryOperation::Prepare, QueryOperation::Bind, QueryOperation::Execute];

/// The event of a line of kind `command`; `whose` is what every line has.
pub(super) fn command(line: &Object, whose: Event) -> Result<Event, &'static str> {
    let content = Kind::Command(Command {
        ppid: maybe_number(line, "ppid")?,
        login_uid: maybe_number(line, "login_uid")?,
        tty: maybe_text(line, "tty"),
        cwd: maybe_bytes(line, "cwd")?,
        incomplete: maybe_text(line, "incomplete"),
        ending: text(line, "ended")?.to_owned(),
        status: maybe_number(line, "status")?,
        duration_ns: maybe_number(line, "duration_ns")?,
    });
    Ok(Event {
        payload: bytes(line, "line")?,
        library: text(line, "shell")?.to_owned(),
        content: Some(content),
        ..whose
    })
}

/// The event of a line of kind `query`.
pub(super) fn query(line: &Object, whose: Event) -> Result<Event, &'static str> {
    let payload = maybe_bytes(line, "query")?;
    let content = Kind::Query(Query {
        system: text(line, "system")?.to_owned(),
        operation: maybe_text(line, "op"),
        connection: maybe_number(line, "connection")?,
        user: maybe_text(line, "user"),
        schema: maybe_text(line, "schema"),
        client: maybe_text(line, "client"),
        text_unknown: payload.is_none(),
        incomplete: maybe_text(line, "incomplete"),
        outcome: text(line, "outcome")?.to_owned(),
        error: maybe_text(line, "error"),
        rows: maybe_number(line, "rows")?,
        duration_ns: maybe_number(line, "duration_ns")?,
    });
    Ok(Event {
        payload: payload.unwrap_or_default(),
        library: text(line, "server")?.to_owned(),
        content: Some(content),
        ..whose
    })
}

/// The command of an event.
pub(super) fn recorded_command(
    event: &Event,
    of: &Command,
    words: &mut Words,
) -> Result<event::Command, &'static str> {
    Ok(event::Command {
        ts: time(event)?,
        pid: pid(event)?,
        tid: event.tid,
        ppid: of.ppid,
        uid: event.uid,
        login_uid: of.login_uid,
        comm: event.pname.as_str().into(),
        exe: event.exe.as_deref().map(Into::into),
        shell: library(event),
        tty: of.tty.clone(),
        cwd: of.cwd.clone(),
        line: event.payload.clone(),
        incomplete: of.incomplete.as_deref().map(|why| words.keep(why)),
        ending: known(&ENDINGS, CommandEnding::as_str, &of.ending)?,
        status: of.status,
        duration: of.duration_ns.map(Duration::from_nanos),
    })
}

/// The statement of an event.
pub(super) fn recorded_query(
    event: &Event,
    of: &Query,
    words: &mut Words,
) -> Result<event::Query, &'static str> {
    let operation = of.operation.as_deref();
    Ok(event::Query {
        ts: time(event)?,
        pid: pid(event)?,
        tid: event.tid,
        uid: event.uid,
        comm: event.pname.as_str().into(),
        exe: event.exe.as_deref().map(Into::into),
        server: library(event),
        system: known(&SYSTEMS, DatabaseSystem::as_str, &of.system)?,
        operation: operation
            .map(|word| known(&OPERATIONS, QueryOperation::as_str, word))
            .transpose()?,
        connection: of.connection,
        user: of.user.clone(),
        schema: of.schema.clone(),
        client: of.client.clone(),
        text: (!of.text_unknown).then(|| event.payload.clone()),
        incomplete: of.incomplete.as_deref().map(|why| words.keep(why)),
        outcome: match of.outcome.as_str() {
            "done" => Outcome::Done,
            "failed" => Outcome::Failed(of.error.clone().unwrap_or_default()),
            "unfinished" => Outcome::Unfinished,
            _ => return Err("its outcome is unknown"),
        },
        rows: of.rows,
        duration: of.duration_ns.map(Duration::from_nanos),
    })
}

fn known<T: Copy>(all: &[T], word: fn(T) -> &'static str, is: &str) -> Result<T, &'static str> {
    all.iter().copied().find(|one| word(*one) == is).ok_or("a word in it is unknown")
}

pub(super) fn time(event: &Event) -> Result<Timestamp, &'static str> {
    u64::try_from(event.timestamp).map(Timestamp).map_err(|_| "its time is before 1970")
}

pub(super) fn pid(event: &Event) -> Result<u32, &'static str> {
    u32::try_from(event.pid).map_err(|_| "its process id is out of range")
}

pub(super) fn library(event: &Event) -> Arc<Library> {
    Arc::new(Library { path: event.library.clone(), build_id: None })
}

/// A number that may be missing or null.
fn maybe_number<T: TryFrom<i128>>(line: &Object, name: &str) -> Result<Option<T>, &'static str> {
    let number = match line.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_u64().map(i128::from).or(value.as_i64().map(i128::from)),
    };
    let number = number.ok_or("a field is no number")?;
    T::try_from(number).map(Some).map_err(|_| "a number is out of range")
}
