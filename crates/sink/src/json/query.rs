//! Statements of database servers as JSON.

use super::command::{optional_number, optional_text};
use super::line::{Line, names};
use super::mark_cut;
use event::{Outcome, Query};

/// Everything after the time.
pub(super) fn query(line: &mut Line<'_>, query: &Query) {
    line.text("\",\"kind\":\"", "query");
    line.number(",\"pid\":", query.pid);
    line.number(",\"tid\":", query.tid);
    line.number(",\"uid\":", query.uid);
    line.text(",\"comm\":\"", &query.comm);
    optional_text(line, ",\"exe\":", query.exe.as_deref());
    line.text(",\"server\":\"", &query.server.path);
    line.text(",\"system\":\"", query.system.as_str());
    optional_text(line, ",\"op\":", query.operation.map(event::QueryOperation::as_str));
    optional_number(line, ",\"connection\":", query.connection);
    optional_text(line, ",\"user\":", query.user.as_deref());
    optional_text(line, ",\"schema\":", query.schema.as_deref());
    optional_text(line, ",\"client\":", query.client.as_deref());
    let (outcome, error) = match &query.outcome {
        Outcome::Done => ("done", None),
        Outcome::Failed(code) => ("failed", Some(code.as_str())),
        Outcome::Unfinished => ("unfinished", None),
    };
    line.text(",\"outcome\":\"", outcome);
    optional_text(line, ",\"error\":", error);
    optional_number(line, ",\"rows\":", query.rows);
    let nanos = query.duration.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    optional_number(line, ",\"duration_ns\":", nanos);
    match &query.text {
        Some(text) => {
            line.number(",\"len\":", text.len());
            let is_cut = line.payload(names!("query"), text);
            mark_cut(line, is_cut);
        }
        None => line.raw(",\"len\":0,\"query\":null"),
    }
    if let Some(why) = query.incomplete {
        line.text(",\"incomplete\":\"", why);
    }
}
