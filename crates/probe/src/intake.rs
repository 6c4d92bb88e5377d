//! The way of samples from the rings to the thread that makes sense of them, the *worker*.
//!
//! As a rule the worker takes samples where they are, in the rings, and nothing is copied. A second
//! thread, the *reader*, runs before all others and sees to it that nothing is lost if that is too
//! slow: it lets the worker go first when the rings fill up, and when that does not help (the worker
//! waits for a slow output, or parses something large), it copies what the rings hold into the queue,
//! which the worker then works off first. Both take turns under a lock that lends priority.

use crate::pi_mutex::PiMutex;
use crate::priority::{self, Rank};
use crate::queue::{Block, Queue};
use crate::record;
use crate::ring::{Gauges, Rings};
use std::sync::atomic::{AtomicBool, Ordering};

/// From here on the worker goes before the programs that it captures. Also the level at which the
/// kernel side wakes the reader; in sixteenths of a ring.
const BOOST: u64 = 4;
/// From here on the reader copies.
const COPY: u64 = 8;
/// Below this the worker takes its turn like any other again.
const CALM: u64 = 1;
/// The worker takes so many bytes from the rings at a time: it holds the lock meanwhile.
const TURN: usize = 128 << 10;

/// The part of a sample that is worth keeping.
pub(crate) type Used = fn(&[u8]) -> &[u8];

struct Source {
    rings: Rings,
    /// Samples that are older than those in the rings, and newer than those in the queue.
    block: Block,
}

/// What reader and worker share.
pub(crate) struct Intake {
    source: PiMutex<Source>,
    gauges: Gauges,
    queue: Queue,
    used: Used,
    worker: i32,
    boosted: AtomicBool,
}

/// What the reader is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing is there.
    Sleep,
    /// Look again soon.
    Nap,
    /// The queue is full: wait until it has room.
    WaitForRoom,
}

impl Intake {
    /// The calling thread is to be the worker.
    pub(crate) fn new(rings: Rings, queue: Queue, used: Used) -> Self {
        Self {
            gauges: rings.gauges(),
            source: PiMutex::new(Source { rings, block: Block::default() }),
            queue,
            used,
            worker: priority::this_thread(),
            boosted: AtomicBool::new(false),
        }
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// True if the rings hold nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.gauges.are_empty()
    }

    /// The reader's turn.
    pub(crate) fn supervise(&self) -> Next {
        if self.gauges.are_empty() {
            return Next::Sleep;
        }
        let level = self.gauges.sixteenths();
        if level >= COPY {
            return if self.copy() { Next::Nap } else { Next::WaitForRoom };
        }
        if level >= BOOST {
            self.boost();
        }
        self.queue.announce();
        Next::Nap
    }

    /// Moves everything from the rings to the queue. False if the queue is full.
    pub(crate) fn copy(&self) -> bool {
        /// Bytes to read before looking whether the block is full.
        const STEP: usize = 256 << 10;
        let mut source = self.source.lock();
        loop {
            let Source { rings, block } = &mut *source;
            let step = rings.drain(STEP, record::time, |sample| block.push((self.used)(sample)));
            if !block.is_empty() && (block.is_full() || step == 0) {
                match self.queue.push(std::mem::take(block)) {
                    Ok(spare) => *block = spare,
                    Err(refused) => {
                        *block = refused;
                        return false;
                    }
                }
            }
            if step == 0 {
                return true;
            }
        }
    }

    /// The worker's turn: hands samples to `handle`, for a bounded time. Returns how many there were;
    /// 0 means that there are no more.
    pub(crate) fn work(&self, mut handle: impl FnMut(&[u8])) -> usize {
        let mut source = self.source.lock();
        let block = self.queue.pop().or_else(|| {
            (!source.block.is_empty()).then(|| (std::mem::take(&mut source.block), false))
        });
        if let Some((block, urgent)) = block {
            drop(source);
            if urgent {
                self.boost();
            }
            for sample in block.samples() {
                handle(sample);
            }
            let handled = block.len();
            self.queue.recycle(block);
            return handled;
        }
        let handled = source.rings.drain(TURN, record::time, |sample| handle((self.used)(sample)));
        drop(source);
        if self.gauges.sixteenths() < CALM && self.boosted.swap(false, Ordering::AcqRel) {
            priority::take(Rank::Calm);
        }
        handled
    }

    fn boost(&self) {
        if !self.boosted.swap(true, Ordering::AcqRel) {
            priority::give(self.worker, Rank::Urgent);
        }
    }
}
