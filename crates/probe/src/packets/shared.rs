//! `struct packet_shared` of `packets.h`: what both sides read and write while they run.

use super::record::{MAX_INTERFACES, SLOTS};
use crate::error::Error;
use crate::mapping::{Mapping, page_size};
use crate::reader::Sleeper;
use libbpf_rs::{MapCore, Object};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

/// `unsettled`
const UNSETTLED: usize = 4;
const COUNTERS: usize = 64;
/// `struct packet_counters`, in words.
const FIELDS: usize = 4;
const SIZE: usize = COUNTERS + SLOTS * MAX_INTERFACES * FIELDS * 8;

/// The only thing in `.bss`.
pub(super) struct Shared(Mapping);

/// What the kernel side counted at one interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) seen: u64,
    pub(super) seen_bytes: u64,
    pub(super) lost: u64,
    pub(super) lost_bytes: u64,
}

impl Shared {
    pub(super) fn new(object: &Object) -> Result<Self, Error> {
        let map = object
            .maps()
            .find(|map| map.name().to_string_lossy().ends_with(".bss"))
            .filter(|map| map.value_size() as usize == SIZE)
            .ok_or(Error::Missing("shared"))?;
        Mapping::new(&map.as_fd(), SIZE.next_multiple_of(page_size()), 0, true)
            .map(Self)
            .map_err(|source| Error::Ring { size: SIZE, source })
    }

    /// Says that there are more sockets of which is not known who uses them.
    pub(super) fn add_unsettled(&self, sockets: u32) {
        if let Some(count) = self.0.u32_at(UNSETTLED) {
            count.fetch_add(sockets, Ordering::Relaxed);
        }
    }

    /// What was counted at an interface so far.
    pub(super) fn counters(&self, interface: usize) -> Counters {
        let sum = |field: usize| {
            (0..SLOTS)
                .map(|slot| COUNTERS + ((slot * MAX_INTERFACES + interface) * FIELDS + field) * 8)
                .filter_map(|at| self.0.u64_at(at))
                .map(|word| word.load(Ordering::Relaxed))
                .sum()
        };
        Counters { seen: sum(0), seen_bytes: sum(1), lost: sum(2), lost_bytes: sum(3) }
    }
}

impl Sleeper for Shared {
    fn set_asleep(&self, value: u32) {
        if let Some(flag) = self.0.u32_at(0) {
            flag.store(value, Ordering::SeqCst);
        }
    }
}
