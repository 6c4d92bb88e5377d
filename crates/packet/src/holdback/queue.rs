//! The packets that wait, in the order in which they came.

use crate::FlowKey;
use crate::needs::Needs;
use event::{Direction, Owner, Packet, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// Buffers of packets that went are used again, if they are not larger than this.
const KEEP_CAPACITY: usize = 4096;
const KEEP_BUFFERS: usize = 4096;

/// A packet that waits.
pub(super) struct Held {
    /// Counts the packets that ever waited.
    pub(super) number: u64,
    pub(super) key: Option<FlowKey>,
    pub(super) needs: Needs,
    pub(super) arrived: Timestamp,
    ts: Timestamp,
    interface: u32,
    dir: Direction,
    original_len: u32,
    owner: Option<Arc<Owner>>,
    bytes: Vec<u8>,
}

impl Held {
    pub(super) fn packet(&self) -> Packet<'_> {
        Packet {
            ts: self.ts,
            interface: self.interface,
            dir: self.dir,
            original_len: self.original_len,
            bytes: &self.bytes,
            owner: self.owner.clone(),
        }
    }

    /// What it takes, the place in the queue included.
    fn cost(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}

/// Packets have slots, so that a flow can name its own; the order names slots and may name some
/// whose packet went already.
#[derive(Default)]
pub(super) struct Queue {
    slots: Vec<Option<Held>>,
    free: Vec<u32>,
    order: VecDeque<(u32, u64)>,
    spare: Vec<Vec<u8>>,
    bytes: usize,
    number: u64,
}

impl Queue {
    pub(super) fn push(
        &mut self,
        packet: &Packet<'_>,
        key: Option<FlowKey>,
        needs: Needs,
        arrived: Timestamp,
    ) -> u32 {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(packet.bytes);
        self.number += 1;
        let held = Held {
            number: self.number,
            key,
            needs,
            arrived,
            ts: packet.ts,
            interface: packet.interface,
            dir: packet.dir,
            original_len: packet.original_len,
            owner: packet.owner.clone(),
            bytes,
        };
        self.bytes += held.cost();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize] = Some(held);
        self.order.push_back((slot, self.number));
        slot
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Held> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// A packet's flow is forgotten: it waits for nothing but those before it.
    pub(super) fn untie(&mut self, slot: u32) {
        if let Some(Some(held)) = self.slots.get_mut(slot as usize) {
            held.key = None;
        }
    }

    /// The packet that waits longest.
    pub(super) fn oldest(&self) -> Option<&Held> {
        self.order.iter().find_map(|(slot, number)| self.named(*slot, *number))
    }

    pub(super) fn oldest_slot(&mut self) -> Option<u32> {
        while let Some((slot, number)) = self.order.front().copied() {
            if self.named(slot, number).is_some() {
                return Some(slot);
            }
            self.order.pop_front();
        }
        None
    }

    fn named(&self, slot: u32, number: u64) -> Option<&Held> {
        self.get(slot).filter(|held| held.number == number)
    }

    pub(super) fn take(&mut self, slot: u32) -> Option<Held> {
        let held = self.slots.get_mut(slot as usize)?.take()?;
        self.bytes -= held.cost();
        self.free.push(slot);
        // What went stays named only behind what waits.
        while let Some((slot, number)) = self.order.front().copied()
            && self.named(slot, number).is_none()
        {
            self.order.pop_front();
        }
        Some(held)
    }

    /// Takes back what [`Queue::take`] gave.
    pub(super) fn recycle(&mut self, held: Held) {
        let mut bytes = held.bytes;
        if bytes.capacity() <= KEEP_CAPACITY && self.spare.len() < KEEP_BUFFERS {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// Hands out the slots in order and forgets it; [`Queue::keep`] puts them back.
    pub(super) fn take_order(&mut self) -> Vec<u32> {
        let order = std::mem::take(&mut self.order);
        let live = |(slot, number)| self.named(slot, number).map(|_| slot);
        order.into_iter().filter_map(live).collect()
    }

    pub(super) fn keep(&mut self, slot: u32) {
        if let Some(number) = self.get(slot).map(|held| held.number) {
            self.order.push_back((slot, number));
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn last_number(&self) -> u64 {
        self.number
    }
}
