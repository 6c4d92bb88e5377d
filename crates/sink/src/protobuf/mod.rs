//! Records as the messages of `proto/ecapture.proto`, each after its length.

mod encode;

/// Made from the schema; `tests/schema_is_current.rs` keeps it so.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::all,
    reason = "generated: the schema has the comments"
)]
#[rustfmt::skip]
pub mod generated;

use crate::Encoder;
use event::Record;
use generated::{LogEntry, LogType, log_entry};
use prost::Message as _;

/// What the user can choose.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProtobufOptions {
    /// Show at most so many bytes of each payload.
    pub tsize: Option<usize>,
}

/// Writes records as length-delimited messages.
#[derive(Debug, Clone)]
pub struct ProtobufEncoder {
    options: ProtobufOptions,
    sequence: u64,
}

impl ProtobufEncoder {
    /// An encoder that has written nothing yet.
    pub fn new(options: ProtobufOptions) -> Self {
        Self { options, sequence: 0 }
    }
}

impl Encoder for ProtobufEncoder {
    fn encode(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.sequence += 1;
        let event = encode::event(record, self.sequence, self.options.tsize);
        let entry = LogEntry {
            log_type: LogType::Event.into(),
            payload: Some(log_entry::Payload::EventPayload(event)),
        };
        append(&entry, out);
    }

    fn command(&mut self, command: &event::Command, out: &mut Vec<u8>) {
        self.sequence += 1;
        let event = encode::command(command, self.sequence, self.options.tsize);
        let entry = LogEntry {
            log_type: LogType::Event.into(),
            payload: Some(log_entry::Payload::EventPayload(event)),
        };
        append(&entry, out);
    }

    fn query(&mut self, query: &event::Query, out: &mut Vec<u8>) {
        self.sequence += 1;
        let event = encode::query(query, self.sequence, self.options.tsize);
        let entry = LogEntry {
            log_type: LogType::Event.into(),
            payload: Some(log_entry::Payload::EventPayload(event)),
        };
        append(&entry, out);
    }
}

/// A line of the tool's own log as a length-delimited message.
pub fn run_log(line: String) -> Vec<u8> {
    let payload = Some(log_entry::Payload::RunLog(line));
    let mut out = Vec::new();
    append(&LogEntry { log_type: LogType::ProcessLog.into(), payload }, &mut out);
    out
}

fn append(entry: &LogEntry, out: &mut Vec<u8>) {
    // It only fails if there is no room, and a vector makes some.
    let _ = entry.encode_length_delimited(out);
}
