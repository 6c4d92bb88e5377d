//! Connections of which no reader can decrypt anything, each counted once.

use crate::FlowKey;
use foldhash::fast::RandomState;
use lru::LruCache;
use std::num::NonZero;

/// Connections without keys, by the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Undecryptable {
    /// Encrypted data was seen, but not the handshake: it was before the capture. What TLS 1.3 encrypts
    /// with was derived then, and is never logged again.
    pub older: u64,
    /// The handshake was seen, and no secret of it: nobody watches the library that made it, or it logs
    /// none.
    pub without_secret: u64,
}

/// Counts them.
pub(super) struct Census {
    /// Flows that are not followed, and are not to be counted (again): their last packets may come
    /// late. With more flows at once than these, an older one may be counted twice.
    accounted: LruCache<FlowKey, (), RandomState>,
    counts: Undecryptable,
}

impl Census {
    pub(super) fn new(most: usize) -> Self {
        let most = NonZero::new(most).unwrap_or(NonZero::<usize>::MIN);
        let accounted = LruCache::with_hasher(most, RandomState::default());
        Self { accounted, counts: Undecryptable::default() }
    }

    /// A flow whose handshake was not seen carries encrypted data.
    pub(super) fn encrypted(&mut self, key: FlowKey) {
        if self.accounted.put(key, ()).is_none() {
            self.counts.older += 1;
        }
    }

    /// A flow that was followed is over, or is not followed any longer.
    pub(super) fn ended(&mut self, key: FlowKey, lacks_secrets: bool) {
        self.accounted.put(key, ());
        self.counts.without_secret += u64::from(lacks_secrets);
    }

    pub(super) fn counts(&self) -> Undecryptable {
        self.counts
    }
}
