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
    // Writing to a Vec cannot fail, here and below.
    let _ = write!(out, "PID:{}, Comm:", conn.pid);
    field(conn.comm.as_bytes(), out);
    let _ = write!(out, ", TID:{}, UID:{}, Dir:{}", record.tid, conn.uid, record.dir.as_str());
    address("Local", conn.local, out);
    address("Remote", conn.remote, out);
    let _ = write!(out, ", Conn:{}, Lib:", conn.id.0);
    field(conn.library.path.as_bytes(), out);
    let content = &record.content;
    let _ = write!(out, ", Kind:{}, Len:{}", kind(content), payload_len(content));
    match content {
        Content::Data(data) => {
            let _ = write!(out, ", Offset:{}", data.offset);
            if let Some(why) = data.unparsed {
                let (reason, detail) = unparsed_reason(why);
                named("Unparsed", reason, out);
                if let Some(detail) = detail {
                    let _ = write!(out, " ({detail})");
                }
            }
        }
        Content::Http(message) => http(message, out),
        Content::BodyPart(part) => {
            named("Of", if part.of_request { "request" } else { "response" }, out);
            exchange(part.exchange, part.stream, out);
            let _ = write!(out, ", Offset:{}", part.offset);
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
                let _ = write!(out, ", Code:{code}");
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
            let _ = write!(out, ", Offset:{}", hole.offset);
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
    let _ = write!(out, ", Exchange:{exchange}");
    if let Some(stream) = stream {
        let _ = write!(out, ", Stream:{stream}");
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
    let _ = match address {
        Some(address) => write!(out, ", {key}:{address}"),
        None => write!(out, ", {key}:unknown"),
    };
}

fn named(key: &str, value: &str, out: &mut Vec<u8>) {
    let _ = write!(out, ", {key}:");
    field(value.as_bytes(), out);
}

/// Captured names could hold line feeds, and so forge a record: they are escaped wherever they go.
pub(super) fn field(value: &[u8], out: &mut Vec<u8>) {
    escape(value, Keep::Nothing, out);
}

/// `870 ns`, `12.3 µs`, `12.3 ms`, `12.3 s`.
pub(super) fn duration(duration: Duration, out: &mut Vec<u8>) {
    let nanos = duration.as_nanos() as f64;
    let _ = match duration.as_nanos() {
        0..1_000 => write!(out, "{nanos} ns"),
        1_000..1_000_000 => write!(out, "{:.1} µs", nanos / 1e3),
        1_000_000..1_000_000_000 => write!(out, "{:.1} ms", nanos / 1e6),
        _ => write!(out, "{:.1} s", nanos / 1e9),
    };
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
        assert_eq!(shown(12_345), "12.3 µs");
        assert_eq!(shown(12_345_678), "12.3 ms");
        assert_eq!(shown(61_500_000_000), "61.5 s");
    }
}
