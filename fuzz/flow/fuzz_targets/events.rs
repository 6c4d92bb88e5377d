//! Any bytes are a script of events: whatever it says, nothing panics, and every byte that was
//! accepted is shown.
//!
//! The first byte chooses limits. Then come events: a byte that says what, a byte for a length or an
//! amount, and for chunks that many bytes of payload.

#![no_main]

use event::{
    Chunk, ConnId, Connection, Content, Direction, Event, Hole, HoleCause, Library, Record,
    Timestamp,
};
use flow::{Flow, Options};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const CONN: ConnId = ConnId(1);

fn options(choice: u8) -> Options {
    let mut options = Options::default();
    if choice & 1 != 0 {
        options.body_limit = 20;
    }
    if choice & 2 != 0 {
        options.head_limit = 100;
    }
    if choice & 4 != 0 {
        options.held_limit = 1000;
    }
    if choice & 8 != 0 {
        options.stream_limit = 2;
    }
    if choice & 16 != 0 {
        options.reorder_limit = 50;
    }
    options.parse = choice & 128 == 0;
    options
}

fn open() -> Event<'static> {
    Event::Open(Connection {
        id: CONN,
        ts: Timestamp(0),
        pid: 1,
        uid: 0,
        comm: Arc::from("fuzz"),
        exe: None,
        library: Arc::new(Library { path: String::new(), build_id: None }),
        local: None,
        remote: None,
    })
}

/// Plays the script; gives back how many bytes were shown raw.
fn play(flow: &mut Flow, script: &[u8], raw: &mut u64) {
    let mut out = |record: &Record<'_>| {
        if let Content::Data(data) = &record.content {
            *raw += data.bytes.len() as u64;
        }
    };
    flow.event(open(), &mut out);
    let mut position = [0_u64; 2];
    let mut ts = 0;
    let mut rest = script;
    while let [what, amount, after @ ..] = rest {
        rest = after;
        ts += 1_000_000;
        let dir = if what & 1 == 0 { Direction::Send } else { Direction::Recv };
        let at = &mut position[dir as usize];
        let amount = usize::from(*amount);
        let event = match what >> 1 & 7 {
            6 => {
                let len = amount as u64;
                let hole = Hole {
                    conn: CONN,
                    ts: Timestamp(ts),
                    tid: 1,
                    dir,
                    offset: *at,
                    len,
                    cause: HoleCause::Lost,
                };
                *at += len;
                Event::Hole(hole)
            }
            7 => {
                ts += amount as u64 * 10_000_000;
                Event::Tick { ts: Timestamp(ts) }
            }
            kind => {
                // A large amount stands for all that is left.
                let len = if amount > 250 { rest.len() } else { amount.min(rest.len()) };
                let (bytes, after) = rest.split_at(len);
                rest = after;
                // Mostly in order; sometimes what comes is ahead, or had come before.
                let offset = match kind {
                    4 => *at + 5,
                    5 => at.saturating_sub(3),
                    _ => *at,
                };
                *at = (*at).max(offset + len as u64);
                Event::Chunk(Chunk {
                    conn: CONN,
                    ts: Timestamp(ts),
                    tid: 1,
                    dir,
                    offset,
                    end_of_call: kind != 3,
                    bytes,
                })
            }
        };
        flow.event(event, &mut out);
    }
    flow.finish(&mut out);
}

fuzz_target!(|script: &[u8]| {
    let Some((choice, script)) = script.split_first() else { return };
    let mut flow = Flow::new(options(*choice));
    let mut raw = 0;
    play(&mut flow, script, &mut raw);
    let stats = flow.stats();
    assert_eq!(stats.accepted.total(), stats.shown.total());
    assert_eq!(stats.shown.raw, raw);
    assert_eq!(stats.held, 0);
    assert!(!flow.wants_tick());
});
