//! From a record to the message `Event`.

use super::generated::{
    Data, Direction, Endpoint, Event, Hole, HttpBody, HttpCoding, HttpField, HttpMessage,
    HttpRequest, HttpResponse, ServerSentEvent, WebSocketMessage, event::Content as Kind,
    http_message,
};
use crate::cut;
use crate::kind::{payload_len, unparsed_reason};
use event::{BodyCoding, Completeness, Content, Field, HttpVersion, Record, Start};
use std::io::Write as _;
use std::net::SocketAddr;

/// `Event.type` as eCaptureQ knows it.
mod kind {
    pub(super) const OTHER: u32 = 0;
    pub(super) const HTTP1_REQUEST: u32 = 1;
    pub(super) const HTTP2_REQUEST: u32 = 2;
    pub(super) const HTTP1_RESPONSE: u32 = 3;
    pub(super) const HTTP2_RESPONSE: u32 = 4;
}

pub(super) fn event(record: &Record<'_>, limit: Option<usize>) -> Event {
    let conn = record.conn;
    let sent = record.dir == event::Direction::Send;
    let (from, to) = if sent { (conn.local, conn.remote) } else { (conn.remote, conn.local) };
    let (src_ip, src_port) = ip_and_port(from);
    let (dst_ip, dst_port) = ip_and_port(to);
    let (payload, whole_len, content) = content(&record.content, limit);
    Event {
        timestamp: i64::try_from(record.ts.0).unwrap_or(i64::MAX),
        uuid: uuid(record),
        src_ip,
        src_port,
        dst_ip,
        dst_port,
        pid: conn.pid.into(),
        pname: conn.comm.to_string(),
        r#type: kind(&record.content),
        length: u32::try_from(whole_len).unwrap_or(u32::MAX),
        cut: payload.len() < whole_len,
        payload,
        // Counted by the encoder.
        sequence: 0,
        direction: if sent { Direction::Send } else { Direction::Recv }.into(),
        tid: record.tid,
        uid: conn.uid,
        exe: conn.exe.as_deref().map(str::to_owned),
        connection: conn.id.0,
        local: conn.local.map(endpoint),
        remote: conn.remote.map(endpoint),
        library: conn.library.path.clone(),
        data_length: payload_len(&record.content),
        content: Some(content),
    }
}

fn uuid(record: &Record<'_>) -> String {
    let conn = record.conn;
    let sent = u8::from(record.dir == event::Direction::Send);
    let (pid, tid, comm, id) = (conn.pid, record.tid, &conn.comm, conn.id.0);
    let end = |address: Option<SocketAddr>| {
        address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
    };
    format!("{pid}_{tid}_{comm}_{id}_{sent}_{}-{}", end(conn.local), end(conn.remote))
}

fn ip_and_port(address: Option<SocketAddr>) -> (String, u32) {
    address
        .map_or_else(Default::default, |address| (address.ip().to_string(), address.port().into()))
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { ip: address.ip().to_string(), port: address.port().into() }
}

fn kind(content: &Content<'_>) -> u32 {
    let Content::Http(message) = content else { return kind::OTHER };
    match (message.version, &message.start) {
        (HttpVersion::Http2, Start::Request(_)) => kind::HTTP2_REQUEST,
        (HttpVersion::Http2, Start::Response(_)) => kind::HTTP2_RESPONSE,
        (_, Start::Request(_)) => kind::HTTP1_REQUEST,
        (_, Start::Response(_)) => kind::HTTP1_RESPONSE,
    }
}

