//! A connection whose protocol is not known, yet or at all.

use crate::context::{Context, Input};
use crate::detect::{Beginning, beginning};
use crate::http1::Http1;
use crate::http2::{Http2, frame};
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
        let protocol = match beginning(input.bytes) {
            Beginning::Undecided if fresh && input.bytes.len() < ctx.options.head_limit => {
                return Fed::consumed(0);
            }
            Beginning::Undecided | Beginning::Unknown => {
                // The capture may have begun in the middle of a connection.
                if !frame::is_likely_run(input.bytes) {
                    return self.raw(ctx, input);
                }
                let mut http2 = Http2::midway(ctx.options.head_limit);
                http2.lose(input.dir.reverse());
                Protocol::Http2(Box::new(http2))
            }
            Beginning::Http1Request => self.http1(input.dir),
            Beginning::Http1Response => self.http1(input.dir.reverse()),
            Beginning::Http2Client => self.http2(ctx, input.dir, input.dir),
            Beginning::Http2Server => self.http2(ctx, input.dir, input.dir.reverse()),
        };
        Fed { consumed: 0, becomes: Some(protocol) }
    }

    fn http1(&self, request_dir: Direction) -> Protocol {
        let fresh = [request_dir, request_dir.reverse()].map(|dir| self.fresh[dir as usize]);
        Protocol::Http1(Box::new(Http1::new(request_dir, fresh)))
    }

    /// `dir` is the direction whose beginning is at hand.
    fn http2(&self, ctx: &Context<'_>, dir: Direction, client: Direction) -> Protocol {
        let mut http2 = Http2::from_the_beginning(client, ctx.options.head_limit);
        if !self.fresh[dir.reverse() as usize] {
            http2.lose(dir.reverse());
        }
        Protocol::Http2(Box::new(http2))
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
