//! What bounds memory, and what becomes of that which no longer fits.

use crate::support::{CONN, Play, Shown};
use event::{Chunk, Completeness, ConnId, Direction, Event, Hole, HoleCause, Timestamp};
use flow::Options;

const HALF: &[u8] = b"POST /p HTTP/1.1\r\nContent-Length: 4\r\n\r\nab";

impl Play {
    fn on(&mut self, conn: u64, offset: u64, bytes: &[u8]) {
        let (dir, tid, end_of_call) = (Direction::Send, 1, true);
        let (conn, ts) = (ConnId(conn), Timestamp(self.now));
        self.event(Event::Chunk(Chunk { conn, ts, tid, dir, offset, end_of_call, bytes }));
    }
}

#[test]
fn idle_connections_make_room_and_what_they_held_is_shown() {
    let mut play = Play::new(Options { connection_limit: 3, ..Options::default() });
    for conn in 100..103 {
        play.open(ConnId(conn));
        play.on(conn, 0, HALF);
    }
    let shown = play.take();
    assert!(shown.is_empty(), "the connection on which nothing came made room: {shown:?}");
    play.open(ConnId(103));
    let shown = play.take();
    let [Shown::Message(message)] = &shown[..] else { panic!("{shown:?}") };
    assert!(matches!(message.completeness, Completeness::Truncated(_)));
    assert_eq!(message.body, b"ab");
    // What comes on it later is shown, and the next message is recognised.
    play.on(100, HALF.len() as u64, b"cd");
    play.on(100, HALF.len() as u64 + 2, b"GET / HTTP/1.1\r\n\r\n");
    let shown = play.take();
    assert!(shown.iter().any(|shown| matches!(shown, Shown::Data { bytes, .. } if bytes == b"cd")));
    assert!(shown.iter().any(|shown| matches!(shown, Shown::Message(m) if m.start == "GET / @")));
    play.finish();
    assert!(play.balance().evicted >= 2);
}

#[test]
fn bytes_of_a_connection_that_is_not_known_are_counted() {
    let mut play = Play::new(Options::default());
    play.on(999, 0, b"12345");
    play.close();
    play.on(CONN.0, 0, b"123");
    assert_eq!(play.take(), []);
    let lost: Vec<_> = play.balance().lost.iter().collect();
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].0, lost[0].1.events, lost[0].1.bytes), ("unknown_connection", 2, 8));
}

#[test]
fn connections_that_are_never_closed_are_dropped_in_the_end() {
    let mut play = Play::new(Options { connection_limit: 10, ..Options::default() });
    for conn in 1000..2000 {
        play.open(ConnId(conn));
        play.on(conn, 0, HALF);
    }
    let shown = play.take().len();
    play.finish();
    assert_eq!(shown + play.take().len(), 1000);
    assert_eq!(play.balance().connections, 1001);
}

#[test]
fn no_more_is_held_over_all_than_allowed() {
    let limit = 100_000;
    let mut play = Play::new(Options { held_limit: limit, ..Options::default() });
    let head = b"POST /p HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
    for conn in 100..200 {
        play.open(ConnId(conn));
        play.on(conn, 0, head);
        play.on(conn, head.len() as u64, &[b'x'; 5000]);
        assert!(play.flow.stats().held <= limit + 5000);
    }
    let bodies_follow = |shown: &Shown| matches!(shown, Shown::Message(m) if m.completeness == Completeness::BodyFollows);
    assert!(play.take().iter().filter(|shown| bodies_follow(shown)).count() >= 80);
    play.finish();
    play.balance();
}

#[test]
fn beginnings_that_never_go_on_are_held_only_up_to_the_limit() {
    let limit = 100_000;
    let mut play = Play::new(Options { held_limit: limit, ..Options::default() });
    let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
    head.resize(20_000, b'x');
    for conn in 100..200 {
        play.open(ConnId(conn));
        play.on(conn, 0, &head);
        assert!(play.flow.stats().held <= limit);
    }
    let shown = play.take();
    assert_eq!(shown.len(), 95);
    assert!(shown.iter().all(|shown| matches!(shown, Shown::Data { bytes, .. } if *bytes == head)));
    // What is usual is waited for nevertheless.
    play.open(ConnId(200));
    play.on(200, 0, b"GET /whole HTTP/1.1\r\n");
    play.on(200, 21, b"\r\n");
    assert!(matches!(&play.take()[..], [Shown::Message(m)] if m.start == "GET /whole @"));
    play.finish();
    play.balance();
}

#[test]
fn only_so_many_bytes_wait_for_a_gap_to_fill() {
    let mut play = Play::new(Options { reorder_limit: 10_000, ..Options::default() });
    for n in 0..100 {
        play.on(CONN.0, 1 + n * 1000, &[b'x'; 1000]);
        assert!(play.flow.stats().held <= 11_000);
    }
    assert!(matches!(play.take()[0], Shown::Hole { offset: 0, len: 1, .. }));
    play.finish();
    assert_eq!(play.balance().lost.total().bytes, 1);
}

#[test]
fn an_impossible_offset_is_counted_as_lost() {
    let mut play = Play::new(Options::default());
    play.on(CONN.0, u64::MAX - 1, b"abc");
    play.on(CONN.0, u64::MAX - 3, b"abc");
    play.finish();
    assert!(matches!(play.take()[..], [Shown::Hole { .. }, Shown::Data { .. }]));
    play.balance();
}

#[test]
fn an_idle_connection_holds_nothing() {
    let mut play = Play::new(Options::default());
    for n in 0..100_u64 {
        let get = b"GET / HTTP/1.1\r\n\r\n";
        play.on(CONN.0, n * get.len() as u64, get);
        play.recv("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").recv("abc");
    }
    assert_eq!(play.flow.stats().held, 0);
    assert!(!play.flow.wants_tick());
}

#[test]
fn an_empty_piece_waits_for_nothing() {
    let mut play = Play::new(Options::default());
    play.on(CONN.0, 5, b"");
    play.event(Event::Hole(Hole {
        conn: CONN,
        ts: Timestamp(0),
        tid: 1,
        dir: Direction::Send,
        offset: 5,
        len: 5,
        cause: HoleCause::Lost,
    }));
    play.on(CONN.0, 0, b"12345");
    assert!(matches!(play.take()[..], [Shown::Data { .. }, Shown::Hole { offset: 5, .. }]));
    play.finish();
    play.balance();
}
