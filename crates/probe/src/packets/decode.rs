//! From ring buffer samples to packets.

use super::{record, segments};
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
    /// How many more these are than the kernel counted, because it carried several as one.
    pub(super) split: u64,
    pub(super) split_bytes: u64,
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
        let Some(captured) = self.captured.get(usize::from(header.interface)) else { return };
        let before = *captured;
        let interface = u32::from(header.interface);
        let dir = if header.direction == 0 { Direction::Send } else { Direction::Recv };
        let ts = self.clock.at(header.ts);
        let owner = self.owner(&header);
        if header.segment != 0 {
            let mut now = before;
            let raw = header.raw != 0;
            let split =
                segments::split(bytes, header.original, header.segment, raw, |bytes, original| {
                    now.packets += 1;
                    now.bytes += u64::from(original);
                    let owner = owner.clone();
                    handle(Packet { ts, interface, dir, original_len: original, bytes, owner });
                });
            if split {
                now.split += now.packets - before.packets - 1;
                // Each has headers.
                now.split_bytes += (now.bytes - before.bytes) - u64::from(header.original);
                self.captured[usize::from(header.interface)] = now;
                return;
            }
        }
        let captured = &mut self.captured[usize::from(header.interface)];
        captured.packets += 1;
        captured.bytes += u64::from(header.original);
        handle(Packet { ts, interface, dir, original_len: header.original, bytes, owner });
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
