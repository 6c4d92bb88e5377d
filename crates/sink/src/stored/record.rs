//! From the message `Event` to a record.

use super::Recorded;
use super::spoken::{self, library, pid, time};
use super::words::Words;
use crate::proto::{
    Direction as Way, Endpoint, Event, HttpBody, HttpCoding, HttpField, HttpMessage,
    ServerSentEvent, event::Content as Kind, http_message,
};
use event::{
    BodyCoding, BodyPart, Completeness, ConnId, Connection, Content, Data, Direction, Field, Hole,
    HoleCause, HttpVersion, Record, RequestLine, Start, StatusLine, Timestamp, Unparsed,
    WebSocketMessageKind,
};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

const VERSIONS: [HttpVersion; 3] = [HttpVersion::Http10, HttpVersion::Http11, HttpVersion::Http2];
const CAUSES: [HoleCause; 3] = [HoleCause::Lost, HoleCause::Unreadable, HoleCause::Sendfile];
const OPCODES: [WebSocketMessageKind; 5] = [
    WebSocketMessageKind::Text,
    WebSocketMessageKind::Binary,
    WebSocketMessageKind::Close,
    WebSocketMessageKind::Ping,
    WebSocketMessageKind::Pong,
];

/// Shows what an event is, or says why it is nothing.
pub(super) fn with(
    event: &Event,
    words: &mut Words,
    show: impl FnOnce(Recorded<'_>),
) -> Result<(), &'static str> {
    match &event.content {
        Some(Kind::Command(command)) => {
            show(Recorded::Command(&spoken::recorded_command(event, command, words)?));
            return Ok(());
        }
        Some(Kind::Query(query)) => {
            show(Recorded::Query(&spoken::recorded_query(event, query, words)?));
            return Ok(());
        }
        _ => {}
    }
    let dir = match event.direction() {
        Way::Send => Direction::Send,
        Way::Recv => Direction::Recv,
        Way::Unknown => return Err("its direction is unknown"),
    };
    let conn = connection(event)?;
    let ts = conn.ts;
    let kind = event.content.as_ref().ok_or("its kind is unknown")?;
    // Outlive the record.
    let (headers, trailers) = match kind {
        Kind::Http(http) => (fields(&http.headers), fields(&http.trailers)),
        Kind::HttpBody(part) => (Vec::new(), fields(&part.trailers)),
        _ => Default::default(),
    };
    let content = match kind {
        Kind::Data(data) => Content::Data(Data {
            offset: data.offset,
            bytes: &event.payload,
            unparsed: data
                .unparsed
                .as_deref()
                .map(|why| unparsed(why, data.detail.as_deref(), words)),
        }),
        Kind::Http(http) => Content::Http(message(http, event, &headers, &trailers, words)?),
        Kind::HttpBody(part) => Content::BodyPart(body_part(part, event, &trailers, words)),
        Kind::Websocket(message) => Content::WebSocket(event::WebSocketMessage {
            kind: *OPCODES
                .iter()
                .find(|kind| kind.as_str() == message.opcode)
                .ok_or("its opcode is unknown")?,
            payload: &event.payload,
            last: message.last,
            note: message.note.as_deref().map(|note| words.keep(note)),
        }),
        Kind::Sse(sse) => Content::ServerSentEvent(server_sent(sse, event)),
        Kind::Command(_) | Kind::Query(_) => return Err("it has no direction"),
        Kind::Hole(hole) => Content::Hole(Hole {
            conn: conn.id,
            ts,
            tid: event.tid,
            dir,
            offset: hole.offset,
            len: event.data_length,
            cause: *CAUSES
                .iter()
                .find(|cause| cause.as_str() == hole.cause)
                .ok_or("its cause is unknown")?,
        }),
    };
    show(Recorded::Record(&Record { ts, conn: &conn, tid: event.tid, dir, content }));
    Ok(())
}

fn connection(event: &Event) -> Result<Connection, &'static str> {
    Ok(Connection {
        id: ConnId(event.connection),
        ts: time(event)?,
        pid: pid(event)?,
        uid: event.uid,
        comm: event.pname.as_str().into(),
        exe: event.exe.as_deref().map(Into::into),
        library: library(event),
        local: event.local.as_ref().map(address).transpose()?,
        remote: event.remote.as_ref().map(address).transpose()?,
    })
}

