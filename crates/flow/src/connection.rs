//! One connection: its two directions put in order, and handed to whatever parses them.

use crate::Options;
use crate::context::{Context, Emit, Input, Mark, Shared};
use crate::protocol::{Ending, Protocol};
use crate::reassembly::{Piece, Place, Reassembly};
use crate::stats::FlowStats;
use crate::undetected::Undetected;
use event::{Chunk, Connection, Direction, Hole, HoleCause, Timestamp, Unparsed};

/// Most connections are idle most of the time, and there may be many.
const _: () = assert!(size_of::<Link>() + size_of::<crate::http1::Http1>() <= 1024);

const DIRECTIONS: [Direction; 2] = [Direction::Send, Direction::Recv];

/// A buffer that is larger than this is not kept for the next time: there may be many connections.
const KEEP: usize = 512;

/// What the flow lends a connection while it handles an event.
pub(crate) struct Surroundings<'a> {
    pub(crate) options: &'a Options,
    pub(crate) stats: &'a mut FlowStats,
    pub(crate) shared: &'a mut Shared,
    pub(crate) emit: &'a mut dyn Emit,
}

/// A connection and everything that is known and held of it.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    halves: [Half; 2],
    protocol: Protocol,
    exchanges: u64,
    /// What it held when that was last added up, and how much of it was pending.
    held: usize,
    pending: usize,
    /// It is on the flow's list of those that wait for a tick.
    pub(crate) waiting: bool,
    /// Only a tick will show something that it holds.
    pub(crate) wants_tick: bool,
    /// Something came since the flow last looked for idle connections.
    pub(crate) active: bool,
    /// Its parsing state was given up, and nothing came since.
    pub(crate) evicted: bool,
    pub(crate) in_evicted_queue: bool,
}

/// One direction.
#[derive(Debug)]
struct Half {
    order: Reassembly,
    /// What came and was not consumed by the parser: always the beginning of one unit.
    pending: Vec<u8>,
    pending_mark: Mark,
    /// The byte at the next position begins a library call.
    call_start: bool,
}

impl Half {
    fn new() -> Self {
        let never = Mark { ts: Timestamp(0), tid: 0 };
        Self {
            order: Reassembly::default(),
            pending: Vec::new(),
            pending_mark: never,
            call_start: true,
        }
    }

    fn input<'a>(&self, dir: Direction, pending: &'a [u8]) -> Input<'a> {
        Input {
            dir,
            bytes: pending,
            offset: self.order.next() - pending.len() as u64,
            old: pending.len(),
            old_mark: self.pending_mark,
            mark: self.pending_mark,
            call_start: false,
        }
    }
}

/// A run of bytes at the next position.
struct Next<'a> {
    mark: Mark,
    offset: u64,
    bytes: &'a [u8],
    call_start: bool,
}

