//! Whatever was captured, the line is valid and holds it byte for byte.

use crate::samples::TS;
use crate::schema;
use data_encoding::BASE64;
use event::{
    BodyCoding, BodyPart, Completeness, ConnId, Connection, Content, Data, Direction, Field, Hole,
    HoleCause, HttpMessage, HttpVersion, Library, Record, RequestLine, ServerSentEvent, Start,
    StatusLine, Timestamp, Unparsed, WebSocketMessage, WebSocketMessageKind,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;
use sink::{Encoder as _, JsonEncoder, JsonOptions};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes as they are captured: text, text with something in it that hurts, or anything.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~\r\n\t]{0,80}".prop_map(String::into_bytes),
        any::<String>().prop_map(String::into_bytes),
        (any::<String>(), any::<u8>()).prop_map(|(text, byte)| [text.as_bytes(), &[byte]].concat()),
        vec(any::<u8>(), 0..100),
    ]
}

fn connection() -> impl Strategy<Value = Connection> {
    let names = (any::<String>(), option::of(any::<String>()), any::<String>());
    let numbers = (any::<u64>(), any::<u32>(), any::<u32>());
    let sockets = option::of(any::<(SocketAddr, SocketAddr)>());
    (names, numbers, sockets).prop_map(|((comm, exe, path), (id, pid, uid), sockets)| Connection {
        id: ConnId(id),
        ts: Timestamp(0),
        pid,
        uid,
        comm: comm.into(),
        exe: exe.map(Arc::from),
        library: Arc::new(Library { path, build_id: None }),
        local: sockets.map(|(local, _)| local),
        remote: sockets.map(|(_, remote)| remote),
    })
}

fn coding() -> impl Strategy<Value = BodyCoding> {
    prop_oneof![
        Just(BodyCoding::Identity),
        any::<String>().prop_map(BodyCoding::Decoded),
        any::<String>().prop_map(|codings| BodyCoding::Encoded(codings, "too large")),
    ]
}

fn completeness() -> impl Strategy<Value = Completeness> {
    prop_oneof![
        Just(Completeness::Whole),
        Just(Completeness::BodyFollows),
        Just(Completeness::Truncated("cut \"off\"")),
    ]
}

fn fields() -> impl Strategy<Value = Vec<Field<'static>>> {
    let field = (bytes(), bytes())
        .prop_map(|(name, value)| Field { name: Cow::Owned(name), value: Cow::Owned(value) });
    vec(field, 0..4)
}

fn start() -> impl Strategy<Value = Start<'static>> {
    let request =
        (bytes(), bytes(), option::of(bytes())).prop_map(|(method, target, authority)| {
            Start::Request(RequestLine {
                method: method.into(),
                target: target.into(),
                authority: authority.map(Cow::Owned),
            })
        });
    let answers = option::of((bytes(), bytes()));
    let response = (any::<u16>(), bytes(), answers, option::of(any::<u64>())).prop_map(
        |(status, reason, answers, nanos)| {
            Start::Response(StatusLine {
                status,
                reason: reason.into(),
                answers: answers.map(|(method, target)| (method.into(), target.into())),
                latency: nanos.map(Duration::from_nanos),
            })
        },
    );
    prop_oneof![request, response]
}

/// Encodes, checks with the schema, parses, and compares what every kind has.
fn written(conn: &Connection, content: Content<'_>) -> Value {
    let dir = if conn.pid.is_multiple_of(2) { Direction::Send } else { Direction::Recv };
    let record = Record { ts: Timestamp(conn.id.0), conn, tid: conn.uid, dir, content };
    let mut out = Vec::new();
    JsonEncoder::new(JsonOptions { tsize: None, escape: conn.uid.is_multiple_of(2) })
        .encode(&record, &mut out);
    assert_eq!(out.iter().position(|byte| *byte == b'\n'), Some(out.len() - 1));
    let line: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(schema::objection(&line), None, "{line}");
    assert_eq!(line["pid"], conn.pid);
    assert_eq!(line["tid"], conn.uid);
    assert_eq!(line["conn"], conn.id.0);
    assert_eq!(line["comm"], *conn.comm);
    assert_eq!(line["exe"].as_str(), conn.exe.as_deref());
    assert_eq!(line["lib"], conn.library.path);
    assert_eq!(address(&line["local"]), conn.local.map(|local| (local.ip(), local.port())));
    assert_eq!(address(&line["remote"]), conn.remote.map(|remote| (remote.ip(), remote.port())));
    line
}

