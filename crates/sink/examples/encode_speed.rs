//! What one record costs: `cargo run --release -p sink --example encode_speed`.

use event::{
    BodyCoding, Completeness, ConnId, Connection, Content, Data, Direction, Field, HttpMessage,
    HttpVersion, Library, Record, RequestLine, Start, StatusLine, Timestamp,
};
use sink::{Encoder, JsonEncoder, JsonOptions, TextEncoder, TextOptions};
use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    let conn = connection();
    let headers = headers();
    let text = "The quick brown fox jumps over the lazy dog.\n".repeat(364);
    let binary: Vec<u8> =
        (0..16_384_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let head = |start, body| message(start, &headers, body);
    let records = [
        ("GET request, 6 headers", head(request(), b"")),
        ("response, 6 headers, 200 B", head(response(), &text.as_bytes()[..200])),
        ("response, 6 headers, 16 KiB", head(response(), text.as_bytes())),
        ("raw data, 16 KiB text", data(text.as_bytes())),
        ("raw data, 16 KiB binary", data(&binary)),
    ];
    println!("{:<30}{:>12}{:>12}{:>12}", "ns per record", "json", "json (tty)", "text");
    for (name, content) in records {
        let mut record =
            Record { ts: Timestamp(0), conn: &conn, tid: 22567, dir: Direction::Send, content };
        let json = JsonEncoder::new(JsonOptions::default());
        let terminal = JsonEncoder::new(JsonOptions { escape: true, ..JsonOptions::default() });
        let text = TextEncoder::new(TextOptions::default());
        let [json, terminal, text] = [
            nanos_per_record(json, &mut record),
            nanos_per_record(terminal, &mut record),
            nanos_per_record(text, &mut record),
        ];
        println!("{name:<30}{json:>12.0}{terminal:>12.0}{text:>12.0}");
    }
}

/// The fastest of several rounds: the others were disturbed.
fn nanos_per_record(mut encoder: impl Encoder, record: &mut Record<'_>) -> f64 {
    const ROUNDS: u32 = 10;
    const PER_ROUND: u64 = 5_000;
    let mut out = Vec::with_capacity(1 << 20);
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for i in 0..PER_ROUND {
            record.ts = Timestamp(i * 50_000);
            encoder.encode(black_box(record), &mut out);
            // As an output does once its buffer is full.
            if out.len() > 256 * 1024 {
                black_box(&out);
                out.clear();
            }
        }
        best = best.min(start.elapsed());
    }
    best.as_nanos() as f64 / PER_ROUND as f64
}

fn connection() -> Connection {
    Connection {
        id: ConnId(42),
        ts: Timestamp(0),
        pid: 22567,
        uid: 1000,
        comm: "curl".into(),
        exe: Some("/usr/bin/curl".into()),
        library: Arc::new(Library {
            path: "/usr/lib/x86_64-linux-gnu/libssl.so.3".to_owned(),
            build_id: None,
        }),
        local: Some(([10, 0, 0, 5], 51282).into()),
        remote: Some(([104, 18, 26, 120], 443).into()),
    }
}

fn headers() -> Vec<Field<'static>> {
    let headers: [(&[u8], &[u8]); 6] = [
        (b"Host", b"example.com"),
        (b"User-Agent", b"curl/7.88.1"),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", b"gzip, deflate, br"),
        (b"Cookie", b"session=0123456789abcdef0123456789abcdef"),
        (b"Connection", b"keep-alive"),
    ];
    headers.map(|(name, value)| Field { name: name.into(), value: value.into() }).into()
}

fn request() -> Start<'static> {
    Start::Request(RequestLine {
        method: Cow::Borrowed(b"GET"),
        target: Cow::Borrowed(b"/index.html?q=1"),
        authority: Some(Cow::Borrowed(b"example.com")),
    })
}

fn response() -> Start<'static> {
    Start::Response(StatusLine {
        status: 200,
        reason: Cow::Borrowed(b"OK"),
        answers: Some((Cow::Borrowed(b"GET"), Cow::Borrowed(b"/index.html?q=1"))),
        latency: Some(Duration::from_micros(12_345)),
    })
}

fn message<'a>(start: Start<'a>, headers: &'a [Field<'a>], body: &'a [u8]) -> Content<'a> {
    Content::Http(HttpMessage {
        version: HttpVersion::Http11,
        stream: None,
        exchange: 1,
        start,
        headers,
        trailers: &[],
        body: body.into(),
        coding: BodyCoding::Identity,
        encoded_len: body.len() as u64,
        ended: Timestamp(0),
        completeness: Completeness::Whole,
    })
}

fn data(bytes: &[u8]) -> Content<'_> {
    Content::Data(Data { offset: 0, bytes, unparsed: None })
}
