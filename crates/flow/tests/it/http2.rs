//! HTTP/2 as a user would see it. The recorded connection was made by another implementation:
//! `tests/data/record_http2.py`.

use crate::support::{Message, Part, Play, Shown, play, text};
use event::Direction::{self, Recv, Send};
use event::{BodyCoding, Completeness, HoleCause, Unparsed};
use flow::Options;
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

pub(crate) fn recorded() -> Vec<(Direction, Vec<u8>)> {
    let hex = |text: &str| -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2);
        pairs
            .map(|pair| std::str::from_utf8(pair).expect("hexadecimal"))
            .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal"))
            .collect()
    };
    let line = |line: &str| {
        let (dir, bytes) = line.split_once(' ').expect("a direction and bytes");
        (if dir == "send" { Send } else { Recv }, hex(bytes))
    };
    include_str!("../data/http2.txt").lines().map(line).collect()
}

fn messages(shown: &[Shown]) -> Vec<&Message> {
    shown
        .iter()
        .filter_map(|shown| match shown {
            Shown::Message(message) => Some(message),
            _ => None,
        })
        .collect()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u32;
    [&len.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn data(stream: u32, payload: &[u8], end: bool) -> Vec<u8> {
    frame(0, u8::from(end), stream, payload)
}

/// Fields as literals that never touch the dynamic table.
fn headers(stream: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    frame(1, 4 | u8::from(end), stream, &block(fields))
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let field = |(name, value): &(&str, &str)| [vec![0], string(name), string(value)].concat();
    fields.iter().flat_map(field).collect()
}

const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "https"), (":authority", "h"), (":path", "/a")];
const OK: &[(&str, &str)] = &[(":status", "200")];

/// A connection on which the prefaces have been exchanged.
fn begun(options: Options) -> Play {
    let mut play = Play::new(options);
    play.send([PREFACE, SETTINGS].concat()).recv(SETTINGS);
    assert_eq!(play.take(), []);
    play
}

