//! WebSocket connections as a user would see them.

use crate::support::{Play, Shown, play};
use event::Direction::{Recv, Send};
use event::{HoleCause, Unparsed};
use flate2::{Compress, Compression, FlushCompress};
use flow::Options;

const ASK: &str =
    "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";

/// A connection on which the handshake is done, with such extensions.
fn shaken(options: Options, extensions: &str) -> Play {
    let mut play = Play::new(options);
    let line = if extensions.is_empty() {
        String::new()
    } else {
        format!("Sec-WebSocket-Extensions: {extensions}\r\n")
    };
    play.send(ASK).recv(format!("{SWITCH}{line}\r\n"));
    assert_eq!(play.take_messages().len(), 2);
    play
}

/// A frame of the server.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = match payload.len() {
        len @ 0..126 => vec![len as u8],
        len => [&[126], (len as u16).to_be_bytes().as_slice()].concat(),
    };
    [&[first], len.as_slice(), payload].concat()
}

/// A frame of the client.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(first, payload);
    bytes[1] |= 0x80;
    let at = bytes.len() - payload.len();
    let mask = [9, 8, 7, 6];
    bytes[at..].iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    bytes.splice(at..at, mask);
    bytes
}

fn message(kind: &'static str, payload: &[u8]) -> Shown {
    Shown::WebSocket { dir: Recv, kind, payload: payload.to_vec(), last: true, note: None }
}

fn compressed(context: &mut Compress, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 100);
    context.compress_vec(text, &mut out, FlushCompress::Sync).expect("deflate");
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

#[test]
fn messages_of_both_ends_are_shown() {
    let mut play = shaken(Options::default(), "");
    play.send(masked(0x81, b"hello")).recv(frame(0x82, &[1, 2, 3]));
    let sent = Shown::WebSocket {
        dir: Send,
        kind: "text",
        payload: b"hello".to_vec(),
        last: true,
        note: None,
    };
    assert_eq!(play.take(), [sent, message("binary", &[1, 2, 3])]);
    play.recv(frame(0x88, &[3, 0xe8]));
    assert_eq!(play.take(), [message("close", &[3, 0xe8])]);
    play.close();
    assert_eq!(play.take(), []);
    assert_eq!(play.balance().shown.raw, 0);
}

#[test]
fn control_frames_may_come_between_the_fragments_of_a_message() {
    let mut play = shaken(Options::default(), "");
    play.recv(
        [frame(0x01, b"ab"), frame(0x89, b"p"), frame(0x00, b"cd"), frame(0x80, b"ef")].concat(),
    );
    assert_eq!(play.take(), [message("ping", b"p"), message("text", b"abcdef")]);
}

#[test]
fn a_frame_may_come_right_behind_the_handshake() {
    let mut play = play();
    play.send(ASK).recv([format!("{SWITCH}\r\n").as_bytes(), &frame(0x81, b"hi")].concat());
    assert_eq!(play.take().pop(), Some(message("text", b"hi")));
}

#[test]
fn compressed_messages_share_a_context_unless_agreed_otherwise() {
    let first = b"a message that is said more than once".as_slice();
    for (extensions, shared) in [
        ("permessage-deflate", true),
        ("permessage-deflate; server_no_context_takeover; client_max_window_bits=12", false),
    ] {
        let mut play = shaken(Options::default(), extensions);
        let mut context = Compress::new(Compression::default(), false);
        for n in 0..3 {
            if !shared {
                context.reset();
            }
            let bytes = compressed(&mut context, first);
            assert_eq!(bytes.len() < 20, shared && n > 0);
            let (one, two) = bytes.split_at(3);
            play.recv([frame(0x41, one), frame(0x80, two)].concat());
            assert_eq!(play.take(), [message("text", first)]);
        }
        play.recv(frame(0x81, b"not compressed"));
        assert_eq!(play.take(), [message("text", b"not compressed")]);
        play.close();
        play.balance();
    }
}

#[test]
fn a_message_that_is_too_large_is_shown_in_fragments() {
    let mut play = shaken(Options { body_limit: 100, ..Options::default() }, "");
    let text = [b'x'; 250];
    play.recv(&frame(0x81, &text)[..150]).recv(&frame(0x81, &text)[150..]);
    let mut joined = Vec::new();
    let shown = play.take();
    for (n, part) in shown.iter().enumerate() {
        let Shown::WebSocket { payload, last, .. } = part else { panic!("{part:?}") };
        assert_eq!(*last, n + 1 == shown.len());
        joined.extend_from_slice(payload);
    }
    assert!(shown.len() > 1);
    assert_eq!(joined, text);
}

#[test]
fn damaged_compressed_data_are_shown_with_a_note() {
    let mut play = shaken(Options::default(), "permessage-deflate");
    play.recv(frame(0xc1, &[0xff; 20])).recv(frame(0xc1, b"later"));
    let shown = play.take();
    assert!(matches!(&shown[0], Shown::WebSocket { note: Some(_), .. }));
    assert!(
        matches!(&shown[1], Shown::WebSocket { note: Some(_), payload, .. } if payload == b"later")
    );
    play.close();
    play.balance();
}

#[test]
fn a_hole_in_a_payload_leaves_the_frames_in_step() {
    let mut play = shaken(Options::default(), "");
    let bytes = masked(0x81, b"abcdefghi");
    play.send(&bytes[..9]).hole(Send, 3, HoleCause::Lost).send(&bytes[12..]);
    play.send(masked(0x81, b"next"));
    let shown = play.take();
    let of = |shown: &Shown| match shown {
        Shown::WebSocket { payload, last, note, .. } => {
            format!("{} {last} {}", String::from_utf8_lossy(payload), note.is_some())
        }
        Shown::Hole { .. } => "hole".into(),
        other => format!("{other:?}"),
    };
    let shown: Vec<String> = shown.iter().map(of).collect();
    assert_eq!(shown, ["abc false true", "hole", "ghi true true", "next true false"]);
}

#[test]
fn after_a_hole_between_frames_a_call_that_is_frames_is_believed() {
    let mut play = shaken(Options::default(), "");
    play.hole(Recv, 50, HoleCause::Lost).recv(b"\x7fnot a frame").recv(frame(0x81, b"ok"));
    let shown = play.take();
    assert!(matches!(&shown[1], Shown::Data { unparsed: Some(Unparsed::Incomplete(_)), .. }));
    assert_eq!(shown[2], message("text", b"ok"));
    play.close();
    play.balance();
}

#[test]
fn what_breaks_the_rules_is_shown_raw() {
    let mut play = shaken(Options::default(), "");
    for bytes in [frame(0x83, b"x"), frame(0xc1, b"x"), frame(0x80, b"x"), frame(0xa1, b"x")] {
        play.recv(&bytes);
        let shown = play.take();
        assert!(
            matches!(&shown[..], [Shown::Data { bytes: raw, unparsed: Some(_), .. }] if *raw == bytes),
            "{bytes:?}: {shown:?}"
        );
        play.recv(frame(0x81, b"ok"));
        assert_eq!(play.take(), [message("text", b"ok")]);
    }
    play.close();
    play.balance();
}

#[test]
fn an_unfinished_message_is_shown_at_the_end() {
    let mut play = shaken(Options::default(), "");
    play.recv(frame(0x01, b"unfin"));
    play.close();
    let shown = play.take();
    assert!(
        matches!(&shown[..], [Shown::WebSocket { payload, note: Some(_), .. }] if payload == b"unfin")
    );
    play.balance();
}
