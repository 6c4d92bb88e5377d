//! HTTP/1.x as a user would see it.

use crate::support::{Message, Part, Play, Shown, play, text};
use event::Direction::{Recv, Send};
use event::{BodyCoding, Completeness, HoleCause, Unparsed};
use flow::Options;
use std::time::Duration;

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK3: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

fn starts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.start.as_str()).collect()
}

/// The body's bytes and whether the last part was shown, of everything in `shown`.
fn parts(shown: &[Shown]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    let mut ended = false;
    for shown in shown {
        if let Shown::Part(Part { offset, bytes, last, .. }) = shown {
            assert_eq!(*offset, body.len() as u64);
            body.extend_from_slice(bytes);
            ended |= *last;
        }
    }
    (body, ended)
}

#[test]
fn a_request_and_its_response_are_one_exchange() {
    let mut play = play();
    play.send(GET);
    let request = play.take_message();
    assert_eq!(request.start, "GET /a @h");
    assert_eq!(request.headers, [("Host".to_owned(), "h".to_owned())]);
    play.recv(OK3);
    let response = play.take_message();
    assert_eq!(response.start, "200 OK");
    assert_eq!(response.answers.as_deref(), Some("GET /a"));
    assert_eq!(response.latency, Some(Duration::from_micros(1)));
    assert_eq!(text(&response.body), "abc");
    assert_eq!((request.exchange, response.exchange), (1, 1));
    assert_eq!(response.completeness, Completeness::Whole);
    play.close();
    assert_eq!(play.take(), []);
    play.balance();
}

