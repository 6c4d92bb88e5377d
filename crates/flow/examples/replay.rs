//! How long a flow takes for one request and its response: `cargo run --release -p flow --example
//! replay [PAIRS]` prints nanoseconds per pair for each way in which they may come.

use event::{Chunk, ConnId, Connection, Direction, Event, Library, Record, Timestamp};
use flow::{Flow, Options};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const CONNECTIONS: u64 = 16;

const REQUEST: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8443\r\n\
    User-Agent: wrk\r\nAccept: */*\r\nX-Padding: 0123\r\n\r\n";

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
    Date: Sun, 22 Nov 2026 00:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\
    Connection: keep-alive\r\nETag: \"63a4\"\r\nAccept-Ranges: bytes\r\n\r\n";

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
    Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n";

/// One way in which pairs come: whether they are parsed, and the chunks of one pair.
struct Case {
    name: &'static str,
    parse: bool,
    chunks: Vec<(Direction, Vec<u8>)>,
}

fn cases() -> Vec<Case> {
    let body = [b'x'; 100];
    let request = (Direction::Recv, REQUEST.to_vec());
    let whole = (Direction::Send, [HEAD, &body].concat());
    let head = (Direction::Send, HEAD.to_vec());
    let chunk = (Direction::Send, [b"64\r\n".as_slice(), &body, b"\r\n0\r\n\r\n"].concat());
    let case = |name, parse, chunks| Case { name, parse, chunks };
    let asked =
        frames(&[[0x82, 0x84, 0x87, 0x41, 9].as_slice(), b"127.0.0.1".as_slice()].concat(), &[]);
    let answered =
        frames(&[0x88, 0x5f, 9, b't', b'e', b'x', b't', b'/', b'h', b't', b'm', b'l'], &body);
    vec![
        case("not parsed", false, vec![request.clone(), whole.clone()]),
        case("response in one chunk", true, vec![request.clone(), whole]),
        case(
            "head and body in two chunks",
            true,
            vec![request.clone(), head, (Direction::Send, body.to_vec())],
        ),
        case("HTTP/2", true, vec![(Direction::Recv, asked), (Direction::Send, answered)]),
        case(
            "chunked body in a second chunk",
            true,
            vec![request, (Direction::Send, CHUNKED.to_vec()), chunk],
        ),
    ]
}

/// The frames of a message on stream 1: a header block and, if there is one, a body. Both end the
/// stream, so that it can be used again.
fn frames(block: &[u8], body: &[u8]) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1], payload].concat()
    };
    let end = u8::from(body.is_empty());
    let head = frame(1, 4 | end, block);
    if body.is_empty() { head } else { [head, frame(0, 1, body)].concat() }
}

fn connection(id: u64) -> Connection {
    Connection {
        id: ConnId(id),
        ts: Timestamp(0),
        pid: 1,
        uid: 0,
        comm: Arc::from("nginx"),
        exe: None,
        library: Arc::new(Library { path: "/usr/lib/libssl.so.3".into(), build_id: None }),
        local: None,
        remote: None,
    }
}

fn main() {
    let pairs = std::env::args().nth(1).and_then(|pairs| pairs.parse().ok()).unwrap_or(2_000_000);
    for case in cases() {
        let mut flow = Flow::new(Options { parse: case.parse, ..Options::default() });
        let mut records: u64 = 0;
        let mut count = |record: &Record<'_>| {
            black_box(record);
            records += 1;
        };
        (0..CONNECTIONS).for_each(|id| flow.event(Event::Open(connection(id)), &mut count));
        let mut positions = [[0; 2]; CONNECTIONS as usize];
        if case.name == "HTTP/2" {
            // Both prefaces come first; they are no records.
            for conn in 0..CONNECTIONS {
                for (dir, bytes) in [(Direction::Recv, PREFACE), (Direction::Send, SETTINGS)] {
                    let chunk = Chunk {
                        conn: ConnId(conn),
                        ts: Timestamp(0),
                        tid: 1,
                        dir,
                        offset: 0,
                        end_of_call: true,
                        bytes,
                    };
                    positions[conn as usize][dir as usize] = bytes.len() as u64;
                    flow.event(Event::Chunk(chunk), &mut count);
                }
            }
        }
        let began = Instant::now();
        for pair in 0..pairs {
            let conn = pair % CONNECTIONS;
            for (dir, bytes) in &case.chunks {
                let position = &mut positions[conn as usize][*dir as usize];
                let chunk = Chunk {
                    conn: ConnId(conn),
                    ts: Timestamp(pair),
                    tid: 1,
                    dir: *dir,
                    offset: *position,
                    end_of_call: true,
                    bytes,
                };
                *position += bytes.len() as u64;
                flow.event(Event::Chunk(chunk), &mut count);
            }
        }
        let each = began.elapsed().as_nanos() / u128::from(pairs.max(1));
        flow.finish(&mut count);
        assert_eq!(records, 2 * pairs, "each pair is two records");
        let chunks = case.chunks.len();
        println!("{:32} {each:5} ns a pair, {chunks} chunks", case.name);
    }
}
