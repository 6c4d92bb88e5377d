//! A connection whose protocol is not known, yet or at all.

use crate::context::{Context, Input};
use crate::detect::{Beginning, beginning};
use crate::http1::Http1;
use crate::protocol::{Ending, Fed, Protocol};
use event::{Direction, Hole, Timestamp, Unparsed};

/// Whether the beginning of each direction is still to come.
#[derive(Debug)]
pub(crate) struct Undetected {
    fresh: [bool; 2],
}

impl Undetected {
    /// Nothing has come yet.
    pub(crate) fn from_the_beginning() -> Self {
        Self { fresh: [true; 2] }
    }

    /// Something has come before that is not known here.
    pub(crate) fn midway() -> Self {
        Self { fresh: [false; 2] }
    }

    pub(crate) fn feed(&mut self, ctx: &mut Context<'_>, input: &Input<'_>) -> Fed {
        let fresh = self.fresh[input.dir as usize];
        if !fresh && !input.call_start {
            return self.raw(ctx, input);
        }
        match beginning(input.bytes) {
            Beginning::Undecided if fresh && input.bytes.len() < ctx.options.head_limit => {
                Fed::consumed(0)
            }
            Beginning::Undecided | Beginning::Unknown => self.raw(ctx, input),
            known => match self.protocol(known, input.dir) {
                Some(protocol) => Fed { consumed: 0, becomes: Some(protocol) },
                None => self.raw(ctx, input),
            },
        }
    }

    fn protocol(&self, beginning: Beginning, dir: Direction) -> Option<Protocol> {
        let other_fresh = self.fresh[dir.reverse() as usize];
        match beginning {
            Beginning::Http1Request => {
                Some(Protocol::Http1(Box::new(Http1::new(dir, [true, other_fresh]))))
            }
            Beginning::Http1Response => {
                Some(Protocol::Http1(Box::new(Http1::new(dir.reverse(), [other_fresh, true]))))
            }
            _ => None,
        }
    }

    fn raw(&mut self, ctx: &mut Context<'_>, input: &Input<'_>) -> Fed {
        self.fresh[input.dir as usize] = false;
        input.raw_from(0, ctx, Unparsed::UnknownProtocol);
        Fed::consumed(input.bytes.len())
    }

    pub(crate) fn hole(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, hole: Hole) {
        self.raw(ctx, pending);
        ctx.hole(hole);
    }

    pub(crate) fn end(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, _: Ending) {
        self.raw(ctx, pending);
    }

    pub(crate) fn tick(
        &mut self,
        ctx: &mut Context<'_>,
        pending: &Input<'_>,
        now: Timestamp,
    ) -> bool {
        let due =
            !pending.bytes.is_empty() && now.since(pending.old_mark.ts) >= ctx.options.stream_after;
        if due {
            self.raw(ctx, pending);
        }
        due
    }
}