#[test]
fn a_recorded_connection_is_shown_message_by_message() {
    let mut play = play();
    for (dir, bytes) in recorded() {
        play.call(dir, &bytes);
    }
    play.close();
    let shown = play.take();
    let messages = messages(&shown);
    let lines: Vec<String> = messages
        .iter()
        .map(|m| {
            let answers = m.answers.as_deref().unwrap_or("-");
            format!(
                "{} {} {} | {} | {}",
                m.stream.unwrap_or(0),
                m.exchange,
                m.start,
                answers,
                text(&m.body)
            )
        })
        .collect();
    let not_found = format!("5 3 404  | POST /fifth | {}", "not found ".repeat(20));
    assert_eq!(
        lines,
        [
            "1 1 GET /first @example.org | - | ",
            "1 1 200  | GET /first | first body",
            "3 2 POST /third @example.org | - | three more",
            "5 3 POST /fifth @example.org | - | five more",
            "5 3 103  | - | ",
            "3 2 204  | POST /third | ",
            &not_found,
            "7 4 GET /seventh @example.org | - | ",
            "2 5 GET /pushed @example.org | - | ",
            "7 4 200  | GET /seventh | ",
            "2 5 200  | GET /pushed | pushed body",
            "9 6 GET /ninth @example.org | - | ",
            "9 6 200  | GET /ninth | only a part",
            "11 7 POST /grpc @example.org | - | ",
            "11 7 200  | POST /grpc | ",
        ]
    );
    let not_found = messages[6];
    assert_eq!(not_found.coding, BodyCoding::Decoded("gzip".into()));
    assert_eq!(not_found.trailers, [("x-trailer".to_owned(), "t".to_owned())]);
    assert_eq!(messages[3].trailers, [("x-checksum".to_owned(), "5".to_owned())]);
    assert_eq!(messages[5].headers, [("server".to_owned(), "h2-server".to_owned())]);
    assert_eq!(messages[7].headers[11], ("x-large-11".to_owned(), "yb".repeat(1000)));
    assert_eq!(messages[12].completeness, Completeness::Truncated("the stream was reset"));
    assert!(messages[1].latency.is_some_and(|latency| latency > Duration::ZERO));
    let parts: Vec<_> = shown
        .iter()
        .filter_map(|shown| match shown {
            Shown::Part(Part { of_request, bytes, last, trailers, .. }) => {
                Some((*of_request, bytes.as_slice(), *last, trailers.len()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        parts,
        [
            (true, b"\0\0\0\0\x02hi".as_slice(), false, 0),
            (true, b"", true, 0),
            (false, b"\0\0\0\0\x03one", false, 0),
            (false, b"\0\0\0\0\x03two", false, 0),
            (false, b"", true, 1),
        ]
    );
    assert_eq!(play.balance().shown.raw, 0);
}

#[test]
fn a_capture_that_begins_midway_shows_what_it_can() {
    let mut play = play();
    for (dir, bytes) in recorded().into_iter().skip(5) {
        play.call(dir, &bytes);
    }
    play.close();
    let shown = play.take();
    let messages = messages(&shown);
    // Stream 3's request refers to its authority and to another field as they were sent before.
    assert_eq!(messages[0].start, "POST /third @");
    assert_eq!(messages[0].headers, vec![("?".to_owned(), "?".to_owned()); 2]);
    assert_eq!(text(&messages[0].body), "three more");
    let starts: Vec<&str> = messages.iter().map(|m| m.start.as_str()).collect();
    let expected = ["GET /seventh @", "GET /pushed @example.org", "200 ", "200 "];
    assert_eq!(starts[5..9], expected);
    assert_eq!(play.balance().shown.raw, 0);
}

#[test]
fn only_a_response_stream_seen_midway_is_no_reason_to_guess() {
    let mut play = play();
    play.recv([data(5, b"rest of a body", true), headers(7, OK, true)].concat());
    let shown = play.take();
    assert!(
        matches!(&shown[0], Shown::Data { offset: 9, bytes, unparsed: Some(Unparsed::Incomplete(_)), .. } if bytes == b"rest of a body")
    );
    assert!(matches!(&shown[1], Shown::Message(m) if m.start == "200 " && m.answers.is_none()));
    play.close();
    play.balance();
}

#[test]
fn a_broken_header_block_is_shown_raw_and_the_connection_goes_on() {
    let mut play = begun(Options::default());
    play.send(frame(1, 5, 1, &[0xff; 12])).send(headers(3, GET, true));
    let shown = play.take();
    assert!(
        matches!(&shown[0], Shown::Data { offset: 33, bytes, unparsed: Some(Unparsed::Malformed(_)), .. } if bytes.len() == 21)
    );
    assert!(matches!(&shown[1], Shown::Message(m) if m.start == "GET /a @h"));
    play.close();
    play.balance();
}

#[test]
fn broken_frames_are_shown_raw_until_a_call_begins_with_frames() {
    let mut play = begun(Options::default());
    for broken in [
        frame(0, 0, 0, b"data for no stream"),
        frame(6, 0, 0, b"short"),
        frame(9, 4, 1, b"continues nothing"),
        frame(0, 8, 1, &[200, 1]),
        frame(0, 8, 1, &[]),
        frame(1, 0x2c, 1, &[1, 2]),
        [frame(1, 0, 1, &[0x82]), data(1, b"interrupts", false)].concat(),
    ] {
        play.send(&broken).send(headers(3, GET, true));
        let shown = play.take();
        let raw: usize = shown
            .iter()
            .filter_map(|shown| match shown {
                Shown::Data { bytes, unparsed: Some(Unparsed::Malformed(_)), .. } => {
                    Some(bytes.len())
                }
                _ => None,
            })
            .sum();
        assert_eq!(raw, broken.len(), "{broken:?}: {shown:?}");
        let end = shown.last();
        assert!(matches!(end, Some(Shown::Message(m)) if m.start == "GET /a @h"), "{shown:?}");
    }
    play.close();
    play.balance();
}

#[test]
fn a_hole_within_a_body_leaves_the_frames_in_step() {
    let mut play = begun(Options::default());
    play.send(headers(1, GET, true)).recv(headers(1, OK, false));
    let whole = data(1, b"abcdefghi", true);
    play.recv(&whole[..12]).hole(Recv, 3, HoleCause::Unreadable).recv(&whole[15..]);
    play.send(headers(3, GET, true)).recv(headers(3, OK, true));
    let shown = play.take();
    let kinds: Vec<String> = shown
        .iter()
        .map(|shown| match shown {
            Shown::Message(m) => format!("{:?}", m.completeness),
            Shown::Part(Part { offset, bytes, truncated, .. }) => {
                format!("{offset} {} {}", text(bytes), truncated.is_some())
            }
            Shown::Hole { .. } => "hole".into(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        ["Whole", "BodyFollows", "0 abc false", "hole", "6 ghi false", "9  true", "Whole", "Whole"]
    );
    play.close();
    play.balance();
}

#[test]
fn after_a_hole_between_frames_open_bodies_are_not_called_whole() {
    let mut play = begun(Options::default());
    play.send(headers(1, GET, true)).recv([headers(1, OK, false), data(1, b"ab", false)].concat());
    play.take();
    play.hole(Recv, 100, HoleCause::Lost).recv(data(1, b"yz", true));
    let shown = play.take();
    assert!(
        matches!(&shown[..], [
        Shown::Message(_),
        Shown::Part(Part { .. }),
        Shown::Hole { len: 100, .. },
        Shown::Part(Part { bytes, .. }),
        Shown::Part(Part { last: true, truncated: Some(_), .. }),
    ] if bytes == b"yz"),
        "{shown:?}"
    );
    play.close();
    play.balance();
}

#[test]
fn streams_beyond_the_limit_push_out_the_oldest() {
    let mut play = begun(Options { stream_limit: 3, ..Options::default() });
    for stream in 0..10 {
        play.send(headers(2 * stream + 1, GET, false));
        play.send(data(2 * stream + 1, b"x", false));
    }
    let shown = play.take();
    assert_eq!(shown.len(), 7);
    for shown in messages(&shown) {
        assert!(matches!(shown.completeness, Completeness::Truncated(_)));
        assert_eq!(text(&shown.body), "x");
    }
    play.close();
    assert_eq!(play.take().len(), 3);
    play.balance();
}

#[test]
fn an_old_message_is_shown_at_a_tick() {
    let mut play = begun(Options::default());
    play.send(headers(1, GET, true)).recv([headers(1, OK, false), data(1, b"ab", false)].concat());
    play.take();
    assert!(play.flow.wants_tick());
    play.tick_after(Duration::from_secs(2));
    let shown = play.take();
    assert!(
        matches!(&shown[..], [Shown::Message(m), Shown::Part(Part { .. })] if m.completeness == Completeness::BodyFollows)
    );
    assert!(!play.flow.wants_tick());
    play.close();
    play.balance();
}

#[test]
fn an_upgrade_to_http2_continues_the_exchange() {
    let mut play = play();
    play.send("GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
    play.recv([switch.as_slice(), SETTINGS, &headers(1, OK, true)].concat());
    play.send([PREFACE, SETTINGS].concat()).send(headers(3, GET, true));
    let shown = play.take();
    let starts: Vec<_> = messages(&shown).iter().map(|m| (m.start.clone(), m.exchange)).collect();
    let expected =
        [("GET /a @h", 1), ("101 Switching Protocols", 1), ("200 ", 1), ("GET /a @h", 2)];
    assert_eq!(starts, expected.map(|(start, exchange)| (start.to_owned(), exchange)));
    assert_eq!(messages(&shown)[2].answers.as_deref(), Some("GET /a"));
    play.close();
    assert_eq!(play.balance().shown.raw, 0);
}

#[test]
fn a_websocket_runs_inside_a_stream() {
    let mut play = begun(Options::default());
    let connect: &[(&str, &str)] = &[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "h"),
    ];
    play.send(headers(1, connect, false)).recv(headers(1, OK, false));
    assert_eq!(messages(&play.take()).len(), 2);
    play.send(data(1, &[0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1], false));
    play.send(data(1, &[b'i' ^ 2], false));
    play.recv(data(1, &[0x82, 3, 7, 8, 9], false));
    let expected = |dir, kind, payload: &[u8]| Shown::WebSocket {
        dir,
        kind,
        payload: payload.to_vec(),
        last: true,
        note: None,
    };
    assert_eq!(play.take(), [expected(Send, "text", b"hi"), expected(Recv, "binary", &[7, 8, 9])]);
    play.send(data(1, &[], true)).recv(data(1, &[], true));
    play.close();
    assert_eq!(play.balance().shown.raw, 0);
}

#[test]
fn a_flood_of_continuations_is_cut_off() {
    let mut play = begun(Options::default());
    play.send(frame(1, 0, 1, &[0x82]));
    for _ in 0..1000 {
        play.send(frame(9, 0, 1, &[]));
    }
    let shown = play.take();
    assert!(matches!(&shown[0], Shown::Data { unparsed: Some(Unparsed::Malformed(_)), .. }));
    play.close();
    play.balance();
}

#[test]
fn a_target_that_a_few_bytes_stand_for_is_not_held_for_every_stream() {
    let limit = 1 << 20;
    let mut play = begun(Options { held_limit: limit, ..Options::default() });
    // RFC 7541 section 5.1
    let integer = |first: u8, mask: u8, value: usize| {
        let mut bytes = vec![first | mask];
        let mut rest = value - usize::from(mask);
        while rest > 127 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    };
    let path = vec![b'/'; 100_000];
    // The table may be larger; `:method GET`; the path, to be kept in the table.
    let larger = integer(0x20, 0x1f, 200_000);
    let kept = [vec![0x82, 0x44], integer(0, 0x7f, path.len()), path.clone()].concat();
    let mut frames = frame(1, 5, 1, &[larger, kept].concat());
    // `:method GET`, and the path that is in the table.
    (1..200).for_each(|n| frames.extend(frame(1, 5, 2 * n + 1, &[0x82, 0xbe])));
    play.send(frames);
    let held = play.flow.stats().held;
    assert!(held < limit + (200 << 10), "{held}");
    let shown = play.take();
    assert_eq!(messages(&shown).len(), 200);
    assert!(messages(&shown).iter().all(|m| m.start.len() > path.len()));
    // What is remembered is answered; the others have their exchange all the same.
    play.recv(headers(1, OK, true)).recv(headers(399, OK, true));
    let shown = play.take();
    let [first, last] = messages(&shown)[..] else { panic!("{shown:?}") };
    assert!(first.answers.is_some() && last.answers.is_none());
    assert_eq!((first.exchange, last.exchange), (1, 200));
    play.close();
    play.balance();
}