/// The payload, its length if nothing were cut, and the rest.
fn content(content: &Content<'_>, limit: Option<usize>) -> (Vec<u8>, usize, Kind) {
    let plain = |bytes: &[u8]| (cut(bytes, limit).to_vec(), bytes.len());
    let (payload, len, kind) = match content {
        Content::Data(data) => {
            let (payload, len) = plain(data.bytes);
            let (unparsed, detail) = data.unparsed.map(unparsed_reason).unzip();
            let kind = Kind::Data(Data {
                offset: data.offset,
                unparsed: unparsed.map(str::to_owned),
                detail: detail.flatten().map(str::to_owned),
            });
            (payload, len, kind)
        }
        Content::Http(message) => return http(message, limit),
        Content::BodyPart(part) => {
            let (payload, len) = plain(part.bytes);
            let kind = Kind::HttpBody(HttpBody {
                exchange: part.exchange,
                stream: part.stream,
                of_request: part.of_request,
                offset: part.offset,
                last: part.last,
                trailers: fields(part.trailers),
                coding: coding(&part.coding),
                truncated: part.truncated.map(str::to_owned),
            });
            (payload, len, kind)
        }
        Content::WebSocket(message) => {
            let (payload, len) = plain(message.payload);
            let kind = Kind::Websocket(WebSocketMessage {
                opcode: message.kind.as_str().to_owned(),
                last: message.last,
                note: message.note.map(str::to_owned),
            });
            (payload, len, kind)
        }
        Content::ServerSentEvent(event) => {
            let (payload, len) = plain(event.raw);
            let kind = Kind::Sse(ServerSentEvent {
                exchange: event.exchange,
                stream: event.stream,
                event: event.event.map(<[u8]>::to_vec),
                id: event.id.map(<[u8]>::to_vec),
                data: cut(event.data, limit).to_vec(),
            });
            (payload, len, kind)
        }
        Content::Hole(hole) => {
            let cause = hole.cause.as_str().to_owned();
            (Vec::new(), 0, Kind::Hole(Hole { offset: hole.offset, cause }))
        }
    };
    (payload, len, kind)
}

fn http(message: &event::HttpMessage<'_>, limit: Option<usize>) -> (Vec<u8>, usize, Kind) {
    let shown = cut(&message.body, limit);
    let mut payload = Vec::with_capacity(1024 + shown.len());
    head(message, &mut payload);
    let body_offset = payload.len();
    payload.extend_from_slice(shown);
    let kind = Kind::Http(HttpMessage {
        version: message.version.as_str().to_owned(),
        exchange: message.exchange,
        stream: message.stream,
        start: Some(start(&message.start)),
        headers: fields(message.headers),
        trailers: fields(message.trailers),
        body_offset: u32::try_from(body_offset).unwrap_or(u32::MAX),
        coding: coding(&message.coding),
        encoded_len: message.encoded_len,
        ended_ns: message.ended.0,
        complete: message.completeness == Completeness::Whole,
        body_follows: message.completeness == Completeness::BodyFollows,
        truncated: match message.completeness {
            Completeness::Truncated(why) => Some(why.to_owned()),
            Completeness::Whole | Completeness::BodyFollows => None,
        },
    });
    (payload, body_offset + message.body.len(), kind)
}

/// The head in the way of HTTP/1, for readers that know only the payload.
fn head(message: &event::HttpMessage<'_>, out: &mut Vec<u8>) {
    let version = message.version.as_str();
    // Writing to a vector cannot fail.
    match &message.start {
        Start::Request(start) => {
            out.extend_from_slice(&start.method);
            out.push(b' ');
            out.extend_from_slice(&start.target);
            let _ = write!(out, " {version}\r\n");
            if let (HttpVersion::Http2, Some(authority)) = (message.version, &start.authority) {
                out.extend_from_slice(b"Host: ");
                out.extend_from_slice(authority);
                out.extend_from_slice(b"\r\n");
            }
        }
        Start::Response(start) => {
            let _ = write!(out, "{version} {} ", start.status);
            out.extend_from_slice(&start.reason);
            out.extend_from_slice(b"\r\n");
        }
    }
    for field in message.headers {
        out.extend_from_slice(&field.name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(&field.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn start(start: &Start<'_>) -> http_message::Start {
    match start {
        Start::Request(line) => http_message::Start::Request(HttpRequest {
            method: line.method.to_vec(),
            path: line.target.to_vec(),
            authority: line.authority.as_ref().map(|authority| authority.to_vec()),
        }),
        Start::Response(line) => http_message::Start::Response(HttpResponse {
            status: line.status.into(),
            reason: line.reason.to_vec(),
            request: line.answers.as_ref().map(|(method, target)| HttpRequest {
                method: method.to_vec(),
                path: target.to_vec(),
                authority: None,
            }),
            latency_ns: line
                .latency
                .map(|latency| u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)),
        }),
    }
}

fn fields(fields: &[Field<'_>]) -> Vec<HttpField> {
    let field =
        |field: &Field<'_>| HttpField { name: field.name.to_vec(), value: field.value.to_vec() };
    fields.iter().map(field).collect()
}

fn coding(coding: &BodyCoding) -> Option<HttpCoding> {
    match coding {
        BodyCoding::Identity => None,
        BodyCoding::Decoded(codings) => {
            Some(HttpCoding { codings: codings.clone(), decoded: true, why: String::new() })
        }
        BodyCoding::Encoded(codings, why) => {
            let (codings, why) = (codings.clone(), (*why).to_owned());
            Some(HttpCoding { codings, decoded: false, why })
        }
    }
}
