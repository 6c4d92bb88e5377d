//! When packets may be written, so that one pass over the file finds every key in time.
//!
//! A packet *needs* secrets if a reader looks for them when it comes to this packet: at a TLS 1.3
//! `ServerHello` the handshake secrets of both sides, at any record after it the sender's traffic
//! secret, because the record may be the Finished message; in older versions the master secret at
//! the first `ChangeCipherSpec`. Secrets come through another channel than packets and may be late. So
//! a packet waits until what it needs was handed on, and everything behind it waits too: the file
//! stays in the order of time, and so does every flow.
//!
//! All of this has bounds ([`Limits`]): if a key is late by more than `order`, or half of `bytes` is
//! waiting, packets of other flows overtake; after `deadline` a packet waits no longer, and if no
//! secret of its connection was seen by then, no packet of its flow waits again. If more than `bytes`
//! is waiting, the oldest goes.

mod census;
mod flows;
mod queue;
mod sessions;
mod watch;

use crate::{ClientRandom, FlowKey, LinkType, Segment, dissect};
pub use census::Undecryptable;
use event::{Packet, Secret, Timestamp};
use flows::{Flow, Flows, Observed};
use queue::Queue;
use sessions::Sessions;
use std::time::Duration;

/// Bounds of what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a packet waits for secrets. Half a second: readers of rings are a tenth of a second
    /// late at most, and a program that is busy derives its keys some time after the packet came.
    pub deadline: Duration,
    /// How long packets of other flows wait with it, to keep the file in the order of time. As long
    /// as the deadline: readers show packets out of order as errors, and nobody sees half a second.
    pub order: Duration,
    /// Bytes that wait at most.
    pub bytes: usize,
    /// Flows and sessions that are remembered, each. A flow takes a few hundred bytes; one whose
    /// handshake comes out of order up to 32 KiB more.
    pub flows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(500),
            order: Duration::from_millis(500),
            bytes: 64 << 20,
            flows: 32_768,
        }
    }
}

/// What is to be written, in this order.
#[derive(Debug)]
pub enum Out<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// A secret that was not handed out before.
    Secret(&'a Secret),
    /// The connection with this client random is over.
    Ended(ClientRandom),
}

/// What was done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HoldbackStats {
    /// Packets that went through at once.
    pub passed: u64,
    /// Packets that waited, for their keys or behind one that did.
    pub held: u64,
    /// Of these, packets whose keys did not come in time.
    pub expired: u64,
    /// Of these, packets that had to go because of the bound on memory.
    pub squeezed: u64,
    /// How often packets of other flows were let past.
    pub reordered: u64,
    /// Flows that were given up: no secret of theirs was seen.
    pub given_up: u64,
    /// Secrets handed on.
    pub secrets: u64,
    /// Secrets that had been handed on before.
    pub duplicates: u64,
    /// Packets that wait now.
    pub waiting: u64,
    /// The most bytes that ever waited.
    pub most_bytes: u64,
}

/// Keeps packets until their keys were handed on.
///
/// Its clock is the latest time it was told, by a packet or by [`Holdback::tick`].
pub struct Holdback {
    limits: Limits,
    links: Vec<LinkType>,
    flows: Flows,
    sessions: Sessions,
    queue: Queue,
    now: Timestamp,
    /// Everything waits behind what waits. If not, only flows that wait for keys are in the queue.
    in_order: bool,
    /// Order returns once all packets up to this one are gone.
    resume_after: u64,
    stats: HoldbackStats,
}

