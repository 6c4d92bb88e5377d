//! What holds for every stream, however it is cut, damaged or made up.

use crate::support::{CONN, Part, Play, Shown};
use event::{Direction, Event, Hole, HoleCause, Timestamp};
use flow::Options;
use proptest::prelude::*;
use std::time::Duration;

type Calls = Vec<(Direction, Vec<u8>)>;

/// Streams that between them use everything that is parsed.
fn samples() -> Vec<Calls> {
    use Direction::{Recv, Send};
    let get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n\
                   0\r\nDigest: q\r\n\r\n";
    let gzip = {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all("text to compress ".repeat(100).as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    };
    let gzipped = [
        format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            gzip.len()
        )
        .as_bytes(),
        &gzip,
    ]
    .concat();
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\
                  data: 1\r\n\r\ndata: 2\n\nevent: x\rdata: 3\r\rdata: unfinished";
    let post = "POST /p HTTP/1.1\r\nContent-Length: 2500\r\nExpect: 100-continue\r\n\r\n";
    let upgrade = "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let frames: &[u8] = b"\x81\x02hi\x89\x00\x01\x02ab\x8a\x01p\x80\x02cd\
        \xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00\x88\x02\x03\xe8";
    let masked: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x82\x81\x01\x02\x03\x04\x05";
    vec![
        vec![
            (Send, get.into()),
            (Recv, ok.into()),
            (Send, [get, get].concat().into()),
            (Recv, [ok, chunked].concat().into()),
            (Send, get.replace("GET", "HEAD").into()),
            (Recv, ok[..ok.len() - 3].into()),
            (Send, get.into()),
            (Recv, gzipped),
            (Send, post.into()),
            (Recv, "HTTP/1.1 100 Continue\r\n\r\n".into()),
            (Send, vec![b'p'; 2500]),
            (Recv, "HTTP/1.1 200 OK\r\n\r\nuntil the end".into()),
        ],
        vec![(Recv, get.into()), (Send, events.into())],
        vec![
            (Send, upgrade.into()),
            (Recv, switch.into()),
            (Recv, frames.into()),
            (Send, masked.into()),
        ],
        crate::http2::recorded(),
        vec![(Recv, b"220 mail\r\n".into()), (Send, b"EHLO me\r\n".into()), (Recv, vec![0; 50])],
    ]
}

/// Adds `next` to `earlier` if it continues it.
fn join(earlier: &mut Shown, next: &Shown) -> bool {
    match (earlier, next) {
        (Shown::Data { dir, offset, bytes, unparsed }, Shown::Data { .. }) => {
            let Shown::Data { dir: next_dir, offset: at, bytes: more, unparsed: why } = next else {
                return false;
            };
            let end = *offset + bytes.len() as u64;
            let continues = (&*dir, &end, &*unparsed) == (next_dir, at, why);
            if continues {
                bytes.extend_from_slice(more);
            }
            continues
        }
        (Shown::Part(part), Shown::Part(more)) => {
            let continues = (part.exchange, part.of_request) == (more.exchange, more.of_request);
            if continues {
                assert!(!part.last, "nothing follows the last part");
                assert_eq!(part.offset + part.bytes.len() as u64, more.offset);
                let bytes = [part.bytes.as_slice(), &more.bytes].concat();
                let offset = part.offset;
                *part = Part { offset, bytes, ..more.clone() };
            }
            continues
        }
        _ => false,
    }
}

/// Joins what may be cut differently, and leaves out times.
fn normal(shown: Vec<Shown>) -> Vec<Shown> {
    let mut joined: Vec<Shown> = Vec::new();
    for mut next in shown {
        if let Shown::Message(message) = &mut next {
            message.ts = 0;
            message.latency = None;
        }
        // Parts of one body are joined even if parts of others lie between them.
        if !joined.iter_mut().rev().any(|earlier| join(earlier, &next)) {
            joined.push(next);
        }
    }
    joined
}

fn options(body_limit: usize) -> Options {
    Options { body_limit, ..Options::default() }
}

fn play_cut(calls: &Calls, cuts: &[usize], body_limit: usize) -> Vec<Shown> {
    let mut play = Play::new(options(body_limit));
    let mut cuts = cuts.iter().cycle();
    for (dir, bytes) in calls {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let len = cuts.next().map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
            let (piece, after) = rest.split_at(len);
            rest = after;
            play.chunk(*dir, piece, rest.is_empty());
        }
    }
    play.close();
    play.balance();
    normal(play.take())
}

/// Something that may happen to a call.
#[derive(Debug, Clone)]
enum Damage {
    Keep,
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    /// Part of it is reported missing.
    Hole(usize, usize),
    /// Part of it is missing and nobody says so.
    Skip(usize, usize),
    Twice,
    /// Its second half comes first.
    Swapped(usize),
    Tick(u64),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => Just(Damage::Keep),
        2 => (any::<usize>(), 1..=255_u8).prop_map(|(at, xor)| Damage::Flip(at, xor)),
        1 => (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (any::<usize>(), 1..50_usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        1 => (any::<usize>(), 1..50_usize).prop_map(|(at, len)| Damage::Hole(at, len)),
        1 => (any::<usize>(), 1..50_usize).prop_map(|(at, len)| Damage::Skip(at, len)),
        1 => Just(Damage::Twice),
        1 => any::<usize>().prop_map(Damage::Swapped),
        1 => (0..3_000_000_000_u64).prop_map(Damage::Tick),
    ]
}

/// Plays calls with damage, and keeps what every position of each direction held.
struct Damaged {
    play: Play,
    sent: [Vec<Option<u8>>; 2],
}

impl Damaged {
    fn bytes(&mut self, dir: Direction, bytes: &[u8], cut: usize) {
        for piece in bytes.chunks(cut.max(1)) {
            let offset = self.sent[dir as usize].len() as u64;
            self.play.chunk_at(dir, offset, piece, true);
            self.sent[dir as usize].extend(piece.iter().copied().map(Some));
        }
    }