fn address(value: &Value) -> Option<(std::net::IpAddr, u16)> {
    let ip = value.get("ip")?.as_str()?.parse().unwrap();
    Some((ip, u16::try_from(value["port"].as_u64()?).unwrap()))
}

/// The exact bytes of a field: from its base64 form if there is one.
fn exact(object: &Value, name: &str) -> Option<Vec<u8>> {
    match object.get(format!("{name}_b64")) {
        Some(base64) => Some(BASE64.decode(base64.as_str()?.as_bytes()).unwrap()),
        None => Some(object.get(name)?.as_str()?.as_bytes().to_vec()),
    }
}

fn exact_fields(fields: &Value) -> Vec<(Vec<u8>, Vec<u8>)> {
    let fields = fields.as_array().map(Vec::as_slice).unwrap_or_default();
    fields
        .iter()
        .map(|field| (exact(field, "name").unwrap(), exact(field, "value").unwrap()))
        .collect()
}

fn plain(fields: &[Field<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

fn borrowed(coding: &BodyCoding) -> Option<(&str, bool)> {
    match coding {
        BodyCoding::Identity => None,
        BodyCoding::Decoded(codings) => Some((codings, true)),
        BodyCoding::Encoded(codings, _) => Some((codings, false)),
    }
}

fn coding_of(line: &Value) -> Option<(&str, bool)> {
    let encoding = line.get("encoding")?;
    Some((encoding["codings"].as_str()?, encoding["decoded"].as_bool()?))
}

proptest! {
    #[test]
    fn data_comes_back(conn in connection(), bytes in bytes(), offset: u64, why in 0..4) {
        let unparsed = [
            None,
            Some(Unparsed::UnknownProtocol),
            Some(Unparsed::Malformed("a \"rule\"")),
            Some(Unparsed::Incomplete("begun before")),
        ][why as usize];
        let line = written(&conn, Content::Data(Data { offset, bytes: &bytes, unparsed }));
        prop_assert_eq!(&line["offset"], offset);
        prop_assert_eq!(&line["len"], bytes.len());
        prop_assert_eq!(exact(&line, "data").unwrap(), bytes);
        prop_assert_eq!(line.get("unparsed").is_some(), unparsed.is_some());
    }

    #[test]
    fn http_messages_come_back(
        conn in connection(),
        start in start(),
        (headers, trailers) in (fields(), fields()),
        body in bytes(),
        coding in coding(),
        completeness in completeness(),
        (stream, exchange) in any::<(Option<u32>, u64)>(),
    ) {
        let line = written(&conn, Content::Http(HttpMessage {
            version: HttpVersion::Http2,
            stream,
            exchange,
            start: start.clone(),
            headers: &headers,
            trailers: &trailers,
            body: body.as_slice().into(),
            coding: coding.clone(),
            encoded_len: 5,
            ended: TS,
            completeness,
        }));
        match &start {
            Start::Request(start) => {
                prop_assert_eq!(&line["kind"], "http_request");
                prop_assert_eq!(exact(&line, "method").unwrap(), start.method.to_vec());
                prop_assert_eq!(exact(&line, "path").unwrap(), start.target.to_vec());
                prop_assert_eq!(exact(&line, "authority"), start.authority.as_ref().map(|a| a.to_vec()));
            }
            Start::Response(start) => {
                prop_assert_eq!(&line["kind"], "http_response");
                prop_assert_eq!(&line["status"], start.status);
                prop_assert_eq!(exact(&line, "reason").unwrap(), start.reason.to_vec());
                let request = &line["request"];
                let answers = exact(request, "method").zip(exact(request, "path"));
                let expected = start.answers.as_ref().map(|(m, t)| (m.to_vec(), t.to_vec()));
                prop_assert_eq!(answers, expected);
                let latency = line["latency_ns"].as_u64().map(Duration::from_nanos);
                prop_assert_eq!(latency, start.latency);
            }
        }
        prop_assert_eq!(exact_fields(&line["headers"]), plain(&headers));
        prop_assert_eq!(exact_fields(&line["trailers"]), plain(&trailers));
        prop_assert_eq!(exact(&line, "body").unwrap(), body);
        prop_assert_eq!(coding_of(&line), borrowed(&coding));
        prop_assert_eq!(&line["complete"], completeness == Completeness::Whole);
        prop_assert_eq!(line["stream"].as_u64(), stream.map(u64::from));
    }

    #[test]
    fn body_parts_come_back(
        conn in connection(),
        bytes in bytes(),
        trailers in fields(),
        coding in coding(),
        (of_request, last, stream, exchange, offset) in any::<(bool, bool, Option<u32>, u64, u64)>(),
    ) {
        let truncated = last.then_some("closed");
        let line = written(&conn, Content::BodyPart(BodyPart {
            exchange, stream, of_request, offset, bytes: &bytes, last, trailers: &trailers,
            coding: coding.clone(), truncated,
        }));
        prop_assert_eq!(exact(&line, "data").unwrap(), bytes);
        prop_assert_eq!(&line["of"], if of_request { "request" } else { "response" });
        prop_assert_eq!(&line["last"], last);
        prop_assert_eq!(line.get("truncated").and_then(Value::as_str), truncated);
        prop_assert_eq!(exact_fields(&line["trailers"]), plain(&trailers));
        prop_assert_eq!(coding_of(&line), borrowed(&coding));
    }

    #[test]
    fn websocket_messages_come_back(conn in connection(), payload in bytes(), last: bool, kind in 0..5) {
        use WebSocketMessageKind::{Binary, Close, Ping, Pong, Text};
        let kind = [Text, Binary, Close, Ping, Pong][kind as usize];
        let note = last.then_some("still compressed");
        let message = WebSocketMessage { kind, payload: &payload, last, note };
        let line = written(&conn, Content::WebSocket(message));
        prop_assert_eq!(&line["opcode"], kind.as_str());
        prop_assert_eq!(line.get("code").is_some(), kind == Close && payload.len() >= 2);
        prop_assert_eq!(exact(&line, "data").unwrap(), payload);
    }

    #[test]
    fn server_sent_events_come_back(
        conn in connection(),
        (raw, data) in (bytes(), bytes()),
        (event, id) in (option::of(bytes()), option::of(bytes())),
    ) {
        let content = Content::ServerSentEvent(ServerSentEvent {
            exchange: 1, stream: None, raw: &raw, event: event.as_deref(), id: id.as_deref(), data: &data,
        });
        let line = written(&conn, content);
        prop_assert_eq!(exact(&line, "raw").unwrap(), raw);
        prop_assert_eq!(exact(&line, "data").unwrap(), data);
        prop_assert_eq!(exact(&line, "event"), event);
        prop_assert_eq!(exact(&line, "id"), id);
    }

    #[test]
    fn holes_come_back(conn in connection(), offset: u64, len: u64, cause in 0..3) {
        let cause = [HoleCause::Lost, HoleCause::Unreadable, HoleCause::Sendfile][cause as usize];
        let line = written(&conn, Content::Hole(Hole {
            conn: conn.id, ts: Timestamp(0), tid: 0, dir: Direction::Send, offset, len, cause,
        }));
        prop_assert_eq!(&line["offset"], offset);
        prop_assert_eq!(&line["len"], len);
        prop_assert_eq!(&line["cause"], cause.as_str());
    }

    #[test]
    fn a_cut_payload_is_the_beginning_of_the_whole(conn in connection(), bytes in bytes(), limit in 0..100_usize) {
        let content = Content::Data(Data { offset: 0, bytes: &bytes, unparsed: None });
        let record = Record { ts: Timestamp(0), conn: &conn, tid: 1, dir: Direction::Send, content };
        let mut out = Vec::new();
        JsonEncoder::new(JsonOptions { tsize: Some(limit), escape: false }).encode(&record, &mut out);
        let line: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(schema::objection(&line), None);
        let shown = exact(&line, "data").unwrap();
        prop_assert!(bytes.starts_with(&shown));
        // A character that the cut goes through is left out.
        prop_assert!(shown.len() + 3 >= limit.min(bytes.len()) && shown.len() <= limit);
        prop_assert_eq!(line.get("cut").is_some(), limit < bytes.len());
        prop_assert_eq!(&line["len"], bytes.len());
    }
}