fn address(endpoint: &Endpoint) -> Result<SocketAddr, &'static str> {
    let ip = endpoint.ip.parse().map_err(|_| "an address is none")?;
    let port = u16::try_from(endpoint.port).map_err(|_| "a port is out of range")?;
    Ok(SocketAddr::new(ip, port))
}

fn unparsed(why: &str, detail: Option<&str>, words: &mut Words) -> Unparsed {
    let detail = detail.map_or("", |detail| words.keep(detail));
    match why {
        "malformed" => Unparsed::Malformed(detail),
        "incomplete" => Unparsed::Incomplete(detail),
        _ => Unparsed::UnknownProtocol,
    }
}

fn message<'a>(
    http: &'a HttpMessage,
    event: &'a Event,
    headers: &'a [Field<'a>],
    trailers: &'a [Field<'a>],
    words: &mut Words,
) -> Result<event::HttpMessage<'a>, &'static str> {
    let version = VERSIONS.iter().find(|version| version.as_str() == http.version);
    let start = match http.start.as_ref().ok_or("it is neither request nor response")? {
        http_message::Start::Request(line) => Start::Request(RequestLine {
            method: Cow::Borrowed(&line.method),
            target: Cow::Borrowed(&line.path),
            authority: line.authority.as_deref().map(Cow::Borrowed),
        }),
        http_message::Start::Response(line) => Start::Response(StatusLine {
            status: u16::try_from(line.status).map_err(|_| "its status is out of range")?,
            reason: Cow::Borrowed(&line.reason),
            answers: line
                .request
                .as_ref()
                .map(|request| (Cow::Borrowed(&*request.method), Cow::Borrowed(&*request.path))),
            latency: line.latency_ns.map(Duration::from_nanos),
        }),
    };
    let body = usize::try_from(http.body_offset).ok().and_then(|at| event.payload.get(at..));
    Ok(event::HttpMessage {
        version: *version.ok_or("its HTTP version is unknown")?,
        stream: http.stream,
        exchange: http.exchange,
        start,
        headers,
        trailers,
        body: body.ok_or("its body begins beyond its end")?.into(),
        coding: coding(http.coding.as_ref(), words),
        encoded_len: http.encoded_len,
        ended: Timestamp(http.ended_ns),
        completeness: match &http.truncated {
            Some(why) => Completeness::Truncated(words.keep(why)),
            None if http.body_follows => Completeness::BodyFollows,
            None => Completeness::Whole,
        },
    })
}

fn body_part<'a>(
    part: &'a HttpBody,
    event: &'a Event,
    trailers: &'a [Field<'a>],
    words: &mut Words,
) -> BodyPart<'a> {
    BodyPart {
        exchange: part.exchange,
        stream: part.stream,
        of_request: part.of_request,
        offset: part.offset,
        bytes: &event.payload,
        last: part.last,
        trailers,
        coding: coding(part.coding.as_ref(), words),
        truncated: part.truncated.as_deref().map(|why| words.keep(why)),
    }
}

fn server_sent<'a>(sse: &'a ServerSentEvent, event: &'a Event) -> event::ServerSentEvent<'a> {
    event::ServerSentEvent {
        exchange: sse.exchange,
        stream: sse.stream,
        raw: &event.payload,
        event: sse.event.as_deref(),
        id: sse.id.as_deref(),
        data: &sse.data,
    }
}

fn fields(fields: &[HttpField]) -> Vec<Field<'_>> {
    let mut borrowed = Vec::with_capacity(fields.len());
    for HttpField { name, value } in fields {
        borrowed.push(Field { name: Cow::Borrowed(name), value: Cow::Borrowed(value) });
    }
    borrowed
}

fn coding(coding: Option<&HttpCoding>, words: &mut Words) -> BodyCoding {
    match coding {
        None => BodyCoding::Identity,
        Some(coding) if coding.decoded => BodyCoding::Decoded(coding.codings.clone()),
        Some(coding) => BodyCoding::Encoded(coding.codings.clone(), words.keep(&coding.why)),
    }
}
