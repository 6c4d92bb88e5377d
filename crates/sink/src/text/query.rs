//! The line before a statement: who executed it for whom, and how it ended.

use super::header::{duration, field};
use event::{Outcome, Query};
use std::io::Write as _;

pub(super) fn write(query: &Query, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail, here and below.
    let _ = write!(out, "PID:{}, Comm:", query.pid);
    field(query.comm.as_bytes(), out);
    let _ = write!(out, ", TID:{}, UID:{}, Lib:", query.tid, query.uid);
    field(query.server.path.as_bytes(), out);
    let _ = write!(out, ", Kind:query, System:{}", query.system.as_str());
    let _ =
        write!(out, ", Op:{}", query.operation.map_or("unknown", event::QueryOperation::as_str));
    if let Some(connection) = query.connection {
        let _ = write!(out, ", Connection:{connection}");
    }
    for (name, value) in
        [("User", &query.user), ("Schema", &query.schema), ("Client", &query.client)]
    {
        if let Some(value) = value {
            let _ = write!(out, ", {name}:");
            field(value.as_bytes(), out);
        }
    }
    let _ = match &query.text {
        Some(text) => write!(out, ", Len:{}", text.len()),
        None => write!(out, ", Len:unknown"),
    };
    if let Some(why) = query.incomplete {
        let _ = write!(out, ", Incomplete:{why}");
    }
    match &query.outcome {
        Outcome::Done => out.extend_from_slice(b", Outcome:done"),
        Outcome::Failed(code) => {
            out.extend_from_slice(b", Outcome:failed, Error:");
            field(code.as_bytes(), out);
        }
        Outcome::Unfinished => out.extend_from_slice(b", Outcome:unfinished"),
    }
    if let Some(rows) = query.rows {
        let _ = write!(out, ", Rows:{rows}");
    }
    if let Some(time) = query.duration {
        out.extend_from_slice(b", after ");
        duration(time, out);
    }
}