#[test]
fn a_server_receives_requests_and_sends_responses() {
    let mut play = play();
    play.recv(GET).send(OK3);
    let messages = play.take_messages();
    assert_eq!(starts(&messages), ["GET /a @h", "200 OK"]);
    assert_eq!(messages[1].answers.as_deref(), Some("GET /a"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut play = play();
    play.send(format!("{GET}{}", GET.replace("/a", "/b"))).recv(format!("{OK3}{OK3}"));
    let messages = play.take_messages();
    let answers: Vec<_> = messages[2..].iter().map(|m| m.answers.as_deref()).collect();
    assert_eq!(answers, [Some("GET /a"), Some("GET /b")]);
    assert_eq!(messages.iter().map(|m| m.exchange).collect::<Vec<_>>(), [1, 2, 1, 2]);
}

#[test]
fn a_response_to_head_has_no_body_whatever_its_length_says() {
    let mut play = play();
    play.send(GET.replace("GET", "HEAD")).recv(&OK3[..OK3.len() - 3]);
    play.send(GET).recv(OK3);
    let messages = play.take_messages();
    assert_eq!(starts(&messages), ["HEAD /a @h", "200 OK", "GET /a @h", "200 OK"]);
    assert_eq!((messages[1].body.len(), messages[3].body.len()), (0, 3));
}

#[test]
fn an_interim_response_does_not_answer() {
    let mut play = play();
    play.send("PUT /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(play.take(), []);
    play.recv("HTTP/1.1 100 Continue\r\n\r\n").send("hi").recv(OK3);
    let messages = play.take_messages();
    assert_eq!(starts(&messages), ["100 Continue", "PUT /p @", "200 OK"]);
    assert_eq!(messages[2].answers.as_deref(), Some("PUT /p"));
    assert_eq!(messages.iter().map(|m| m.exchange).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn chunked_bodies_are_joined_and_trailers_kept() {
    let mut play = play();
    play.send(GET);
    play.take();
    play.recv("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n");
    assert_eq!(play.take(), []);
    play.recv("0\r\nDigest: q\r\n\r\n");
    let response = play.take_message();
    assert_eq!(text(&response.body), "abcde");
    assert_eq!(response.trailers, [("Digest".to_owned(), "q".to_owned())]);
    assert_eq!(response.encoded_len, 5);
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let mut play = play();
    play.send(GET).recv("HTTP/1.0 200 OK\r\n\r\nab").recv("cd");
    play.take();
    play.close();
    let response = play.take_message();
    assert_eq!(
        (text(&response.body).as_str(), response.completeness),
        ("abcd", Completeness::Whole)
    );
    play.balance();
}

#[test]
fn what_is_incomplete_at_the_end_is_shown_as_truncated() {
    let mut play = play();
    play.send(GET).recv(&OK3[..OK3.len() - 1]).send("GET /half HT");
    play.take();
    play.close();
    let shown = play.take();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(matches!(&shown[0], Shown::Data { bytes, unparsed: Some(Unparsed::Incomplete(_)), .. }
        if bytes == b"GET /half HT"));
    let Shown::Message(response) = &shown[1] else { panic!("{shown:?}") };
    assert!(matches!(response.completeness, Completeness::Truncated(_)));
    assert_eq!(text(&response.body), "ab");
    play.balance();
}

#[test]
fn a_large_body_follows_its_head() {
    let mut play = Play::new(Options { body_limit: 10, ..Options::default() });
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n";
    play.send(GET).recv(head);
    let messages = play.take_messages();
    assert_eq!(messages[1].completeness, Completeness::BodyFollows);
    play.recv("01234").recv("567890");
    let shown = play.take();
    assert_eq!(parts(&shown), (b"01234567890".to_vec(), true));
    play.close();
    play.balance();
}

#[test]
fn a_body_that_grows_too_large_to_hold_is_shown_in_parts() {
    let mut play = Play::new(Options { body_limit: 10, ..Options::default() });
    play.send(GET).recv("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    play.take();
    play.recv("8\r\n01234567\r\n");
    assert_eq!(play.take(), []);
    play.recv("3\r\n890\r\n").recv("0\r\n\r\n");
    let shown = play.take();
    assert!(matches!(&shown[0], Shown::Message(m) if m.completeness == Completeness::BodyFollows));
    assert_eq!(parts(&shown), (b"01234567890".to_vec(), true));
}

#[test]
fn a_message_is_shown_by_the_first_tick_after_it_became_old() {
    let mut play = play();
    play.send(GET).recv(&OK3[..OK3.len() - 1]);
    play.take();
    assert!(play.flow.wants_tick());
    play.tick_after(Duration::from_millis(900));
    assert_eq!(play.take(), []);
    play.tick_after(Duration::from_millis(200));
    let shown = play.take();
    assert!(matches!(&shown[0], Shown::Message(m) if m.completeness == Completeness::BodyFollows));
    assert_eq!(parts(&shown), (b"ab".to_vec(), false));
    assert!(!play.flow.wants_tick());
    play.recv("c");
    assert!(
        matches!(&play.take()[..], [Shown::Part(Part { bytes, offset: 2, .. }), Shown::Part(Part { last: true, .. })] if bytes == b"c")
    );
}

#[test]
fn a_hole_inside_a_body_leaves_the_stream_in_step() {
    let mut play = play();
    play.send(GET).recv("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    play.take();
    play.hole(Recv, 3, HoleCause::Lost).recv(format!("ghi{OK3}"));
    let shown = play.take();
    let kinds: Vec<&str> = shown
        .iter()
        .map(|shown| match shown {
            Shown::Message(m) if m.completeness == Completeness::BodyFollows => "head",
            Shown::Message(_) => "message",
            Shown::Part(Part { truncated: Some(_), last: true, .. }) => "truncated",
            Shown::Part(Part { .. }) => "part",
            Shown::Hole { offset: 41, len: 3, .. } => "hole",
            _ => "?",
        })
        .collect();
    assert_eq!(kinds, ["head", "part", "hole", "part", "truncated", "message"]);
    assert!(matches!(&shown[3], Shown::Part(Part { offset: 6, bytes, .. }) if bytes == b"ghi"));
    play.close();
    play.balance();
}

#[test]
fn a_gap_that_no_later_event_fills_is_lost_and_the_parser_finds_its_feet() {
    let mut play = play();
    play.send(GET).recv(OK3).send(GET);
    play.take();
    play.skip(Recv, 40).recv("tail of a body").recv(OK3);
    assert_eq!(play.take(), []);
    assert!(play.flow.wants_tick());
    play.tick_after(Duration::ZERO);
    let shown = play.take();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(matches!(shown[0], Shown::Hole { offset: 41, len: 40, cause: HoleCause::Lost, .. }));
    assert!(matches!(shown[1], Shown::Data { unparsed: Some(Unparsed::Incomplete(_)), .. }));
    assert!(matches!(&shown[2], Shown::Message(m) if m.start == "200 OK"));
    play.close();
    assert_eq!(play.balance().lost.total().bytes, 40);
}

#[test]
fn after_lost_responses_requests_are_not_paired_wrongly() {
    let mut play = play();
    play.send(GET).hole(Recv, 100, HoleCause::Lost);
    play.send(GET.replace("/a", "/b")).recv(OK3);
    let shown = play.take();
    let Some(Shown::Message(response)) = shown.last() else { panic!("{shown:?}") };
    assert_eq!(response.answers.as_deref(), Some("GET /b"));
}

#[test]
fn bytes_out_of_order_are_put_in_order() {
    let mut play = play();
    let bytes = GET.as_bytes();
    play.chunk_at(Send, 10, &bytes[10..], true);
    play.chunk_at(Send, 4, &bytes[4..10], false);
    assert_eq!(play.take(), []);
    play.chunk_at(Send, 0, &bytes[..5], false);
    assert_eq!(play.take_message().start, "GET /a @h");
    play.close();
    assert_eq!(play.balance().duplicates.send, 1);
}

#[test]
fn a_duplicate_is_dropped_and_counted() {
    let mut play = play();
    play.chunk_at(Send, 0, GET.as_bytes(), true);
    play.chunk_at(Send, 0, GET.as_bytes(), true);
    play.chunk_at(Send, 0, &GET.as_bytes()[..7], true);
    assert_eq!(play.take_messages().len(), 1);
    play.close();
    assert_eq!(play.balance().duplicates.send, GET.len() as u64 + 7);
}

#[test]
fn bytes_that_come_after_they_were_given_up_are_shown_raw() {
    let mut play = play();
    play.chunk_at(Send, 5, b"later", true);
    play.tick_after(Duration::ZERO);
    play.take();
    play.chunk_at(Send, 1, b"arly", true);
    let shown = play.take();
    assert!(
        matches!(&shown[..], [Shown::Data { offset: 1, bytes, unparsed: Some(Unparsed::Incomplete(_)), .. }] if bytes == b"arly")
    );
    play.close();
    let stats = play.balance();
    assert_eq!((stats.late, stats.lost.total().bytes), (4, 1));
}

#[test]
fn without_parsing_chunks_are_shown_as_they_come() {
    let mut play = Play::new(Options { parse: false, ..Options::default() });
    play.send(GET).send("x").recv(OK3);
    let expected = |dir, offset, bytes: &str| Shown::Data {
        dir,
        offset,
        bytes: bytes.as_bytes().to_vec(),
        unparsed: None,
    };
    let len = GET.len() as u64;
    assert_eq!(
        play.take(),
        [expected(Send, 0, GET), expected(Send, len, "x"), expected(Recv, 0, OK3)]
    );
    play.close();
    assert_eq!(play.balance().shown.raw, len + 1 + OK3.len() as u64);
}

#[test]
fn an_unknown_protocol_is_shown_as_it_comes() {
    let mut play = play();
    play.recv("220 mail ESMTP\r\n").send("EHLO me\r\n");
    for shown in play.take() {
        assert!(matches!(shown, Shown::Data { unparsed: Some(Unparsed::UnknownProtocol), .. }));
    }
    play.close();
    play.balance();
}

#[test]
fn a_capture_that_begins_midway_finds_the_next_message() {
    let mut play = play();
    play.recv("rest of a body").send(GET).recv(OK3);
    let shown = play.take();
    assert!(matches!(shown[0], Shown::Data { unparsed: Some(Unparsed::UnknownProtocol), .. }));
    assert!(matches!(&shown[1], Shown::Message(m) if m.start == "GET /a @h"));
    assert!(matches!(&shown[2], Shown::Message(m) if m.answers.is_some()));
}

#[test]
fn a_malformed_head_is_shown_raw_and_the_next_message_is_found() {
    let mut play = play();
    play.send(GET).send("GET / HTTP/1.1\r\nbad header\r\n\r\n").send(GET);
    let shown = play.take();
    assert!(matches!(&shown[1], Shown::Data { unparsed: Some(Unparsed::Malformed(_)), .. }));
    assert!(matches!(&shown[2], Shown::Message(_)));
    play.close();
    play.balance();
}

#[test]
fn a_malformed_chunk_ends_the_message_and_the_rest_is_raw() {
    let mut play = play();
    play.send(GET).recv("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n");
    let shown = play.take();
    let Shown::Message(response) = &shown[1] else { panic!("{shown:?}") };
    assert_eq!(response.completeness, Completeness::Truncated("a chunk size is malformed"));
    assert_eq!(text(&response.body), "ab");
    assert!(matches!(&shown[2], Shown::Data { bytes, .. } if bytes == b"zz\r\n"));
    play.close();
    play.balance();
}

#[test]
fn a_tunnel_is_looked_into() {
    let mut play = play();
    play.send("CONNECT h:80 HTTP/1.1\r\n\r\n").recv("HTTP/1.1 200 Connected\r\n\r\n");
    play.send(GET).recv(OK3);
    let messages = play.take_messages();
    assert_eq!(starts(&messages), ["CONNECT h:80 @", "200 Connected", "GET /a @h", "200 OK"]);
    assert_eq!(messages.iter().map(|m| m.exchange).collect::<Vec<_>>(), [1, 1, 2, 2]);
}

#[test]
fn many_header_fields_are_kept() {
    let mut head = "GET / HTTP/1.1\r\n".to_owned();
    head.extend((0..500).map(|n| format!("X-{n}: {n}\r\n")));
    let mut play = play();
    play.send(format!("{head}\r\n"));
    assert_eq!(play.take_message().headers.len(), 500);
}

#[test]
fn an_endless_head_is_given_up() {
    let mut play = Play::new(Options { head_limit: 1000, ..Options::default() });
    play.send("GET / HTTP/1.1\r\n");
    for _ in 0..200 {
        play.send("X-Filler: 0123456789\r\n");
    }
    assert!(play.take().iter().any(|shown| matches!(
        shown,
        Shown::Data { unparsed: Some(Unparsed::Malformed("the head is too large")), .. }
    )));
    play.close();
    play.balance();
}

#[test]
fn server_sent_events_are_shown_one_by_one() {
    let mut play = play();
    play.send(GET).recv("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    let messages = play.take_messages();
    assert_eq!(messages[1].completeness, Completeness::BodyFollows);
    play.recv("event: a\ndata: 1\n\ndata: 2\n");
    let shown = play.take();
    assert!(
        matches!(&shown[..], [Shown::Sse { data, event: Some(event), .. }] if data == b"1" && event == b"a")
    );
    play.recv("\ndata: unfinished");
    assert!(matches!(&play.take()[..], [Shown::Sse { data, .. }] if data == b"2"));
    play.close();
    let shown = play.take();
    assert!(
        matches!(&shown[..], [Shown::Part(Part { bytes, .. }), Shown::Part(Part { last: true, .. })] if bytes == b"data: unfinished")
    );
    play.balance();
}

#[test]
fn an_unknown_content_coding_is_shown_as_sent() {
    let mut play = play();
    play.send(GET).recv(OK3.replace("Content-Length", "Content-Encoding: rot13\r\nContent-Length"));
    let response = play.take_messages().remove(1);
    assert_eq!(response.coding, BodyCoding::Encoded("rot13".into(), "unknown content coding"));
    assert_eq!(text(&response.body), "abc");
}
