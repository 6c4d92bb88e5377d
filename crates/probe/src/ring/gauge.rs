//! How full the rings are, without a lock on them.

use crate::mapping::Mapping;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A position in memory shared with the kernel.
pub(super) type Word = (Arc<Mapping>, usize);

/// Of one ring.
pub(crate) struct Gauge {
    pub(super) produced: Word,
    pub(super) consumed: Word,
    pub(super) size: u64,
}

impl Gauge {
    fn filled(&self) -> u64 {
        let read = |(mapping, offset): &Word| {
            mapping.u64_at(*offset).map_or(0, |word| word.load(Ordering::SeqCst))
        };
        // In this order: a reader in between makes the ring look emptier, not fuller than its size.
        let consumed = read(&self.consumed);
        read(&self.produced).saturating_sub(consumed)
    }
}

/// Of all rings.
pub(crate) struct Gauges(pub(super) Vec<Gauge>);

impl Gauges {
    /// True if no ring holds anything, not even a sample that is being written.
    pub(crate) fn are_empty(&self) -> bool {
        self.0.iter().all(|gauge| gauge.filled() == 0)
    }

    /// How full the fullest is, in sixteenths.
    pub(crate) fn sixteenths(&self) -> u64 {
        self.0.iter().map(|gauge| gauge.filled() * 16 / gauge.size.max(1)).max().unwrap_or(0)
    }
}
