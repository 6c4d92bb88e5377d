//! What people and programs say to shells and databases, as the message `Event`.

use super::generated::{Command, Event, Query, event::Content as Kind};
use crate::cut;
use event::{Outcome, Timestamp};
use std::time::Duration;

pub(super) fn command(command: &event::Command, limit: Option<usize>) -> Event {
    let content = Kind::Command(Command {
        ppid: command.ppid,
        login_uid: command.login_uid,
        tty: command.tty.clone(),
        cwd: command.cwd.clone(),
        incomplete: command.incomplete.map(str::to_owned),
        ending: command.ending.as_str().to_owned(),
        status: command.status,
        duration_ns: command.duration.map(nanos),
    });
    Event {
        timestamp: time(command.ts),
        pid: command.pid.into(),
        tid: command.tid,
        uid: command.uid,
        pname: command.comm.to_string(),
        exe: command.exe.as_deref().map(str::to_owned),
        library: command.shell.path.clone(),
        content: Some(content),
        ..payload(&command.line, limit)
    }
}

pub(super) fn query(query: &event::Query, limit: Option<usize>) -> Event {
    let (outcome, error) = match &query.outcome {
        Outcome::Done => ("done", None),
        Outcome::Failed(error) => ("failed", Some(error.clone())),
        Outcome::Unfinished => ("unfinished", None),
    };
    let content = Kind::Query(Query {
        system: query.system.as_str().to_owned(),
        operation: query.operation.map(|operation| operation.as_str().to_owned()),
        connection: query.connection,
        user: query.user.clone(),
        schema: query.schema.clone(),
        client: query.client.clone(),
        text_unknown: query.text.is_none(),
        incomplete: query.incomplete.map(str::to_owned),
        outcome: outcome.to_owned(),
        error,
        rows: query.rows,
        duration_ns: query.duration.map(nanos),
    });
    Event {
        timestamp: time(query.ts),
        pid: query.pid.into(),
        tid: query.tid,
        uid: query.uid,
        pname: query.comm.to_string(),
        exe: query.exe.as_deref().map(str::to_owned),
        library: query.server.path.clone(),
        content: Some(content),
        ..payload(query.text.as_deref().unwrap_or_default(), limit)
    }
}

fn payload(text: &[u8], limit: Option<usize>) -> Event {
    let shown = cut(text, limit);
    Event {
        payload: shown.to_vec(),
        length: u32::try_from(text.len()).unwrap_or(u32::MAX),
        data_length: text.len() as u64,
        cut: shown.len() < text.len(),
        ..Event::default()
    }
}

fn time(ts: Timestamp) -> i64 {
    i64::try_from(ts.0).unwrap_or(i64::MAX)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