impl Link {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            halves: [Half::new(), Half::new()],
            protocol: Protocol::Undetected(Undetected::from_the_beginning()),
            exchanges: 0,
            held: 0,
            pending: 0,
            waiting: false,
            wants_tick: false,
            active: true,
            evicted: false,
            in_evicted_queue: false,
        }
    }

    pub(crate) fn chunk(&mut self, around: &mut Surroundings<'_>, chunk: &Chunk<'_>) {
        let mark = Mark { ts: chunk.ts, tid: chunk.tid };
        let (dir, bytes) = (chunk.dir, chunk.bytes);
        let len = bytes.len() as u64;
        around.stats.chunks.add(dir, 1);
        let place = self.halves[dir as usize].order.place(chunk.offset, len);
        let fresh = match place {
            Place::Next { skip } => len - skip,
            Place::Ahead => len,
            Place::Behind => 0,
            Place::Impossible => {
                around.stats.lost.add("impossible_offset", 1, len);
                return;
            }
        };
        if fresh < len {
            let (behind, _) = bytes.split_at((len - fresh) as usize);
            self.behind(around, mark, dir, chunk.offset, behind);
        }
        match place {
            Place::Next { skip } => {
                around.stats.accepted.add(dir, fresh);
                let next = Next {
                    mark,
                    offset: chunk.offset + skip,
                    bytes: bytes.get(skip as usize..).unwrap_or_default(),
                    call_start: skip == 0 && self.halves[dir as usize].call_start,
                };
                self.deliver(around, dir, &next);
                self.halves[dir as usize].call_start = chunk.end_of_call;
                self.deliver_ready(around, dir);
            }
            // An empty piece has nothing that could wait.
            Place::Ahead if len == 0 => {}
            Place::Ahead => {
                around.stats.accepted.add(dir, len);
                let end_of_call = chunk.end_of_call;
                let piece = Piece::Bytes { bytes: bytes.to_vec(), mark, end_of_call };
                self.hold(around, dir, chunk.offset, piece);
            }
            Place::Behind | Place::Impossible => {}
        }
    }

    pub(crate) fn hole(&mut self, around: &mut Surroundings<'_>, hole: Hole) {
        if hole.len == 0 {
            return;
        }
        let order = &mut self.halves[hole.dir as usize].order;
        if matches!(hole.cause, HoleCause::Lost | HoleCause::Unreadable) {
            around.stats.reported += hole.len;
        }
        match order.place(hole.offset, hole.len) {
            Place::Next { skip } => {
                let hole = Hole { offset: hole.offset + skip, len: hole.len - skip, ..hole };
                self.deliver_hole(around, hole, true);
                self.deliver_ready(around, hole.dir);
            }
            Place::Ahead => self.hold(around, hole.dir, hole.offset, Piece::Hole(hole)),
            Place::Behind | Place::Impossible => {}
        }
    }

    /// Handles bytes at positions that have been passed: they are duplicates, or come too late.
    fn behind(
        &mut self,
        around: &mut Surroundings<'_>,
        mark: Mark,
        dir: Direction,
        offset: u64,
        bytes: &[u8],
    ) {
        let end = offset + bytes.len() as u64;
        let mut late = 0;
        while let Some(gap) = self.halves[dir as usize].order.take_given_up(offset, end) {
            let from = gap.from;
            let found = bytes.get((from - offset) as usize..(gap.to - offset) as usize);
            let found = found.unwrap_or_default();
            late += found.len() as u64;
            if !gap.reported {
                around.shared.gaps.bytes -= found.len() as u64;
            }
            let why = Unparsed::Incomplete("this came after it had been given up for lost");
            let why = around.options.parse.then_some(why);
            self.context(around, |ctx, _, _| ctx.raw(mark, dir, from, found, why));
        }
        around.stats.accepted.add(dir, late);
        around.stats.late += late;
        around.stats.duplicates.add(dir, bytes.len() as u64 - late);
    }

    /// Keeps a piece for later. If that is too much, what it waits for is given up.
    fn hold(&mut self, around: &mut Surroundings<'_>, dir: Direction, offset: u64, piece: Piece) {
        let twice = self.halves[dir as usize].order.hold(offset, piece);
        around.stats.duplicates.add(dir, twice);
        around.stats.accepted.subtract(dir, twice);
        let in_all = around.shared.held + self.halves[dir as usize].order.held();
        while self.halves[dir as usize].order.held() > around.options.reorder_limit
            || (in_all > around.options.held_limit && self.halves[dir as usize].order.has_gap())
        {
            self.give_up_gap(around, dir);
        }
    }

    /// Declares lost what is missing before the first waiting piece.
    fn give_up_gap(&mut self, around: &mut Surroundings<'_>, dir: Direction) {
        if let Some(gap) = self.halves[dir as usize].order.gap(self.connection.id, dir) {
            around.shared.gaps.events += 1;
            around.shared.gaps.bytes += gap.len;
            self.deliver_hole(around, gap, false);
        }
        self.deliver_ready(around, dir);
    }

    fn deliver_ready(&mut self, around: &mut Surroundings<'_>, dir: Direction) {
        while let Some((offset, piece)) = self.halves[dir as usize].order.pop_ready() {
            let next = self.halves[dir as usize].order.next();
            let skip = (next - offset).min(piece.len());
            match piece {
                Piece::Bytes { bytes, mark, end_of_call } => {
                    let (behind, bytes) = bytes.split_at(skip as usize);
                    around.stats.accepted.subtract(dir, skip);
                    self.behind(around, mark, dir, offset, behind);
                    let call_start = skip == 0 && self.halves[dir as usize].call_start;
                    self.deliver(around, dir, &Next { mark, offset: next, bytes, call_start });
                    self.halves[dir as usize].call_start = end_of_call;
                }
                Piece::Hole(hole) if hole.len > skip => {
                    let hole = Hole { offset: next, len: hole.len - skip, ..hole };
                    self.deliver_hole(around, hole, true);
                }
                Piece::Hole(_) => {}
            }
        }
    }

    /// Hands bytes to the parser.
    fn deliver(&mut self, around: &mut Surroundings<'_>, dir: Direction, next: &Next<'_>) {
        self.halves[dir as usize].order.advance(next.offset + next.bytes.len() as u64);
        if !around.options.parse {
            let Next { mark, offset, bytes, .. } = *next;
            self.context(around, |ctx, _, _| ctx.raw(mark, dir, offset, bytes, None));
            return;
        }
        let half = &mut self.halves[dir as usize];
        if half.pending.is_empty() {
            let input = Input {
                dir,
                bytes: next.bytes,
                offset: next.offset,
                old: 0,
                old_mark: next.mark,
                mark: next.mark,
                call_start: next.call_start,
            };
            let consumed = self.feed(around, input);
            let half = &mut self.halves[dir as usize];
            half.pending.extend_from_slice(next.bytes.get(consumed..).unwrap_or_default());
            half.pending_mark = next.mark;
            return;
        }
        let mut pending = std::mem::take(&mut half.pending);
        let old = pending.len();
        let old_mark = half.pending_mark;
        pending.extend_from_slice(next.bytes);
        let input = Input {
            dir,
            bytes: &pending,
            offset: next.offset - old as u64,
            old,
            old_mark,
            mark: next.mark,
            call_start: false,
        };
        let consumed = self.feed(around, input).min(pending.len());
        pending.drain(..consumed);
        if pending.capacity() > KEEP.max(4 * pending.len()) {
            pending.shrink_to(pending.len());
        }
        let half = &mut self.halves[dir as usize];
        half.pending = pending;
        if consumed >= old {
            half.pending_mark = next.mark;
        }
    }

    /// Feeds one direction until nothing more is consumed, across changes of protocol; gives back
    /// how much was.
    fn feed(&mut self, around: &mut Surroundings<'_>, input: Input<'_>) -> usize {
        let mut input = input;
        let mut total = 0;
        loop {
            let fed = self.context(around, |ctx, protocol, _| protocol.feed(ctx, &input));
            total += fed.consumed;
            input = Input {
                bytes: input.rest(fed.consumed),
                offset: input.offset + fed.consumed as u64,
                old: input.old.saturating_sub(fed.consumed),
                call_start: input.call_start && fed.consumed == 0,
                ..input
            };
            let Some(protocol) = fed.becomes else { return total };
            self.protocol = protocol;
            self.feed_other(around, input.dir.reverse());
        }
    }

    /// Feeds what is pending in the direction whose bytes did not bring the change of protocol.
    fn feed_other(&mut self, around: &mut Surroundings<'_>, dir: Direction) {
        let mut pending = std::mem::take(&mut self.halves[dir as usize].pending);
        if !pending.is_empty() {
            let input = self.halves[dir as usize].input(dir, &pending);
            let fed = self.context(around, |ctx, protocol, _| protocol.feed(ctx, &input));
            pending.drain(..fed.consumed.min(pending.len()));
            if let Some(protocol) = fed.becomes {
                self.protocol = protocol;
            }
        }
        self.halves[dir as usize].pending = pending;
    }

    fn deliver_hole(&mut self, around: &mut Surroundings<'_>, hole: Hole, reported: bool) {
        let parse = around.options.parse;
        self.context(around, |ctx, protocol, halves| {
            let half = &mut halves[hole.dir as usize];
            let pending = std::mem::take(&mut half.pending);
            if parse {
                protocol.hole(ctx, &half.input(hole.dir, &pending), hole);
            } else {
                ctx.hole(hole);
            }
            half.order.give_up(&hole, reported);
            half.call_start = true;
        });
    }

    /// Handles the news that everything before `now` has come.
    pub(crate) fn tick(&mut self, around: &mut Surroundings<'_>, now: Timestamp) {
        for dir in DIRECTIONS {
            while self.halves[dir as usize].order.first_waiting().is_some_and(|ts| ts <= now) {
                self.give_up_gap(around, dir);
            }
            self.context(around, |ctx, protocol, halves| {
                let half = &mut halves[dir as usize];
                let shown = protocol.tick(ctx, &half.input(dir, &half.pending), now);
                if shown {
                    half.pending = Vec::new();
                }
            });
        }
    }

    /// True if something is held that only a tick will show.
    pub(crate) fn is_held_back(&self) -> bool {
        DIRECTIONS.into_iter().any(|dir| {
            let half = &self.halves[dir as usize];
            half.order.has_gap() || self.protocol.wants_tick(dir, !half.pending.is_empty())
        })
    }

    /// Shows everything that is held; what comes after that is midway in something unknown.
    pub(crate) fn end(&mut self, around: &mut Surroundings<'_>, ending: Ending) {
        for dir in DIRECTIONS {
            while self.halves[dir as usize].order.has_gap() {
                self.give_up_gap(around, dir);
            }
        }
        // Requests first: the direction that spoke first ends first.
        let first = self.protocol.request_direction();
        for dir in [first, first.reverse()] {
            self.context(around, |ctx, protocol, halves| {
                let half = &mut halves[dir as usize];
                let pending = std::mem::take(&mut half.pending);
                protocol.end(ctx, &half.input(dir, &pending), ending);
            });
        }
        self.protocol = Protocol::Undetected(Undetected::midway());
    }

    /// True if too much is pending over all connections, and this one is among those to blame.
    pub(crate) fn must_give_up(&self, around: &Surroundings<'_>) -> bool {
        /// What is less than this is the beginning of something usual.
        const BLAMELESS: usize = 4 << 10;
        let pending = self.pending_now();
        let in_all = around.shared.pending - self.pending + pending;
        pending > BLAMELESS && in_all > around.options.held_limit
    }

    fn pending_now(&self) -> usize {
        self.halves.iter().map(|half| half.pending.len()).sum()
    }

    /// As `count_held`, for what is pending.
    pub(crate) fn count_pending(&mut self) -> (usize, usize) {
        let now = self.pending_now();
        (std::mem::replace(&mut self.pending, now), now)
    }

    /// What was held when it was last added up.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// What was pending then.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Adds up what is held, and gives back what it was before and is now.
    pub(crate) fn count_held(&mut self) -> (usize, usize) {
        let halves = self.halves.iter().map(|half| half.pending.len() + half.order.held());
        let now = halves.sum::<usize>() + self.protocol.held();
        (std::mem::replace(&mut self.held, now), now)
    }

    fn context<R>(
        &mut self,
        around: &mut Surroundings<'_>,
        use_it: impl FnOnce(&mut Context<'_>, &mut Protocol, &mut [Half; 2]) -> R,
    ) -> R {
        let mut ctx = Context {
            connection: &self.connection,
            options: around.options,
            emit: around.emit,
            shared: around.shared,
            exchanges: &mut self.exchanges,
        };
        use_it(&mut ctx, &mut self.protocol, &mut self.halves)
    }
}
