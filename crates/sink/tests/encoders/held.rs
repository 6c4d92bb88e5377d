//! A body that is kept until it is written comes out as one that is copied.

use crate::samples::{CURL, TS, response};
use event::{Body, Content, Direction, Field, HeldBody, Record};
use sink::{Encoder, JsonEncoder, JsonOptions, Output, TextEncoder, TextOptions};
use std::fs::{self, File};
use std::sync::Arc;

type MakeEncoder = fn() -> Box<dyn Encoder + Send>;

const ENCODERS: [MakeEncoder; 7] = [
    || Box::new(TextEncoder::new(TextOptions::default())),
    || Box::new(TextEncoder::new(TextOptions { color: true, ..TextOptions::default() })),
    || Box::new(TextEncoder::new(TextOptions { escape: true, ..TextOptions::default() })),
    || Box::new(TextEncoder::new(TextOptions { hex: true, ..TextOptions::default() })),
    || Box::new(TextEncoder::new(TextOptions { tsize: Some(9), ..TextOptions::default() })),
    || Box::new(JsonEncoder::new(JsonOptions::default())),
    || Box::new(JsonEncoder::new(JsonOptions { tsize: Some(9), escape: true })),
];

/// What an output with this encoder writes.
fn written_by<'a>(
    encoder: Box<dyn Encoder + Send>,
    records: impl Iterator<Item = Record<'a>>,
) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let mut output = Output::new("out", Box::new(File::create(&path).unwrap()), encoder);
    for record in records {
        output.write(&record).unwrap();
    }
    output.flush().unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(output.stats().bytes, bytes.len() as u64);
    bytes
}

#[test]
fn held_bodies_are_written_like_others() {
    let trailers = [Field { name: b"Sum"[..].into(), value: b"1"[..].into() }];
    let long = "\"quoted\"\tand more\r\n".repeat(9000);
    let bodies: [&[u8]; 6] = [
        b"no line feed",
        b"a line\n",
        long.as_bytes(),
        "not only ASCII: \u{1f389}".as_bytes(),
        b"\x1b[31m and \0",
        b"begins plain, and \xff",
    ];
    for make in ENCODERS {
        let record = |body| Record {
            ts: TS,
            conn: &CURL,
            tid: 1,
            dir: Direction::Recv,
            content: Content::Http(event::HttpMessage {
                body,
                trailers: &trailers,
                ..response(b"")
            }),
        };
        let held: Vec<Arc<HeldBody>> = bodies
            .iter()
            .map(|bytes| {
                let mut body = HeldBody::default();
                bytes.chunks(7).for_each(|piece| body.push(piece));
                Arc::new(body)
            })
            .collect();
        // One after the other into one output: each in its place.
        let borrowed = written_by(make(), bodies.iter().map(|bytes| record(Body::Borrowed(bytes))));
        let kept = written_by(make(), held.iter().map(|body| record(Body::Held(body))));
        assert_eq!(String::from_utf8_lossy(&kept), String::from_utf8_lossy(&borrowed));
        assert!(held.iter().all(|body| Arc::strong_count(body) == 1), "kept after it was written");
    }
}
