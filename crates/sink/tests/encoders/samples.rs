//! Records of every kind and variation, hostile ones among them.

use event::{
    BodyCoding, BodyPart, Completeness, ConnId, Connection, Content, Data, Direction, Field, Hole,
    HoleCause, HttpMessage, HttpVersion, Library, Record, RequestLine, ServerSentEvent, Start,
    StatusLine, Timestamp, Unparsed, WebSocketMessage, WebSocketMessageKind,
};
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub(crate) const TS: Timestamp = Timestamp(1_795_305_908_123_456_789);

pub(crate) static CURL: LazyLock<Connection> = LazyLock::new(|| Connection {
    id: ConnId(7),
    ts: TS,
    pid: 22567,
    uid: 1000,
    comm: "curl".into(),
    exe: Some("/usr/bin/curl".into()),
    library: library("/usr/lib/x86_64-linux-gnu/libssl.so.3"),
    local: Some(([10, 0, 0, 5], 51282).into()),
    remote: Some(([104, 18, 26, 120], 443).into()),
});

static SERVER_V6: LazyLock<Connection> = LazyLock::new(|| Connection {
    id: ConnId(8),
    uid: 0,
    comm: "nginx".into(),
    exe: Some("/usr/sbin/nginx".into()),
    local: Some("[2001:db8::1]:443".parse().unwrap()),
    remote: Some("[2001:db8::2]:40000".parse().unwrap()),
    ..CURL.clone()
});

static HOSTILE: LazyLock<Connection> = LazyLock::new(|| Connection {
    id: ConnId(9),
    comm: "x\n\u{1b}[2J\u{202e}".into(),
    exe: None,
    library: library("/tmp/a, Kind:data\u{9b}\"\\/libssl.so"),
    local: None,
    remote: None,
    ..CURL.clone()
});

fn library(path: &str) -> Arc<Library> {
    Arc::new(Library { path: path.to_owned(), build_id: None })
}

fn record(conn: &'static Connection, dir: Direction, content: Content<'static>) -> Record<'static> {
    Record { ts: TS, conn, tid: conn.pid + 1, dir, content }
}

fn fields(fields: &[(&'static str, &'static [u8])]) -> &'static [Field<'static>] {
    let field = |(name, value): &(&'static str, &'static [u8])| Field {
        name: Cow::Borrowed(name.as_bytes()),
        value: Cow::Borrowed(*value),
    };
    fields.iter().map(field).collect::<Vec<_>>().leak()
}

