//! `struct shared` of `include/record.h`: what both sides read and write while they run.

use crate::error::Error;
use crate::mapping::{Mapping, page_size};
use crate::reader::Sleeper;
use crate::record::{MAX_FUNCTIONS, STAT_SLOTS, counter};
use libbpf_rs::{MapCore, MapFlags, MapHandle, Object};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

/// The flag and its padding come before the counters.
const COUNTERS: usize = 8;
const HITS: usize = COUNTERS + STAT_SLOTS * counter::COUNT * 8;
const SIZE: usize = HITS + MAX_FUNCTIONS * 8;

/// The only thing in `.bss`.
pub(crate) enum Shared {
    Mapped(Mapping),
    /// Where such a map cannot be mapped (before Linux 5.5).
    Unmapped(MapHandle),
}

impl Shared {
    pub(crate) fn new(object: &Object, mapped: bool) -> Result<Self, Error> {
        let map = object
            .maps()
            .find(|map| map.name().to_string_lossy().ends_with(".bss"))
            .filter(|map| map.value_size() as usize == SIZE)
            .ok_or(Error::Missing("shared"))?;
        if mapped {
            Mapping::new(&map.as_fd(), SIZE.next_multiple_of(page_size()), 0, true)
                .map(Self::Mapped)
                .map_err(|source| Error::Ring { size: SIZE, source })
        } else {
            MapHandle::try_from(&map)
                .map(Self::Unmapped)
                .map_err(|source| Error::Map { map: "shared", source })
        }
    }

    /// The counters as they are now.
    pub(crate) fn counts(&self) -> Counts {
        let words = match self {
            Self::Mapped(mapping) => (0..SIZE)
                .step_by(8)
                .filter_map(|at| mapping.u64_at(at))
                .map(|word| word.load(Ordering::Relaxed))
                .collect(),
            Self::Unmapped(map) => {
                let value = map.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
                let value = value.ok().flatten().unwrap_or_default();
                value.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()
            }
        };
        Counts { words }
    }
}

impl Sleeper for Shared {
    /// Perf buffers wake the reader anyway.
    fn set_asleep(&self, value: u32) {
        if let Self::Mapped(mapping) = self
            && let Some(flag) = mapping.u32_at(0)
        {
            flag.store(value, Ordering::SeqCst);
        }
    }
}

/// A reading of the counters.
pub(crate) struct Counts {
    words: Vec<u64>,
}

impl Counts {
    fn word(&self, at: usize) -> u64 {
        self.words.get(at / 8).copied().unwrap_or(0)
    }

    /// A field of `struct counters`, of all CPUs.
    pub(crate) fn sum(&self, field: usize) -> u64 {
        (0..STAT_SLOTS).map(|slot| self.word(COUNTERS + (slot * counter::COUNT + field) * 8)).sum()
    }

    /// How often a function was hit.
    pub(crate) fn hits(&self, function: usize) -> u64 {
        if function < MAX_FUNCTIONS { self.word(HITS + function * 8) } else { 0 }
    }
}
