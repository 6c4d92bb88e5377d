//! HTTP messages and parts of their bodies as JSON.

use super::line::{Line, Names, names};
use super::{exchange, mark_cut};
use event::{
    BodyCoding, BodyPart, Completeness, Field, HttpMessage, RequestLine, Start, StatusLine,
    Timestamp,
};

pub(super) fn message(line: &mut Line<'_>, began: Timestamp, message: &HttpMessage<'_>) {
    line.text(",\"version\":\"", message.version.as_str());
    exchange(line, message.exchange, message.stream);
    match &message.start {
        Start::Request(start) => request_line(line, start),
        Start::Response(start) => status_line(line, start),
    }
    fields(line, ",\"headers\":", message.headers);
    let is_cut = line.payload(names!("body"), &message.body);
    mark_cut(line, is_cut);
    line.number(",\"encoded_len\":", message.encoded_len);
    let took = message.ended.since(began).as_nanos();
    line.number(",\"duration_ns\":", u64::try_from(took).unwrap_or(u64::MAX));
    coding(line, &message.coding);
    line.truth(",\"complete\":", message.completeness == Completeness::Whole);
    line.truth(",\"body_follows\":", message.completeness == Completeness::BodyFollows);
    if let Completeness::Truncated(why) = message.completeness {
        line.text(",\"truncated\":\"", why);
    }
    trailers(line, message.trailers);
}

pub(super) fn body_part(line: &mut Line<'_>, part: &BodyPart<'_>) {
    exchange(line, part.exchange, part.stream);
    line.text(",\"of\":\"", if part.of_request { "request" } else { "response" });
    line.number(",\"offset\":", part.offset);
    let is_cut = line.payload(names!("data"), part.bytes);
    mark_cut(line, is_cut);
    coding(line, &part.coding);
    line.truth(",\"last\":", part.last);
    if let Some(why) = part.truncated {
        line.text(",\"truncated\":\"", why);
    }
    trailers(line, part.trailers);
}

fn request_line(line: &mut Line<'_>, start: &RequestLine<'_>) {
    line.lossy(names!("method"), &start.method);
    line.lossy(names!("path"), &start.target);
    if let Some(authority) = &start.authority {
        line.lossy(names!("authority"), authority);
    }
}

fn status_line(line: &mut Line<'_>, start: &StatusLine<'_>) {
    line.number(",\"status\":", start.status);
    line.lossy(names!("reason"), &start.reason);
    match &start.answers {
        Some((method, target)) => {
            line.raw(",\"request\":{");
            line.lossy(first(names!("method")), method);
            line.lossy(names!("path"), target);
            line.raw("}");
        }
        None => line.raw(",\"request\":null"),
    }
    match start.latency {
        Some(latency) => {
            let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            line.number(",\"latency_ns\":", nanos);
        }
        None => line.raw(",\"latency_ns\":null"),
    }
}

fn fields(line: &mut Line<'_>, key: &str, fields: &[Field<'_>]) {
    line.raw(key);
    for (at, field) in fields.iter().enumerate() {
        line.raw(if at == 0 { "[{" } else { ",{" });
        line.lossy(first(names!("name")), &field.name);
        line.lossy(names!("value"), &field.value);
        line.raw("}");
    }
    line.raw(if fields.is_empty() { "[]" } else { "]" });
}

fn trailers(line: &mut Line<'_>, trailers: &[Field<'_>]) {
    if !trailers.is_empty() {
        fields(line, ",\"trailers\":", trailers);
    }
}

fn coding(line: &mut Line<'_>, coding: &BodyCoding) {
    match coding {
        BodyCoding::Identity => {}
        BodyCoding::Decoded(codings) => {
            line.text(",\"encoding\":{\"codings\":\"", codings);
            line.raw(",\"decoded\":true}");
        }
        BodyCoding::Encoded(codings, why) => {
            line.text(",\"encoding\":{\"codings\":\"", codings);
            line.text(",\"decoded\":false,\"why\":\"", why);
            line.raw("}");
        }
    }
}

/// The same names for the first field of an object, which has no comma before it.
fn first(names: Names) -> Names {
    Names { text: &names.text[1..], ..names }
}
