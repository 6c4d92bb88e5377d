//! One JSON object a line, as `docs/events.md` describes it and `docs/events.schema.json` checks it.
//!
//! This is the hot path of a busy capture, so the lines are put together by hand: no allocation but
//! the growth of the caller's buffer, unless captured names are not UTF-8.

mod command;
mod http;
mod line;
mod query;
mod string;

use crate::Encoder;
use crate::kind::{close_code, kind, payload_len, unparsed_reason};
use crate::time::Clock;
use event::{Command, Content, Data, Query, Record, ServerSentEvent, WebSocketMessage};
use line::{Line, names};

/// What the user can choose about JSON lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonOptions {
    /// Show at most so many bytes of each payload.
    pub tsize: Option<usize>,
    /// The lines go to a terminal: escape what it would act on. A parser reads the same strings.
    pub escape: bool,
}

/// Writes records as lines of JSON.
#[derive(Debug, Clone)]
pub struct JsonEncoder {
    options: JsonOptions,
    clock: Clock,
}

impl JsonEncoder {
    /// An encoder that has written nothing yet.
    pub fn new(options: JsonOptions) -> Self {
        Self { options, clock: Clock::new() }
    }
}

/// Room for everything in a line but headers and payload, in most cases.
const LINE_RESERVE: usize = 512;

impl Encoder for JsonEncoder {
    fn encode(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let len = payload_len(&record.content);
        let shown = usize::try_from(len).unwrap_or(0).min(self.options.tsize.unwrap_or(usize::MAX));
        if !matches!(record.content, Content::Hole(_)) {
            out.reserve(LINE_RESERVE.saturating_add(shown));
        }
        let mut line = Line { out, terminal: self.options.escape, limit: self.options.tsize };
        line.raw("{\"ts\":\"");
        self.clock.write(record.ts, line.out);
        common(&mut line, record);
        line.number(",\"len\":", len);
        match &record.content {
            Content::Data(data) => raw_data(&mut line, data),
            Content::Http(message) => http::message(&mut line, record.ts, message),
            Content::BodyPart(part) => http::body_part(&mut line, part),
            Content::WebSocket(message) => websocket(&mut line, message),
            Content::ServerSentEvent(event) => server_sent_event(&mut line, event),
            Content::Hole(hole) => {
                line.number(",\"offset\":", hole.offset);
                line.text(",\"cause\":\"", hole.cause.as_str());
            }
        }
        line.raw("}\n");
    }

    fn command(&mut self, command: &Command, out: &mut Vec<u8>) {
        let shown = command.line.len().min(self.options.tsize.unwrap_or(usize::MAX));
        out.reserve(LINE_RESERVE.saturating_add(shown));
        let mut line = Line { out, terminal: self.options.escape, limit: self.options.tsize };
        line.raw("{\"ts\":\"");
        self.clock.write(command.ts, line.out);
        command::command(&mut line, command);
        line.raw("}\n");
    }

    fn query(&mut self, query: &Query, out: &mut Vec<u8>) {
        let len = query.text.as_ref().map_or(0, Vec::len);
        out.reserve(LINE_RESERVE.saturating_add(len.min(self.options.tsize.unwrap_or(usize::MAX))));
        let mut line = Line { out, terminal: self.options.escape, limit: self.options.tsize };
        line.raw("{\"ts\":\"");
        self.clock.write(query.ts, line.out);
        query::query(&mut line, query);
        line.raw("}\n");
    }
}

/// The fields of every kind, after the time.
fn common(line: &mut Line<'_>, record: &Record<'_>) {
    let conn = record.conn;
    line.text("\",\"kind\":\"", kind(&record.content));
    line.number(",\"pid\":", conn.pid);
    line.number(",\"tid\":", record.tid);
    line.number(",\"uid\":", conn.uid);
    line.text(",\"comm\":\"", &conn.comm);
    match &conn.exe {
        Some(exe) => line.text(",\"exe\":\"", exe),
        None => line.raw(",\"exe\":null"),
    }
    line.number(",\"conn\":", conn.id.0);
    line.text(",\"dir\":\"", record.dir.as_str());
    line.address(",\"local\":", conn.local);
    line.address(",\"remote\":", conn.remote);
    line.text(",\"lib\":\"", &conn.library.path);
}

fn raw_data(line: &mut Line<'_>, data: &Data<'_>) {
    line.number(",\"offset\":", data.offset);
    if let Some(why) = data.unparsed {
        let (reason, detail) = unparsed_reason(why);
        line.text(",\"unparsed\":\"", reason);
        if let Some(detail) = detail {
            line.text(",\"detail\":\"", detail);
        }
    }
    let is_cut = line.payload(names!("data"), data.bytes);
    mark_cut(line, is_cut);
}

fn websocket(line: &mut Line<'_>, message: &WebSocketMessage<'_>) {
    line.text(",\"opcode\":\"", message.kind.as_str());
    if let Some(code) = close_code(message) {
        line.number(",\"code\":", code);
    }
    line.truth(",\"last\":", message.last);
    if let Some(note) = message.note {
        line.text(",\"note\":\"", note);
    }
    let is_cut = line.payload(names!("data"), message.payload);
    mark_cut(line, is_cut);
}

fn server_sent_event(line: &mut Line<'_>, event: &ServerSentEvent<'_>) {
    exchange(line, event.exchange, event.stream);
    if let Some(name) = event.event {
        line.lossy(names!("event"), name);
    }
    if let Some(id) = event.id {
        line.lossy(names!("id"), id);
    }
    let data_is_cut = line.payload(names!("data"), event.data);
    let raw_is_cut = line.payload(names!("raw"), event.raw);
    mark_cut(line, data_is_cut || raw_is_cut);
}

fn exchange(line: &mut Line<'_>, exchange: u64, stream: Option<u32>) {
    line.number(",\"exchange\":", exchange);
    if let Some(stream) = stream {
        line.number(",\"stream\":", stream);
    }
}

fn mark_cut(line: &mut Line<'_>, is_cut: bool) {
    if is_cut {
        line.raw(",\"cut\":true");
    }
}
