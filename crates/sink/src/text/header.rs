//! The line before each record: who, which way, between whom, through what, and what it is.
//!
//! Keys are joined to their values by a colon and separated by commas, beginning with `PID:…,
//! Comm:…,`, because people grep and script on that.

use super::escape::{Keep, escape};
use crate::kind::{close_code, kind, payload_len, unparsed_reason};
use event::{BodyCoding, Completeness, Content, HttpMessage, Record, Start};
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// A request's target is repeated at its response; this much of it tells which one it was.
const TARGET_SHOWN: usize = 160;

pub(super) fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    let conn = record.conn;
    number("PID:", conn.pid, out);
    out.extend_from_slice(b", Comm:");
    field(conn.comm.as_bytes(), out);
    number(", TID:", record.tid, out);
    number(", UID:", conn.uid, out);
    out.extend_from_slice(b", Dir:");
    out.extend_from_slice(record.dir.as_str().as_bytes());
    address(", Local:", conn.local, out);
    address(", Remote:", conn.remote, out);
    number(", Conn:", conn.id.0, out);
    out.extend_from_slice(b", Lib:");
    field(conn.library.path.as_bytes(), out);
    let content = &record.content;
    out.extend_from_slice(b", Kind:");
    out.extend_from_slice(kind(content).as_bytes());
    number(", Len:", payload_len(content), out);
    match content {
        Content::Data(data) => {
            number(", Offset:", data.offset, out);
            if let Some(why) = data.unparsed {
                let (reason, detail) = unparsed_reason(why);
                named("Unparsed", reason, out);
                if let Some(detail) = detail {
                    // Writing to a Vec cannot fail.
                    let _ = write!(out, " ({detail})");
                }
            }
        }
        Content::Http(message) => http(message, out),
        Content::BodyPart(part) => {
            named("Of", if part.of_request { "request" } else { "response" }, out);
            exchange(part.exchange, part.stream, out);
            number(", Offset:", part.offset, out);
            coding(&part.coding, out);
            if part.last {
                out.extend_from_slice(b", Last");
            }
            if let Some(why) = part.truncated {
                named("Truncated", why, out);
            }
        }
        Content::WebSocket(message) => {
            named("Opcode", message.kind.as_str(), out);
            if let Some(code) = close_code(message) {
                number(", Code:", code, out);
            }
            if !message.last {
                out.extend_from_slice(b", More");
            }
            if let Some(note) = message.note {
                named("Note", note, out);
            }
        }
        Content::ServerSentEvent(event) => exchange(event.exchange, event.stream, out),
        Content::Hole(hole) => {
            number(", Offset:", hole.offset, out);
            named("Cause", hole.cause.as_str(), out);
        }
    }
}

fn http(message: &HttpMessage<'_>, out: &mut Vec<u8>) {
    exchange(message.exchange, message.stream, out);
    coding(&message.coding, out);
    match message.completeness {
        Completeness::Whole => {}
        Completeness::BodyFollows => out.extend_from_slice(b", BodyFollows"),
        Completeness::Truncated(why) => named("Truncated", why, out),
    }
    let Start::Response(status) = &message.start else { return };
    if let Some((method, target)) = &status.answers {
        out.extend_from_slice(b", Answers:");
        field(method, out);
        out.push(b' ');
        field(&target[..target.len().min(TARGET_SHOWN)], out);
        if target.len() > TARGET_SHOWN {
            out.extend_from_slice("…".as_bytes());
        }
    }
    if let Some(latency) = status.latency {
        out.extend_from_slice(b", after ");
        duration(latency, out);
    }
}

fn exchange(exchange: u64, stream: Option<u32>, out: &mut Vec<u8>) {
    number(", Exchange:", exchange, out);
    if let Some(stream) = stream {
        number(", Stream:", stream, out);
    }
}

fn coding(coding: &BodyCoding, out: &mut Vec<u8>) {
    match coding {
        BodyCoding::Identity => {}
        BodyCoding::Decoded(codings) => {
            named("Encoding", codings, out);
            out.extend_from_slice(b" (decoded)");
        }
        BodyCoding::Encoded(codings, why) => {
            named("Encoding", codings, out);
            let _ = write!(out, " (as sent: {why})");
        }
    }
}

fn address(key: &str, address: Option<SocketAddr>, out: &mut Vec<u8>) {
    match address {
        Some(SocketAddr::V4(v4)) => {
            let [a, b, c, d] = v4.ip().octets();
            number(key, a, out);
            number(".", b, out);
            number(".", c, out);
            number(".", d, out);
            number(":", v4.port(), out);
        }
        Some(SocketAddr::V6(v6)) => {
            let _ = write!(out, "{key}{v6}");
        }
        None => {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"unknown");
        }
    }
}

/// Much faster than the standard library's formatting, of which a header line would need a dozen.
pub(super) fn number(before: &str, value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn named(key: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b", ");
    out.extend_from_slice(key.as_bytes());
    out.push(b':');
    field(value.as_bytes(), out);
}

/// Captured names could hold line feeds, and so forge a record: they are escaped wherever they go.
pub(super) fn field(value: &[u8], out: &mut Vec<u8>) {
    escape(value, Keep::Nothing, out);
}

/// `870 ns`, `12.3 µs`, `12.3 ms`, `12.3 s`.
pub(super) fn duration(duration: Duration, out: &mut Vec<u8>) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (unit, name) = match nanos {
        0..1_000 => {
            number("", nanos, out);
            out.extend_from_slice(b" ns");
            return;
        }
        1_000..1_000_000 => (1_000, " µs"),
        1_000_000..1_000_000_000 => (1_000_000, " ms"),
        _ => (1_000_000_000, " s"),
    };
    // In tenths, rounded.
    let tenths = nanos / (unit / 10) + u64::from(nanos % (unit / 10) >= unit / 20);
    number("", tenths / 10, out);
    number(".", tenths % 10, out);
    out.extend_from_slice(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_have_a_unit() {
        let shown = |nanos| {
            let mut out = Vec::new();
            duration(Duration::from_nanos(nanos), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(870), "870 ns");
        assert_eq!(shown(999), "999 ns");
        assert_eq!(shown(1_000), "1.0 µs");
        assert_eq!(shown(12_345), "12.3 µs");
        assert_eq!(shown(12_350), "12.4 µs");
        assert_eq!(shown(12_345_678), "12.3 ms");
        assert_eq!(shown(61_500_000_000), "61.5 s");
    }
}
