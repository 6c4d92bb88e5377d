//! Bodies with content codings as a user would see them.

use crate::support::{Message, Part, Play, Shown};
use event::{BodyCoding, Completeness};
use flate2::{Compression, write::GzEncoder};
use flow::Options;
use std::io::Write;

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn response(coding: &str, body: &[u8], len: usize) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn asked(options: Options) -> Play {
    let mut play = Play::new(options);
    play.send(GET).take();
    play
}

/// The head, all that its parts say, and the last part.
fn joined(shown: Vec<Shown>) -> (Message, Vec<u8>, Part) {
    let mut shown = shown.into_iter();
    let Some(Shown::Message(head)) = shown.next() else { panic!("no head") };
    let parts: Vec<Part> = shown
        .map(|shown| match shown {
            Shown::Part(part) => part,
            other => panic!("not a part: {other:?}"),
        })
        .collect();
    let body = parts.iter().flat_map(|part| part.bytes.clone()).collect();
    let last = parts.last().cloned().expect("a last part");
    (head, body, last)
}

#[test]
fn a_small_body_is_decoded_whole() {
    let mut play = asked(Options::default());
    let body = gzip(b"some text");
    play.recv(response("gzip", &body, body.len()));
    let message = play.take_message();
    assert_eq!(message.body, b"some text");
    assert_eq!(message.encoded_len, body.len() as u64);
    assert_eq!(message.coding, BodyCoding::Decoded("gzip".into()));
}

#[test]
fn a_body_that_is_only_small_while_coded_follows_in_parts() {
    for in_pieces in [false, true] {
        let mut play = asked(Options { body_limit: 1000, ..Options::default() });
        let text = b"some text ".repeat(1000);
        let body = gzip(&text);
        assert!(body.len() < 1000);
        let response = response("gzip", &body, body.len());
        response.chunks(if in_pieces { 10 } else { 10_000 }).for_each(|piece| {
            play.recv(piece);
        });
        let (head, decoded, last) = joined(play.take());
        assert_eq!(head.completeness, Completeness::BodyFollows);
        assert_eq!(head.coding, BodyCoding::Decoded("gzip".into()));
        assert!(decoded == text);
        assert!(last.last && last.truncated.is_none());
        play.close();
        play.balance();
    }
}

#[test]
fn damaged_data_are_shown_as_sent() {
    let mut body = gzip(b"some text");
    body[12] ^= 0xff;
    let mut play = asked(Options::default());
    play.recv(response("gzip", &body, body.len()));
    let message = play.take_message();
    assert_eq!(message.body, body);
    assert!(matches!(message.coding, BodyCoding::Encoded(..)));
}

#[test]
fn a_truncated_body_is_decoded_as_far_as_it_goes() {
    let text: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    let body = gzip(&text);
    let mut play = asked(Options::default());
    play.recv(response("gzip", &body[..body.len() / 2], body.len()));
    play.close();
    let message = play.take_message();
    assert!(matches!(message.completeness, Completeness::Truncated(_)));
    assert_eq!(message.coding, BodyCoding::Decoded("gzip".into()));
    assert!(message.body.len() > 1000 && text.starts_with(&message.body));
    play.balance();
}

#[test]
fn what_follows_damage_in_a_long_body_is_shown_as_sent() {
    let text: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    // Another member may follow, but not this one.
    let damage = [&[0x1f, 0x8b], [0xff; 1000].as_slice()].concat();
    let body = [gzip(&text), damage.clone()].concat();
    let mut play = asked(Options { body_limit: 100, ..Options::default() });
    play.recv(response("gzip", &body, body.len()));
    let (_, shown, last) = joined(play.take());
    assert!(shown == [text, damage].concat());
    assert!(matches!(last.coding, BodyCoding::Encoded(..)));
    play.close();
    play.balance();
}

#[test]
fn a_bomb_is_shown_as_sent_from_where_it_goes_too_far() {
    let options = Options { body_limit: 1000, expansion_limit: 10, ..Options::default() };
    let body = gzip(&vec![0; 10 << 20]);
    let mut play = asked(options);
    play.recv(response("gzip", &body, body.len()));
    let (_, shown, last) = joined(play.take());
    assert!(shown.len() < 20 * body.len(), "{}", shown.len());
    assert!(matches!(last.coding, BodyCoding::Encoded(_, "the body expands too much")));
    play.close();
    play.balance();
}

#[test]
fn without_room_for_a_decoder_a_body_follows_as_sent() {
    let mut play = asked(Options { held_limit: 1000, body_limit: 100, ..Options::default() });
    let body = gzip(&[7; 300]);
    let mut stream = response("gzip", &body, 5000);
    stream.resize(stream.len() - body.len() + 5000, b'x');
    play.recv(stream);
    let (head, shown, _) = joined(play.take());
    assert!(matches!(head.coding, BodyCoding::Encoded(..)));
    assert!(shown.starts_with(&body));
    play.close();
    play.balance();
}

#[test]
fn events_are_found_in_a_coded_stream() {
    let mut play = asked(Options::default());
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n";
    play.recv(head);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut taken = 0;
    for n in 0..3 {
        play.take();
        encoder.write_all(format!("data: {n}\n\n").as_bytes()).expect("memory");
        encoder.flush().expect("memory");
        let coded = encoder.get_ref()[taken..].to_vec();
        taken += coded.len();
        play.recv(coded);
        let shown = play.take();
        assert!(
            matches!(&shown[..], [Shown::Sse { data, .. }] if *data == [b'0' + n]),
            "{shown:?}"
        );
    }
}
