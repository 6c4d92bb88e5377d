//! What a parser is handed with each piece of input: where it is from and where records go.

use crate::Options;
use crate::http2::FieldList;
use crate::stats::Shown;
use event::{
    Connection, Content, Data, Direction, Field, HeldBody, Hole, Loss, Record, Timestamp, Unparsed,
};
use std::sync::Arc;

/// Takes records, one after the other.
pub trait Emit {
    /// Takes one record.
    fn emit(&mut self, record: &Record<'_>);
}

impl<F: FnMut(&Record<'_>)> Emit for F {
    fn emit(&mut self, record: &Record<'_>) {
        self(record);
    }
}

/// The call that brought a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) ts: Timestamp,
    pub(crate) tid: u32,
}

/// What all connections share: buffers that are used again, and the count of what is held.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// An empty vector whose allocation serves the next head.
    pub(crate) fields: Vec<Field<'static>>,
    /// An empty list whose allocation serves the next header block.
    pub(crate) field_list: FieldList,
    /// Bodies that were shown, whose allocations serve the next large ones once nobody keeps them any
    /// more: memory that comes fresh from the kernel for each costs more than filling it.
    spare: Vec<Arc<HeldBody>>,
    /// Decoded bytes of the message being shown.
    pub(crate) decoded: Vec<u8>,
    pub(crate) shown: Shown,
    pub(crate) holes: u64,
    /// Bytes that never came, and that nobody had reported.
    pub(crate) gaps: Loss,
    pub(crate) records: u64,
    pub(crate) held: usize,
}

/// One connection's surroundings while it handles one event.
pub(crate) struct Context<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) options: &'a Options,
    pub(crate) emit: &'a mut dyn Emit,
    pub(crate) shared: &'a mut Shared,
    /// The number of the connection's latest exchange.
    pub(crate) exchanges: &'a mut u64,
}

impl Shared {
    /// A buffer for a body of which this is the first piece.
    pub(crate) fn body_buffer(&mut self, first: &[u8]) -> HeldBody {
        /// A body that begins with less is likely to be small.
        const LARGE: usize = 4 << 10;
        if first.len() < LARGE {
            return HeldBody::default();
        }
        let free = self.spare.iter().position(|body| Arc::strong_count(body) == 1);
        let body = free.and_then(|free| Arc::into_inner(self.spare.swap_remove(free)));
        body.map(|mut body| {
            body.truncate(0);
            body
        })
        .unwrap_or_default()
    }

    /// Takes a body back that was shown.
    pub(crate) fn keep_buffer(&mut self, body: Arc<HeldBody>) {
        const KEPT: usize = 8;
        const MOST: usize = 2 << 20;
        if self.spare.len() < KEPT && body.capacity() <= MOST {
            self.spare.push(body);
        }
    }
}

impl Context<'_> {
    pub(crate) fn record(&mut self, mark: Mark, dir: Direction, content: Content<'_>) {
        self.shared.records += 1;
        self.emit.emit(&Record { ts: mark.ts, conn: self.connection, tid: mark.tid, dir, content });
    }

    /// Shows bytes as they are.
    pub(crate) fn raw(
        &mut self,
        mark: Mark,
        dir: Direction,
        offset: u64,
        bytes: &[u8],
        unparsed: Option<Unparsed>,
    ) {
        if bytes.is_empty() {
            return;
        }
        self.shared.shown.raw += bytes.len() as u64;
        self.record(mark, dir, Content::Data(Data { offset, bytes, unparsed }));
    }

    pub(crate) fn hole(&mut self, hole: Hole) {
        self.shared.holes += 1;
        let mark = Mark { ts: hole.ts, tid: hole.tid };
        self.record(mark, hole.dir, Content::Hole(hole));
    }

    pub(crate) fn next_exchange(&mut self) -> u64 {
        *self.exchanges += 1;
        *self.exchanges
    }

    /// True if `more` bytes can be held without breaking the bound over all connections.
    pub(crate) fn may_hold(&self, more: usize) -> bool {
        self.shared.held.saturating_add(more) <= self.options.held_limit
    }

    /// An empty vector of fields; give it back with [`Context::give_back`].
    pub(crate) fn take_fields<'f>(&mut self) -> Vec<Field<'f>> {
        std::mem::take(&mut self.shared.fields)
    }

    pub(crate) fn give_back(&mut self, mut fields: Vec<Field<'_>>) {
        const KEEP: usize = 256;
        if fields.capacity() > KEEP {
            return;
        }
        fields.clear();
        // An empty vector holds nothing of the old lifetime; collecting in place keeps its
        // allocation.
        self.shared.fields = fields
            .into_iter()
            .map(|_| Field { name: [].as_slice().into(), value: [].as_slice().into() })
            .collect();
    }
}

/// The bytes of one direction that a parser has not consumed yet, and where they are from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) dir: Direction,
    pub(crate) bytes: &'a [u8],
    /// Position of the first of them in the direction.
    pub(crate) offset: u64,
    /// How many of them had come before, and with which call the first of those.
    pub(crate) old: usize,
    pub(crate) old_mark: Mark,
    /// The call that brought the others.
    pub(crate) mark: Mark,
    /// True if nothing is old and the bytes begin a library call.
    pub(crate) call_start: bool,
}

impl<'a> Input<'a> {
    /// The call that brought the byte at `at`. What is old is always the beginning of one unit that
    /// was incomplete, so its first byte's call stands for all of it.
    pub(crate) fn mark_at(&self, at: usize) -> Mark {
        if at < self.old { self.old_mark } else { self.mark }
    }

    pub(crate) fn rest(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// Shows everything from `at` on as it is.
    pub(crate) fn raw_from(&self, at: usize, ctx: &mut Context<'_>, unparsed: Unparsed) {
        let offset = self.offset + at as u64;
        ctx.raw(self.mark_at(at), self.dir, offset, self.rest(at), Some(unparsed));
    }
}
