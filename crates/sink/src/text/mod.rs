//! Records for people: a header line, the content, a blank line.

mod command;
mod escape;
mod header;
mod payload;
mod query;

use crate::kind::close_code;
use crate::time::Clock;
use crate::{Encoder, Inset};
use escape::{Keep, escape};
pub use escape::{visible, visible_lines};
use event::{Command, Content, Direction, Field, HttpMessage, HttpVersion, Query, Record, Start};
use std::io::Write as _;
use std::sync::Arc;

/// What the user, and where the text goes, decide about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextOptions {
    /// Colour the header lines: green what was received, magenta what was sent, cyan what was
    /// typed or executed.
    pub color: bool,
    /// The text goes to a terminal: make visible what it would act on or hide.
    pub escape: bool,
    /// Show every payload as a hex dump.
    pub hex: bool,
    /// Show at most so many bytes of each payload.
    pub tsize: Option<usize>,
}

/// Writes records as text.
#[derive(Debug, Clone)]
pub struct TextEncoder {
    options: TextOptions,
    clock: Clock,
}

impl TextEncoder {
    /// An encoder that has written nothing yet.
    pub fn new(options: TextOptions) -> Self {
        Self { options, clock: Clock::new() }
    }

    fn header(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        if self.options.color {
            out.extend_from_slice(match record.dir {
                Direction::Recv => GREEN,
                Direction::Send => MAGENTA,
            });
        }
        self.clock.write(record.ts, out);
        out.push(b' ');
        header::write(record, out);
        if self.options.color {
            out.extend_from_slice(PLAIN);
        }
        out.push(b'\n');
    }
}

const CYAN: &[u8] = b"\x1b[36m";
const GREEN: &[u8] = b"\x1b[32m";
const MAGENTA: &[u8] = b"\x1b[35m";
const PLAIN: &[u8] = b"\x1b[0m";

impl Encoder for TextEncoder {
    fn encode(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.header(record, out);
        content(&record.content, self.options, out);
        out.push(b'\n');
    }

    fn encode_around(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Option<Inset> {
        let Content::Http(message) = &record.content else {
            self.encode(record, out);
            return None;
        };
        let Some(body) = payload::as_it_is(&message.body, self.options) else {
            self.encode(record, out);
            return None;
        };
        self.header(record, out);
        head(message, self.options, out);
        out.push(b'\n');
        let inset = Inset { at: out.len(), body: Arc::clone(body) };
        if !body.ends_with(b"\n") {
            out.push(b'\n');
        }
        trailers(message.trailers, self.options, out);
        out.push(b'\n');
        Some(inset)
    }

    fn command(&mut self, command: &Command, out: &mut Vec<u8>) {
        if self.options.color {
            out.extend_from_slice(CYAN);
        }
        self.clock.write(command.ts, out);
        out.push(b' ');
        command::write(command, out);
        if self.options.color {
            out.extend_from_slice(PLAIN);
        }
        out.push(b'\n');
        payload::write(&command.line, self.options, out);
        out.push(b'\n');
    }

    fn query(&mut self, query: &Query, out: &mut Vec<u8>) {
        if self.options.color {
            out.extend_from_slice(CYAN);
        }
        self.clock.write(query.ts, out);
        out.push(b' ');
        query::write(query, out);
        if self.options.color {
            out.extend_from_slice(PLAIN);
        }
        out.push(b'\n');
        payload::write(query.text.as_deref().unwrap_or_default(), self.options, out);
        out.push(b'\n');
    }
}

fn content(content: &Content<'_>, options: TextOptions, out: &mut Vec<u8>) {
    match content {
        Content::Data(data) => payload::write(data.bytes, options, out),
        Content::Http(message) => http(message, options, out),
        Content::BodyPart(part) => {
            payload::write(part.bytes, options, out);
            trailers(part.trailers, options, out);
        }
        Content::WebSocket(message) => {
            // The code before the reason stands in the header line.
            let skipped = if close_code(message).is_some() { 2 } else { 0 };
            payload::write(&message.payload[skipped..], options, out);
        }
        Content::ServerSentEvent(event) => payload::write(event.raw, options, out),
        Content::Hole(hole) => {
            // Writing to a Vec cannot fail.
            let _ = writeln!(out, "[{} bytes not shown: {}]", hole.len, hole.cause.as_str());
        }
    }
}

fn http(message: &HttpMessage<'_>, options: TextOptions, out: &mut Vec<u8>) {
    head(message, options, out);
    if !message.body.is_empty() {
        out.push(b'\n');
        payload::write_body(message.body, options, out);
    }
    trailers(message.trailers, options, out);
}

fn head(message: &HttpMessage<'_>, options: TextOptions, out: &mut Vec<u8>) {
    let version = message.version.as_str();
    match &message.start {
        Start::Request(start) => {
            line(&start.method, options, out);
            out.push(b' ');
            line(&start.target, options, out);
            out.push(b' ');
            out.extend_from_slice(version.as_bytes());
            out.push(b'\n');
            // In HTTP/1 it stands among the header fields.
            if let (HttpVersion::Http2, Some(authority)) = (message.version, &start.authority) {
                out.extend_from_slice(b":authority: ");
                line(authority, options, out);
                out.push(b'\n');
            }
        }
        Start::Response(start) => {
            out.extend_from_slice(version.as_bytes());
            header::number(" ", start.status, out);
            if !start.reason.is_empty() {
                out.push(b' ');
                line(&start.reason, options, out);
            }
            out.push(b'\n');
        }
    }
    fields(message.headers, options, out);
}

fn fields(fields: &[Field<'_>], options: TextOptions, out: &mut Vec<u8>) {
    for field in fields {
        line(&field.name, options, out);
        out.extend_from_slice(b": ");
        line(&field.value, options, out);
        out.push(b'\n');
    }
}

fn trailers(trailers: &[Field<'_>], options: TextOptions, out: &mut Vec<u8>) {
    if !trailers.is_empty() {
        out.extend_from_slice(b"[trailers]\n");
        fields(trailers, options, out);
    }
}

/// Captured text that is a line, or a part of one.
fn line(text: &[u8], options: TextOptions, out: &mut Vec<u8>) {
    if options.escape {
        escape(text, Keep::Tab, out);
    } else {
        out.extend_from_slice(text);
    }
}