fn request(target: &'static [u8]) -> HttpMessage<'static> {
    HttpMessage {
        version: HttpVersion::Http11,
        stream: None,
        exchange: 1,
        start: Start::Request(RequestLine {
            method: Cow::Borrowed(b"GET"),
            target: Cow::Borrowed(target),
            authority: Some(Cow::Borrowed(b"example.com")),
        }),
        headers: fields(&[("Host", b"example.com"), ("Accept", b"*/*")]),
        trailers: &[],
        body: b"".into(),
        coding: BodyCoding::Identity,
        encoded_len: 0,
        ended: TS,
        completeness: Completeness::Whole,
    }
}

pub(crate) fn response(body: &'static [u8]) -> HttpMessage<'static> {
    HttpMessage {
        start: Start::Response(StatusLine {
            status: 200,
            reason: Cow::Borrowed(b"OK"),
            answers: Some((Cow::Borrowed(b"GET"), Cow::Borrowed(b"/a?b=c"))),
            latency: Some(Duration::from_nanos(12_345_678)),
        }),
        headers: fields(&[("Content-Type", b"text/plain"), ("Server", b"demo")]),
        body: body.into(),
        encoded_len: body.len() as u64,
        ..request(b"")
    }
}

fn on_stream(version: HttpVersion, message: HttpMessage<'static>) -> HttpMessage<'static> {
    HttpMessage { version, stream: Some(3), exchange: 2, ..message }
}

fn part(bytes: &'static [u8]) -> BodyPart<'static> {
    BodyPart {
        exchange: 1,
        stream: None,
        of_request: false,
        offset: 0,
        bytes,
        last: false,
        trailers: &[],
        coding: BodyCoding::Identity,
        truncated: None,
    }
}

fn data(bytes: &'static [u8], unparsed: Option<Unparsed>) -> Content<'static> {
    Content::Data(Data { offset: 16384, bytes, unparsed })
}

fn websocket(kind: WebSocketMessageKind, payload: &'static [u8]) -> WebSocketMessage<'static> {
    WebSocketMessage { kind, payload, last: true, note: None }
}

fn event(raw: &'static [u8], data: &'static [u8]) -> ServerSentEvent<'static> {
    ServerSentEvent { exchange: 1, stream: None, raw, event: None, id: None, data }
}

fn hole(cause: HoleCause) -> Content<'static> {
    Content::Hole(Hole {
        conn: ConnId(7),
        ts: TS,
        tid: 0,
        dir: Direction::Recv,
        offset: 16384,
        len: 4096,
        cause,
    })
}

/// The records whose lines stand in `docs/events.md`, by kind.
pub(crate) fn documented() -> Vec<(&'static str, Record<'static>)> {
    use Direction::{Recv, Send};
    vec![
        (
            "data",
            record(&CURL, Send, data(b"EHLO example.com\r\n", Some(Unparsed::UnknownProtocol))),
        ),
        ("http_request", record(&CURL, Send, Content::Http(request(b"/a?b=c")))),
        ("http_response", record(&CURL, Recv, Content::Http(response(b"hello\n")))),
        ("http_body", record(&CURL, Recv, Content::BodyPart(part(b"chunk of a download")))),
        (
            "websocket",
            record(
                &CURL,
                Recv,
                Content::WebSocket(websocket(WebSocketMessageKind::Text, b"{\"price\":42}")),
            ),
        ),
        (
            "sse",
            record(
                &CURL,
                Recv,
                Content::ServerSentEvent(ServerSentEvent {
                    event: Some(b"tick"),
                    id: Some(b"5"),
                    ..event(b"event: tick\nid: 5\ndata: one\ndata: two", b"one\ntwo")
                }),
            ),
        ),
        ("hole", record(&CURL, Recv, hole(HoleCause::Lost))),
    ]
}

/// Everything else that an encoder must write right.
pub(crate) fn variations() -> Vec<(&'static str, Record<'static>)> {
    [data_and_holes(), http_messages(), streams()].into_iter().flatten().collect()
}

fn data_and_holes() -> Vec<(&'static str, Record<'static>)> {
    use Direction::{Recv, Send};
    vec![
        ("data_not_tried", record(&CURL, Send, data(b"raw", None))),
        ("data_empty", record(&CURL, Send, data(b"", None))),
        (
            "data_binary",
            record(&CURL, Recv, data(b"\x00\x01\x02\xfe\xff binary, more than a row", None)),
        ),
        (
            "data_malformed",
            record(
                &SERVER_V6,
                Recv,
                data(b"GET / HTTP/9\r\n", Some(Unparsed::Malformed("version"))),
            ),
        ),
        (
            "data_incomplete",
            record(&SERVER_V6, Recv, data(b"...", Some(Unparsed::Incomplete("attached late")))),
        ),
        (
            "data_hostile",
            record(
                &HOSTILE,
                Recv,
                data(
                    "\u{1b}]0;owned\u{7}\r\n\u{9b}31m\u{202e}evil\u{200b}\tend\r".as_bytes(),
                    None,
                ),
            ),
        ),
        ("data_split_character", record(&CURL, Recv, data(b"caf\xc3", None))),
        ("hole_unreadable", record(&CURL, Recv, hole(HoleCause::Unreadable))),
        ("hole_sendfile", record(&CURL, Send, hole(HoleCause::Sendfile))),
    ]
}

fn http_messages() -> Vec<(&'static str, Record<'static>)> {
    use Direction::{Recv, Send};
    let http = |conn, dir, message| record(conn, dir, Content::Http(message));
    let long_path: &'static [u8] = format!("/{}", "long".repeat(100)).leak().as_bytes();
    vec![
        (
            "request_http2_with_body_and_trailers",
            http(
                &SERVER_V6,
                Recv,
                HttpMessage {
                    body: "{\"name\":\"Zoë\"}".as_bytes().into(),
                    encoded_len: 15,
                    trailers: fields(&[("x-checksum", b"abc")]),
                    ..on_stream(HttpVersion::Http2, request(b"/submit"))
                },
            ),
        ),
        (
            "response_http2_decoded",
            http(
                &SERVER_V6,
                Send,
                HttpMessage {
                    coding: BodyCoding::Decoded("gzip, br".to_owned()),
                    encoded_len: 11,
                    start: Start::Response(StatusLine {
                        status: 404,
                        reason: Cow::Borrowed(b""),
                        answers: Some((Cow::Borrowed(b"GET"), Cow::Borrowed(long_path))),
                        latency: Some(Duration::from_micros(870)),
                    }),
                    ..on_stream(HttpVersion::Http2, response(b"not found"))
                },
            ),
        ),
        (
            "response_left_encoded",
            http(
                &CURL,
                Recv,
                HttpMessage {
                    coding: BodyCoding::Encoded("zstd".to_owned(), "the data is damaged"),
                    ..response(b"\x28\xb5\x2f\xfd\x00\x00")
                },
            ),
        ),
        (
            "response_unpaired_body_follows",
            http(
                &CURL,
                Recv,
                HttpMessage {
                    version: HttpVersion::Http10,
                    start: Start::Response(StatusLine {
                        status: 200,
                        reason: Cow::Borrowed(b"OK"),
                        answers: None,
                        latency: None,
                    }),
                    completeness: Completeness::BodyFollows,
                    ..response(b"")
                },
            ),
        ),
        (
            "response_truncated",
            http(
                &CURL,
                Recv,
                HttpMessage {
                    completeness: Completeness::Truncated("the connection was closed"),
                    ..response(b"half of the bo")
                },
            ),
        ),
        (
            "request_hostile",
            http(
                &HOSTILE,
                Send,
                HttpMessage {
                    start: Start::Request(RequestLine {
                        method: Cow::Borrowed(b"GET\x1b"),
                        target: Cow::Borrowed(b"/\xff\n2026-01-01 PID:1, Comm:root"),
                        authority: None,
                    }),
                    headers: fields(&[
                        ("X-Latin", b"caf\xe9"),
                        ("X-Escape", b"\x1b[31m\"quoted\\\"\r\nX-Forged: 1\ttab"),
                        ("X-Empty", b""),
                    ]),
                    ..request(b"")
                },
            ),
        ),
    ]
}

fn streams() -> Vec<(&'static str, Record<'static>)> {
    use Direction::{Recv, Send};
    vec![
        (
            "body_last_of_request",
            record(
                &SERVER_V6,
                Recv,
                Content::BodyPart(BodyPart {
                    stream: Some(5),
                    of_request: true,
                    offset: 65536,
                    last: true,
                    trailers: fields(&[("grpc-status", b"0")]),
                    coding: BodyCoding::Decoded("gzip".to_owned()),
                    ..part(b"\x00\x00\x00\x00\x05hello")
                }),
            ),
        ),
        (
            "body_truncated",
            record(
                &CURL,
                Recv,
                Content::BodyPart(BodyPart {
                    last: true,
                    truncated: Some("bytes were lost"),
                    ..part(b"")
                }),
            ),
        ),
        (
            "websocket_binary_fragment",
            record(
                &CURL,
                Send,
                Content::WebSocket(WebSocketMessage {
                    last: false,
                    note: Some("still compressed"),
                    ..websocket(WebSocketMessageKind::Binary, b"\x82\x83\x00")
                }),
            ),
        ),
        (
            "websocket_ping",
            record(&CURL, Send, Content::WebSocket(websocket(WebSocketMessageKind::Ping, b""))),
        ),
        (
            "websocket_close",
            record(
                &CURL,
                Recv,
                Content::WebSocket(websocket(WebSocketMessageKind::Close, b"\x03\xe8bye")),
            ),
        ),
        (
            "websocket_close_without_code",
            record(&CURL, Recv, Content::WebSocket(websocket(WebSocketMessageKind::Close, b""))),
        ),
        (
            "sse_without_names",
            record(
                &CURL,
                Recv,
                Content::ServerSentEvent(ServerSentEvent {
                    stream: Some(9),
                    ..event(b": comment\ndata: \xff", b"\xff")
                }),
            ),
        ),
    ]
}

pub(crate) fn all() -> Vec<(&'static str, Record<'static>)> {
    documented().into_iter().chain(variations()).collect()
}
