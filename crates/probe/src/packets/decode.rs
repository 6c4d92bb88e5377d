//! From ring buffer samples to packets.

use super::record;
use crate::clock::Clock;
use event::{Direction, Owner, Packet};
use std::collections::HashMap;
use std::sync::Arc;

/// Owners that are remembered; beyond this the memory starts anew.
const MAX_OWNERS: usize = 4096;

/// What was handed out of an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Captured {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// Turns samples into packets.
pub(super) struct Decoder {
    clock: Clock,
    owners: HashMap<(u32, u32, [u8; 16]), Arc<Owner>>,
    captured: Vec<Captured>,
}

impl Decoder {
    pub(super) fn new(clock: Clock, interfaces: usize) -> Self {
        let captured = vec![Captured::default(); interfaces];
        Self { clock, owners: HashMap::new(), captured }
    }

    /// What was handed out of interface number `interface`.
    pub(super) fn captured(&self, interface: usize) -> Captured {
        self.captured.get(interface).copied().unwrap_or_default()
    }

    pub(super) fn decode(&mut self, sample: &[u8], handle: &mut impl FnMut(Packet<'_>)) {
        // Our own programs write the samples: a malformed one cannot be, and is passed over.
        let Some((header, bytes)) = record::parse(sample) else { return };
        let Some(captured) = self.captured.get_mut(usize::from(header.interface)) else { return };
        captured.packets += 1;
        captured.bytes += u64::from(header.original);
        let owner = self.owner(&header);
        handle(Packet {
            ts: self.clock.at(header.ts),
            interface: u32::from(header.interface),
            dir: if header.direction == 0 { Direction::Send } else { Direction::Recv },
            original_len: header.original,
            bytes,
            owner,
        });
    }

    fn owner(&mut self, header: &record::Header) -> Option<Arc<Owner>> {
        if header.pid == 0 {
            return None;
        }
        let key = (header.pid, header.uid, header.comm);
        if self.owners.len() >= MAX_OWNERS && !self.owners.contains_key(&key) {
            self.owners.clear();
        }
        let owner = self.owners.entry(key).or_insert_with(|| {
            let comm = record::text(&header.comm).into();
            Arc::new(Owner { pid: header.pid, uid: header.uid, comm })
        });
        Some(Arc::clone(owner))
    }
}
