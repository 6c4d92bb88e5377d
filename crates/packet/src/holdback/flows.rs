//! The flows in which a handshake was seen, and what is known of each.

use super::census::{Census, Undecryptable};
use super::sessions::Sessions;
use super::watch::{Watch, is_encrypted};
use crate::needs::Needs;
use crate::{ClientRandom, FlowKey, Segment, Side, Transport};
use event::Timestamp;
use foldhash::fast::RandomState;
use lru::LruCache;
use std::collections::VecDeque;
use std::num::NonZero;

/// A packet of a flow that is followed.
pub(super) struct Observed {
    pub(super) key: FlowKey,
    pub(super) needs: Needs,
}

/// One flow.
pub(super) struct Flow {
    /// Reads the handshake; nothing once all is known, or nothing will be.
    watch: Option<Watch>,
    client: Side,
    pub(super) random: Option<ClientRandom>,
    /// Secrets that were handed on; `None` if there were none.
    have: Option<Needs>,
    /// All that packets up to now need.
    needed: Needs,
    settled: bool,
    /// Since when secrets have been overdue.
    pub(super) waiting_since: Option<Timestamp>,
    /// Slots of its packets that wait, in order.
    pub(super) pending: VecDeque<u32>,
    ended: [bool; 2],
}

impl Flow {
    fn new(watch: Watch, client: Side) -> Self {
        Self {
            watch: Some(watch),
            client,
            random: None,
            have: None,
            needed: Needs::NONE,
            settled: false,
            waiting_since: None,
            pending: VecDeque::new(),
            ended: [false; 2],
        }
    }

    /// Whether a packet that needs this may go.
    pub(super) fn has(&self, needs: Needs) -> bool {
        self.settled || self.have.unwrap_or_default().contains(needs)
    }

    pub(super) fn knows_secrets(&self) -> bool {
        self.have.is_some()
    }

    /// Secrets were handed on.
    pub(super) fn learn(&mut self, have: Needs) {
        self.have = Some(have);
        self.waiting_since = None;
        self.settle_if_complete();
    }

    /// No packet of it will need more: the server has chosen, and everything is there that this and
    /// what came before asks for.
    fn settle_if_complete(&mut self) {
        let chosen = self.watch.as_ref().is_some_and(Watch::server_has_chosen);
        let have = self.have.unwrap_or_default();
        if chosen && have.is_complete() && have.contains(self.needed) {
            self.settle();
        }
    }

    /// No packet of it waits from now on.
    pub(super) fn settle(&mut self) {
        self.settled = true;
        self.watch = None;
    }

    /// It came so far that something is encrypted, and none of its secrets did.
    fn lacks_secrets(&self) -> bool {
        self.random.is_some() && self.needed != Needs::NONE && !self.knows_secrets()
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended == [true; 2]
    }

    fn observe(&mut self, segment: &Segment<'_>, sessions: &mut Sessions) -> Needs {
        if let Transport::Tcp(tcp) = segment.transport {
            self.ended[segment.from as usize] |= tcp.fin;
            if tcp.rst {
                self.ended = [true; 2];
            }
        }
        let Some(watch) = &mut self.watch else { return Needs::NONE };
        let Ok(seen) = watch.packet(segment.from == self.client, &segment.transport) else {
            self.settle();
            return Needs::NONE;
        };
        if let Some(random) = seen.client_random
            && self.random != Some(random)
        {
            self.random = Some(random);
            self.have = sessions.join(random, segment.key);
        }
        self.needed = self.needed.with(seen.needs);
        self.settle_if_complete();
        seen.needs
    }
}

/// The flows that were seen last.
pub(super) struct Flows {
    by_key: LruCache<FlowKey, Flow, RandomState>,
    census: Census,
}

impl Flows {
    pub(super) fn new(most: usize) -> Self {
        let most = NonZero::new(most).unwrap_or(NonZero::<usize>::MIN);
        Self {
            by_key: LruCache::with_hasher(most, RandomState::default()),
            census: Census::new(most.get()),
        }
    }

    /// Reads a packet. Returns what it needs, if its flow is followed, and a flow that had to make
    /// room for it.
    pub(super) fn observe(
        &mut self,
        segment: &Segment<'_>,
        sessions: &mut Sessions,
    ) -> (Option<Observed>, Option<Flow>) {
        let key = segment.key;
        let known = if self.by_key.is_empty() { None } else { self.by_key.get_mut(&key) };
        if let Some(flow) = known {
            // A flow that is settled may begin again: a new connection between the same ports.
            if flow.watch.is_none()
                && let Some(watch) = Watch::begin(&segment.transport)
            {
                self.census.ended(key, flow.lacks_secrets());
                let pending = std::mem::take(&mut flow.pending);
                *flow = Flow { pending, ..Flow::new(watch, segment.from) };
            }
            let needs = flow.observe(segment, sessions);
            return (Some(Observed { key, needs }), None);
        }
        let Some(watch) = Watch::begin(&segment.transport) else {
            if is_encrypted(&segment.transport) {
                self.census.encrypted(key);
            }
            return (None, None);
        };
        let mut flow = Flow::new(watch, segment.from);
        let needs = flow.observe(segment, sessions);
        let evicted = self.by_key.push(key, flow).map(|(key, flow)| {
            self.census.ended(key, flow.lacks_secrets());
            flow
        });
        (Some(Observed { key, needs }), evicted)
    }

    pub(super) fn get(&mut self, key: &FlowKey) -> Option<&mut Flow> {
        self.by_key.get_mut(key)
    }

    pub(super) fn peek(&self, key: &FlowKey) -> Option<&Flow> {
        self.by_key.peek(key)
    }

    pub(super) fn remove(&mut self, key: &FlowKey) -> Option<Flow> {
        let flow = self.by_key.pop(key)?;
        self.census.ended(*key, flow.lacks_secrets());
        Some(flow)
    }

    /// The connections up to now of which nothing can be decrypted.
    pub(super) fn undecryptable(&self) -> Undecryptable {
        let mut counts = self.census.counts();
        let open = self.by_key.iter().filter(|(_, flow)| flow.lacks_secrets());
        counts.without_secret += open.count() as u64;
        counts
    }
}
