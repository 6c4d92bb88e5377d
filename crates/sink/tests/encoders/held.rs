//! A body that is kept until it is written comes out as one that is copied.

use crate::samples::{CURL, TS, response};
use data_encoding::BASE64;
use event::{Body, Content, Data, Direction, Field, HeldBody, Record};
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

/// What a line has of a payload: as text, or else the bytes.
fn in_json(bytes: &[u8], tsize: Option<usize>) -> Result<String, Vec<u8>> {
    let mut encoder = JsonEncoder::new(JsonOptions { tsize, escape: false });
    let content = Content::Data(Data { offset: 0, bytes, unparsed: None });
    let mut line = Vec::new();
    encoder
        .encode(&Record { ts: TS, conn: &CURL, tid: 1, dir: Direction::Recv, content }, &mut line);
    let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
    match (line.get("data"), line.get("data_b64")) {
        (Some(text), None) => Ok(text.as_str().unwrap().to_owned()),
        (None, Some(base64)) => Err(BASE64.decode(base64.as_str().unwrap().as_bytes()).unwrap()),
        both => panic!("{both:?}"),
    }
}

#[test]
fn large_payloads_are_text_or_not_as_a_whole() {
    for shift in 0..4 {
        let text = "x".repeat(shift) + &"日本語\"\n🎉".repeat(4000);
        assert_eq!(in_json(text.as_bytes(), None), Ok(text.clone()));
        for bad in [&b"\xff"[..], b"\xe2", b"\xe2a", b"\xf0\x9f\x8e"] {
            let late = [text.as_bytes(), bad].concat();
            assert_eq!(in_json(&late, None), Err(late.clone()), "{bad:?}");
            let middle = [text.as_bytes(), bad, text.as_bytes()].concat();
            assert_eq!(in_json(&middle, None), Err(middle.clone()), "{bad:?}");
        }
        for cut in 16_380..16_390 {
            let shown = text[..text.floor_char_boundary(cut)].to_owned();
            assert_eq!(in_json(text.as_bytes(), Some(cut)), Ok(shown), "{cut}");
        }
    }
}
