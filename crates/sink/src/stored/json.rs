//! From a JSON line (`docs/events.md`) to the message `Event`, which has the same content.

use super::spoken;
use crate::proto::{
    Data, Direction, Endpoint, Event, Hole, HttpBody, HttpCoding, HttpField, HttpMessage,
    HttpRequest, HttpResponse, ServerSentEvent, WebSocketMessage, event::Content as Kind,
    http_message,
};
use chrono::DateTime;
use data_encoding::BASE64;
use serde_json::{Map, Value};

pub(super) type Object = Map<String, Value>;

/// The event of a line; `None` if the line is of the tool's own log.
pub(super) fn event(line: &[u8]) -> Result<Option<Event>, &'static str> {
    let line: Object = serde_json::from_slice(line).map_err(|_| "it is no JSON object")?;
    if line.contains_key("level") && !line.contains_key("kind") {
        return Ok(None);
    }
    let kind = text(&line, "kind")?;
    let ts = DateTime::parse_from_rfc3339(text(&line, "ts")?).map_err(|_| "ts is no time")?;
    let timestamp = ts.timestamp_nanos_opt().ok_or("ts is out of range")?;
    let whose = Event {
        timestamp,
        pid: small(&line, "pid")?.into(),
        pname: text(&line, "comm")?.to_owned(),
        tid: small(&line, "tid")?,
        uid: small(&line, "uid")?,
        exe: maybe_text(&line, "exe"),
        data_length: number(&line, "len")?,
        cut: truth(&line, "cut"),
        ..Event::default()
    };
    match kind {
        "command" => return spoken::command(&line, whose).map(Some),
        "query" => return spoken::query(&line, whose).map(Some),
        _ => {}
    }
    let (payload, content) = content(&line, kind, timestamp)?;
    Ok(Some(Event {
        payload,
        direction: match text(&line, "dir")? {
            "send" => Direction::Send,
            "recv" => Direction::Recv,
            _ => return Err("dir is neither send nor recv"),
        }
        .into(),
        connection: number(&line, "conn")?,
        local: endpoint(&line, "local")?,
        remote: endpoint(&line, "remote")?,
        library: text(&line, "lib")?.to_owned(),
        content: Some(content),
        ..whose
    }))
}

fn content(line: &Object, kind: &str, ts: i64) -> Result<(Vec<u8>, Kind), &'static str> {
    Ok(match kind {
        "data" => {
            let data = Data {
                offset: number(line, "offset")?,
                unparsed: maybe_text(line, "unparsed"),
                detail: maybe_text(line, "detail"),
            };
            (bytes(line, "data")?, Kind::Data(data))
        }
        "http_request" | "http_response" => {
            (bytes(line, "body")?, Kind::Http(message(line, kind, ts)?))
        }
        "http_body" => {
            let part = HttpBody {
                exchange: number(line, "exchange")?,
                stream: stream(line)?,
                of_request: text(line, "of")? == "request",
                offset: number(line, "offset")?,
                last: truth(line, "last"),
                trailers: fields(line, "trailers")?,
                coding: coding(line)?,
                truncated: maybe_text(line, "truncated"),
            };
            (bytes(line, "data")?, Kind::HttpBody(part))
        }
        "websocket" => {
            let message = WebSocketMessage {
                opcode: text(line, "opcode")?.to_owned(),
                last: truth(line, "last"),
                note: maybe_text(line, "note"),
            };
            (bytes(line, "data")?, Kind::Websocket(message))
        }
        "sse" => {
            let event = ServerSentEvent {
                exchange: number(line, "exchange")?,
                stream: stream(line)?,
                event: maybe_bytes(line, "event")?,
                id: maybe_bytes(line, "id")?,
                data: bytes(line, "data")?,
            };
            (bytes(line, "raw")?, Kind::Sse(event))
        }
        "hole" => {
            let cause = text(line, "cause")?.to_owned();
            (Vec::new(), Kind::Hole(Hole { offset: number(line, "offset")?, cause }))
        }
        _ => return Err("its kind is unknown"),
    })
}