/// Where packets and secrets go.
type Sink<'s> = &'s mut dyn FnMut(Out<'_>);

impl Holdback {
    /// Nothing waits yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            links: Vec::new(),
            flows: Flows::new(limits.flows),
            sessions: Sessions::new(limits.flows),
            queue: Queue::default(),
            now: Timestamp(0),
            in_order: true,
            resume_after: 0,
            stats: HoldbackStats::default(),
        }
    }

    /// Says what packets of an interface begin with. Without this, it is Ethernet.
    pub fn interface(&mut self, number: u32, link: LinkType) {
        let number = number as usize;
        if number >= self.links.len() {
            self.links.resize(number + 1, LinkType::default());
        }
        self.links[number] = link;
    }

    /// Takes the next packet.
    pub fn packet(&mut self, packet: &Packet<'_>, sink: Sink<'_>) {
        self.advance(packet.ts, sink);
        let link = self.links.get(packet.interface as usize).copied().unwrap_or_default();
        let observed = dissect(link, packet.bytes).and_then(|segment| self.observe(&segment, sink));
        if self.may_pass(observed.as_ref()) {
            self.stats.passed += 1;
            sink(Out::Packet(packet.clone()));
            self.after_emitting(observed.map(|observed| observed.key), sink);
            return;
        }
        self.stats.held += 1;
        let key = observed.as_ref().map(|observed| observed.key);
        let needs = observed.map(|observed| observed.needs).unwrap_or_default();
        let slot = self.queue.push(packet, key, needs, self.now);
        if let Some(flow) = key.and_then(|key| self.flows.get(&key)) {
            flow.pending.push_back(slot);
        }
        self.stats.most_bytes = self.stats.most_bytes.max(self.queue.bytes() as u64);
        self.release(sink);
    }

    /// Takes a secret, and hands it on unless it was there before.
    pub fn secret(&mut self, secret: &Secret, sink: Sink<'_>) {
        let Some((have, flows)) = self.sessions.add(secret) else {
            self.stats.duplicates += 1;
            return;
        };
        self.stats.secrets += 1;
        sink(Out::Secret(secret));
        for key in flows {
            // The ports may be another connection's by now.
            if let Some(flow) = self.flows.get(&key)
                && flow.random == Some(secret.client_random)
            {
                flow.learn(have);
                if !self.in_order {
                    self.release_flow(&key, sink);
                }
            }
        }
        self.release(sink);
    }

    /// It is now `now` at least: packets whose time is over go.
    pub fn tick(&mut self, now: Timestamp, sink: Sink<'_>) {
        self.advance(now, sink);
    }

    /// When [`Holdback::tick`] has something to do, if no packet or secret comes before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let wait = if self.in_order { self.limits.order } else { self.limits.deadline };
        let oldest = self.queue.oldest()?;
        Some(Timestamp(oldest.arrived.0.saturating_add(nanos(wait.min(self.limits.deadline)))))
    }

    /// Hands out everything that waits.
    pub fn finish(&mut self, sink: Sink<'_>) {
        while self.emit_oldest(sink) {}
    }

    /// What was done so far.
    pub fn stats(&self) -> HoldbackStats {
        HoldbackStats { waiting: self.queue.len() as u64, ..self.stats }
    }

    /// The connections up to now of which nothing can be decrypted. Of one whose handshake has just
    /// begun, the secrets may still come.
    pub fn undecryptable(&self) -> Undecryptable {
        self.flows.undecryptable()
    }

    fn advance(&mut self, now: Timestamp, sink: Sink<'_>) {
        if now > self.now {
            self.now = now;
            self.release(sink);
        }
    }

    fn observe(&mut self, segment: &Segment<'_>, sink: Sink<'_>) -> Option<Observed> {
        let (observed, evicted) = self.flows.observe(segment, &mut self.sessions);
        if let Some(evicted) = evicted {
            self.release_evicted(evicted, sink);
        }
        observed
    }

    fn may_pass(&mut self, observed: Option<&Observed>) -> bool {
        if self.in_order && !self.queue.is_empty() {
            return false;
        }
        let Some(observed) = observed else { return true };
        self.flows
            .get(&observed.key)
            .is_none_or(|flow| flow.pending.is_empty() && flow.has(observed.needs))
    }

    /// Hands out what may go, and keeps to the bounds.
    fn release(&mut self, sink: Sink<'_>) {
        loop {
            match self.queue.oldest() {
                None => self.in_order = true,
                Some(oldest) => {
                    let waited = self.now.since(oldest.arrived);
                    let is_over = waited >= self.limits.deadline;
                    let key = oldest.key;
                    if !self.in_order && oldest.number > self.resume_after {
                        self.in_order = true;
                    }
                    if self.is_ready(key, oldest.needs) {
                        self.emit_oldest(sink);
                        continue;
                    }
                    if is_over {
                        self.stats.expired += 1;
                        self.give_up(key);
                        self.emit_oldest(sink);
                        continue;
                    }
                    let much = self.queue.bytes() > self.limits.bytes / 2;
                    if self.in_order && (waited >= self.limits.order || much) {
                        self.let_past(sink);
                        continue;
                    }
                    if self.queue.bytes() > self.limits.bytes {
                        self.stats.squeezed += 1;
                        self.emit_oldest(sink);
                        continue;
                    }
                }
            }
            return;
        }
    }

    fn is_ready(&mut self, key: Option<FlowKey>, needs: crate::needs::Needs) -> bool {
        let Some(key) = key else { return true };
        self.flows.peek(&key).is_none_or(|flow| flow.has(needs))
    }

    /// The keys of a packet did not come in time. If there were some for its connection, more may
    /// come: a handshake can take longer than a packet waits.
    fn give_up(&mut self, key: Option<FlowKey>) {
        let Some(flow) = key.and_then(|key| self.flows.get(&key)) else { return };
        let since = *flow.waiting_since.get_or_insert(self.now);
        if !flow.knows_secrets() || self.now.since(since) >= 4 * self.limits.deadline {
            flow.settle();
            self.stats.given_up += 1;
        }
    }

    /// Gives up the order of time: hands out everything whose flow does not wait for keys.
    fn let_past(&mut self, sink: Sink<'_>) {
        self.in_order = false;
        self.resume_after = self.queue.last_number();
        self.stats.reordered += 1;
        for slot in self.queue.take_order() {
            let Some(held) = self.queue.get(slot) else { continue };
            let free = match held.key.and_then(|key| self.flows.get(&key)) {
                None => true,
                Some(flow) => flow.pending.front() == Some(&slot) && flow.has(held.needs),
            };
            if free {
                self.emit(slot, sink);
            } else {
                self.queue.keep(slot);
            }
        }
    }

    /// Hands out what a flow need not wait for any more; only for when others are not behind it.
    fn release_flow(&mut self, key: &FlowKey, sink: Sink<'_>) {
        while let Some(flow) = self.flows.get(key) {
            let Some(slot) = flow.pending.front().copied() else { return };
            let ready = self.queue.get(slot).is_none_or(|held| flow.has(held.needs));
            if !ready {
                return;
            }
            self.emit(slot, sink);
        }
    }

    fn release_evicted(&mut self, mut flow: Flow, sink: Sink<'_>) {
        while let Some(slot) = flow.pending.pop_front() {
            self.queue.untie(slot);
            if !self.in_order {
                self.emit(slot, sink);
            }
        }
        if let Some(random) = flow.random {
            sink(Out::Ended(random));
        }
    }

    fn emit_oldest(&mut self, sink: Sink<'_>) -> bool {
        let Some(slot) = self.queue.oldest_slot() else { return false };
        let key = self.queue.get(slot).and_then(|held| held.key);
        self.emit(slot, sink);
        if let (false, Some(key)) = (self.in_order, key) {
            self.release_flow(&key, sink);
        }
        true
    }

    fn emit(&mut self, slot: u32, sink: Sink<'_>) {
        let Some(held) = self.queue.take(slot) else { return };
        if let Some(flow) = held.key.and_then(|key| self.flows.get(&key))
            && flow.pending.front() == Some(&slot)
        {
            flow.pending.pop_front();
        }
        sink(Out::Packet(held.packet()));
        self.after_emitting(held.key, sink);
        self.queue.recycle(held);
    }

    /// A flow that is over is forgotten with its last packet.
    fn after_emitting(&mut self, key: Option<FlowKey>, sink: Sink<'_>) {
        let Some(key) = key else { return };
        if let Some(flow) = self.flows.peek(&key)
            && flow.is_over()
            && flow.pending.is_empty()
            && let Some(random) = self.flows.remove(&key).and_then(|flow| flow.random)
        {
            sink(Out::Ended(random));
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
