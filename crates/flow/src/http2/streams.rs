//! The streams of one connection, and the books about what they hold.

use super::stream::{Side, Stream};
use crate::context::Context;
use crate::message::Asked;
use event::Timestamp;
use foldhash::fast::FixedState;
use std::collections::{HashMap, VecDeque};

#[derive(Debug, Default)]
pub(super) struct Streams {
    by_id: HashMap<u32, Stream, FixedState>,
    /// In the order in which they began; may name some that are done.
    order: VecDeque<u32>,
    held: usize,
    /// How many of their sides only a tick will show.
    held_back: usize,
}

impl Streams {
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn held_back(&self) -> usize {
        self.held_back
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.by_id.get(&id)
    }

    /// All of them, in an order that does not depend on a hash.
    pub(super) fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.by_id.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Works on a stream.
    pub(super) fn with<R>(&mut self, id: u32, work: impl FnOnce(&mut Stream) -> R) -> Option<R> {
        let stream = self.by_id.get_mut(&id)?;
        let (held, held_back) = (stream.held(), stream.held_back());
        let result = work(stream);
        self.held = self.held - held + stream.held();
        self.held_back = self.held_back - held_back + stream.held_back();
        Some(result)
    }

    /// Begins a stream if there is none of that name, at the oldest's expense if there are too many.
    pub(super) fn begin(&mut self, ctx: &mut Context<'_>, id: u32) {
        if self.by_id.contains_key(&id) {
            return;
        }
        while self.by_id.len() >= ctx.options.stream_limit.max(1) {
            let Some(oldest) = self.order.pop_front() else { break };
            self.cut(ctx, oldest, "there are too many streams to go on holding it");
        }
        let stream = Stream { exchange: ctx.next_exchange(), ..Stream::default() };
        self.insert(id, stream);
    }

    /// Begins a stream whose request was seen elsewhere.
    pub(super) fn begin_asked(
        &mut self,
        id: u32,
        exchange: u64,
        asked: Option<(Asked, Timestamp)>,
    ) {
        let sides = [Side::Done, Side::Idle];
        self.insert(id, Stream { exchange, asked, sides, ..Stream::default() });
    }

    fn insert(&mut self, id: u32, stream: Stream) {
        self.held += stream.held();
        self.by_id.insert(id, stream);
        self.order.push_back(id);
    }

    /// Ends a stream early.
    pub(super) fn cut(&mut self, ctx: &mut Context<'_>, id: u32, why: &'static str) {
        self.with(id, |stream| stream.cut(ctx, why));
        if let Some(stream) = self.by_id.remove(&id) {
            self.held -= stream.held();
            self.held_back -= stream.held_back();
        }
        if self.order.len() > 2 * self.by_id.len() + 16 {
            let by_id = &self.by_id;
            self.order.retain(|id| by_id.contains_key(id));
        }
    }

    /// Forgets a stream both of whose sides have ended.
    pub(super) fn forget_if_done(&mut self, ctx: &mut Context<'_>, id: u32) {
        if self.get(id).is_some_and(Stream::is_done) {
            self.cut(ctx, id, "the stream has ended");
        }
    }

    pub(super) fn tick(&mut self, ctx: &mut Context<'_>, now: Timestamp) {
        if self.held_back == 0 {
            return;
        }
        for id in self.ids() {
            self.with(id, |stream| stream.tick(ctx, now));
        }
    }
}