fn message(line: &Object, kind: &str, ts: i64) -> Result<HttpMessage, &'static str> {
    let start = if kind == "http_request" {
        http_message::Start::Request(request(line)?)
    } else {
        http_message::Start::Response(HttpResponse {
            status: small(line, "status")?,
            reason: bytes(line, "reason")?,
            request: match line.get("request") {
                Some(Value::Object(of)) => Some(request(of)?),
                _ => None,
            },
            latency_ns: line.get("latency_ns").and_then(Value::as_u64),
        })
    };
    Ok(HttpMessage {
        version: text(line, "version")?.to_owned(),
        exchange: number(line, "exchange")?,
        stream: stream(line)?,
        start: Some(start),
        headers: fields(line, "headers")?,
        trailers: fields(line, "trailers")?,
        // The payload is the body alone.
        body_offset: 0,
        coding: coding(line)?,
        encoded_len: number(line, "encoded_len")?,
        ended_ns: ended(line, ts),
        complete: truth(line, "complete"),
        body_follows: truth(line, "body_follows"),
        truncated: maybe_text(line, "truncated"),
    })
}

/// Lines of versions that did not write how long it took say no better than that it was at once.
fn ended(line: &Object, began: i64) -> u64 {
    let took = line.get("duration_ns").and_then(Value::as_u64).unwrap_or(0);
    u64::try_from(began).unwrap_or(0).saturating_add(took)
}

fn request(of: &Object) -> Result<HttpRequest, &'static str> {
    Ok(HttpRequest {
        method: bytes(of, "method")?,
        path: bytes(of, "path")?,
        authority: maybe_bytes(of, "authority")?,
    })
}

pub(super) fn text<'a>(object: &'a Object, name: &str) -> Result<&'a str, &'static str> {
    object.get(name).and_then(Value::as_str).ok_or("a field is missing or no text")
}

pub(super) fn maybe_text(object: &Object, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

pub(super) fn number(object: &Object, name: &str) -> Result<u64, &'static str> {
    object.get(name).and_then(Value::as_u64).ok_or("a field is missing or no number")
}

pub(super) fn small(object: &Object, name: &str) -> Result<u32, &'static str> {
    u32::try_from(number(object, name)?).map_err(|_| "a number is out of range")
}

fn stream(object: &Object) -> Result<Option<u32>, &'static str> {
    object.contains_key("stream").then(|| small(object, "stream")).transpose()
}

fn truth(object: &Object, name: &str) -> bool {
    object.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// Bytes: in base64 in the field that ends so, if there is one.
pub(super) fn maybe_bytes(object: &Object, name: &str) -> Result<Option<Vec<u8>>, &'static str> {
    if let Some(encoded) = object.get(&format!("{name}_b64")) {
        let encoded = encoded.as_str().ok_or("a field is missing or no text")?;
        let decoded = BASE64.decode(encoded.as_bytes()).map_err(|_| "a field is no base64")?;
        return Ok(Some(decoded));
    }
    Ok(maybe_text(object, name).map(String::into_bytes))
}

pub(super) fn bytes(object: &Object, name: &str) -> Result<Vec<u8>, &'static str> {
    maybe_bytes(object, name)?.ok_or("a field is missing or no text")
}

fn endpoint(object: &Object, name: &str) -> Result<Option<Endpoint>, &'static str> {
    let Some(Value::Object(of)) = object.get(name) else { return Ok(None) };
    Ok(Some(Endpoint { ip: text(of, "ip")?.to_owned(), port: small(of, "port")? }))
}

fn fields(object: &Object, name: &str) -> Result<Vec<HttpField>, &'static str> {
    let Some(Value::Array(fields)) = object.get(name) else { return Ok(Vec::new()) };
    let field = |field: &Value| {
        let of = field.as_object().ok_or("a header field is no object")?;
        Ok(HttpField { name: bytes(of, "name")?, value: bytes(of, "value")? })
    };
    fields.iter().map(field).collect()
}

fn coding(object: &Object) -> Result<Option<HttpCoding>, &'static str> {
    let Some(Value::Object(of)) = object.get("encoding") else { return Ok(None) };
    Ok(Some(HttpCoding {
        codings: text(of, "codings")?.to_owned(),
        decoded: truth(of, "decoded"),
        why: maybe_text(of, "why").unwrap_or_default(),
    }))
}