    fn call(&mut self, dir: Direction, bytes: &[u8], damage: &Damage, cut: usize) {
        let at = |at: &usize| at % (bytes.len() + 1);
        let (begin, end) = match damage {
            Damage::Flip(from, _) | Damage::Insert(from, _) | Damage::Swapped(from) => {
                (at(from), at(from))
            }
            Damage::Remove(from, len) | Damage::Hole(from, len) | Damage::Skip(from, len) => {
                (at(from), (at(from) + len).min(bytes.len()))
            }
            Damage::Keep | Damage::Twice | Damage::Tick(_) => (bytes.len(), bytes.len()),
        };
        let (before, after) = (&bytes[..begin], &bytes[end..]);
        let offset = self.sent[dir as usize].len() as u64;
        if let Damage::Swapped(_) = damage {
            self.play.chunk_at(dir, offset + begin as u64, after, true);
            self.play.chunk_at(dir, offset, before, false);
            self.sent[dir as usize].extend(bytes.iter().copied().map(Some));
            return;
        }
        self.bytes(dir, before, cut);
        let missing = (end - begin) as u64;
        match damage {
            Damage::Flip(_, xor) => {
                let flipped: Vec<u8> = after
                    .iter()
                    .enumerate()
                    .map(|(n, b)| if n == 0 { b ^ xor } else { *b })
                    .collect();
                self.bytes(dir, &flipped, cut);
                return;
            }
            Damage::Insert(_, more) => self.bytes(dir, more, cut),
            Damage::Hole(..) if missing > 0 => {
                let offset = self.sent[dir as usize].len() as u64;
                let (ts, cause) = (Timestamp(self.play.now), HoleCause::Unreadable);
                let hole = Hole { conn: CONN, ts, tid: 1, dir, offset, len: missing, cause };
                self.play.event(Event::Hole(hole));
                self.sent[dir as usize].extend((0..missing).map(|_| None));
            }
            Damage::Skip(..) => self.sent[dir as usize].extend((0..missing).map(|_| None)),
            Damage::Twice => self.play.chunk_at(dir, offset, before, true),
            Damage::Tick(passed) => {
                self.play.tick_after(Duration::from_nanos(*passed));
            }
            _ => {}
        }
        self.bytes(dir, after, cut);
    }

    /// Ends it, and checks that the books are right.
    fn check(mut self, close: bool) {
        if close {
            self.play.close();
        } else {
            self.play.finish();
        }
        let stats = self.play.balance();
        let mut raw = 0;
        let mut bodies = 0;
        for shown in self.play.take() {
            match shown {
                Shown::Data { dir, offset, bytes, .. } => {
                    raw += bytes.len() as u64;
                    let end = offset as usize + bytes.len();
                    let sent = self.sent[dir as usize].get(offset as usize..end);
                    let sent: Vec<u8> =
                        sent.unwrap_or_default().iter().flatten().copied().collect();
                    assert_eq!(sent, bytes, "at {offset}");
                }
                Shown::Message(message) => bodies += message.encoded_len,
                _ => {}
            }
        }
        assert_eq!(raw, stats.shown.raw);
        assert!(bodies <= stats.shown.bodies);
        let sent: usize = self.sent.iter().map(|sent| sent.iter().flatten().count()).sum();
        assert_eq!(sent as u64, stats.accepted.total());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_a_stream_is_cut_changes_nothing(
        sample in 0..5_usize,
        cuts in proptest::collection::vec(1..200_usize, 1..20),
        // Above the largest server-sent event.
        body_limit in prop_oneof![Just(1 << 20), 40..300_usize],
    ) {
        let calls = &samples()[sample];
        let whole = play_cut(calls, &[], body_limit);
        prop_assert_eq!(play_cut(calls, &cuts, body_limit), whole);
    }

    #[test]
    fn no_byte_of_a_damaged_stream_is_lost(
        sample in 0..5_usize,
        damages in proptest::collection::vec(damage(), 1..20),
        cut in prop_oneof![1..20_usize, Just(usize::MAX)],
        body_limit in prop_oneof![Just(1 << 20), 1..300_usize],
        held_limit in prop_oneof![4 => Just(32 << 20), 1 => 0..3000_usize],
        head_limit in prop_oneof![4 => Just(256 << 10), 1 => 10..300_usize],
        close in any::<bool>(),
    ) {
        let options = Options { body_limit, held_limit, head_limit, ..Options::default() };
        let mut damaged = Damaged { play: Play::new(options), sent: [Vec::new(), Vec::new()] };
        for ((dir, bytes), damage) in samples()[sample].iter().zip(damages.iter().cycle()) {
            damaged.call(*dir, bytes, damage, cut);
        }
        damaged.check(close);
    }

    #[test]
    fn no_byte_of_random_streams_is_lost(
        calls in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..100)),
            1..20,
        ),
        begin in 0..5_usize,
    ) {
        let mut damaged =
            Damaged { play: Play::new(Options::default()), sent: [Vec::new(), Vec::new()] };
        // Random bytes behind the beginning of a known protocol reach its parser.
        for (dir, bytes) in samples()[begin].iter().take(2) {
            damaged.bytes(*dir, bytes, usize::MAX);
        }
        for (sent, bytes) in &calls {
            let dir = if *sent { Direction::Send } else { Direction::Recv };
            damaged.bytes(dir, bytes, usize::MAX);
        }
        damaged.check(true);
    }
}
