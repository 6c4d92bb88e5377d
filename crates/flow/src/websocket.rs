//! WebSocket (RFC 6455) after its handshake: both directions of a connection, or of an HTTP/2
//! stream.

mod deflate;
mod frame;
mod half;
mod message;

use crate::context::{Context, Input, Mark};
use crate::protocol::{Ending, Fed};
use event::{Direction, Hole, Timestamp, Unparsed};
use half::Half;

/// One connection.
#[derive(Debug)]
pub(crate) struct WebSocket {
    client: Direction,
    halves: [Half; 2],
}

impl WebSocket {
    /// After a handshake of which `extensions` were agreed.
    pub(crate) fn new(client: Direction, extensions: &[u8]) -> Self {
        let agreements = deflate::agreed(extensions);
        let half = |dir| {
            let of_client = dir == client;
            let agreement = agreements.map(|agreements| agreements[usize::from(!of_client)]);
            Half::new(dir, of_client, agreement)
        };
        Self { client, halves: [half(Direction::Send), half(Direction::Recv)] }
    }

    pub(crate) fn request_direction(&self) -> Direction {
        self.client
    }

    pub(crate) fn feed(&mut self, ctx: &mut Context<'_>, input: &Input<'_>) -> Fed {
        Fed::consumed(self.halves[input.dir as usize].feed(ctx, input))
    }

    /// As `feed`, but keeps what is incomplete itself. `offset` is that of `bytes`.
    pub(crate) fn push(
        &mut self,
        ctx: &mut Context<'_>,
        dir: Direction,
        mark: Mark,
        offset: u64,
        bytes: &[u8],
    ) {
        let half = &mut self.halves[dir as usize];
        let mut pending = std::mem::take(&mut half.pending);
        let old = pending.len();
        pending.extend_from_slice(bytes);
        let input = Input {
            dir,
            bytes: &pending,
            offset: offset.saturating_sub(old as u64),
            old,
            old_mark: mark,
            mark,
            call_start: old == 0,
        };
        let consumed = half.feed(ctx, &input);
        pending.drain(..consumed.min(pending.len()));
        half.pending = pending;
    }

    pub(crate) fn hole(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, hole: Hole) {
        pending.raw_from(0, ctx, Unparsed::Incomplete("bytes after this are missing"));
        let half = &mut self.halves[hole.dir as usize];
        half.hole(ctx, hole.len);
        ctx.hole(hole);
    }

    /// Notes that frames of a direction may be missing.
    pub(crate) fn lose(&mut self, ctx: &mut Context<'_>, dir: Direction) {
        let half = &mut self.halves[dir as usize];
        half.show_pending(ctx, "bytes after this are missing");
        half.hole(ctx, u64::MAX);
    }

    pub(crate) fn end(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, ending: Ending) {
        pending.raw_from(0, ctx, Unparsed::Incomplete(ending.why()));
        self.halves[pending.dir as usize].cut(ctx, ending.why());
    }

    /// Shows everything that is held.
    pub(crate) fn cut(&mut self, ctx: &mut Context<'_>, why: &'static str) {
        for half in &mut self.halves {
            half.show_pending(ctx, why);
            half.cut(ctx, why);
        }
    }

    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>, dir: Direction, now: Timestamp) {
        self.halves[dir as usize].tick(ctx, now);
    }

    pub(crate) fn tick_all(&mut self, ctx: &mut Context<'_>, now: Timestamp) {
        self.halves.iter_mut().for_each(|half| half.tick(ctx, now));
    }

    pub(crate) fn wants_tick(&self, dir: Direction) -> bool {
        self.halves[dir as usize].is_held_back()
    }

    pub(crate) fn is_held_back(&self) -> bool {
        self.halves.iter().any(Half::is_held_back)
    }

    pub(crate) fn held(&self) -> usize {
        self.halves.iter().map(Half::held).sum()
    }
}
