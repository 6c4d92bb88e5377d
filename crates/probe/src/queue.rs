//! Samples on their way from the reader of the rings to the thread that makes sense of them.
//!
//! Parsing and writing can be slower than a burst of traffic; copying is many times faster than any
//! program produces TLS. So when the rings fill up the reader copies, into blocks of this bounded
//! queue. When it is full the reader stops, the rings fill up, and the kernel side counts what it
//! loses: the queue itself loses nothing.

use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A block takes samples up to about this size.
const BLOCK: usize = 1 << 20;
/// Empty blocks that are kept for later.
const SPARE: usize = 16;
const LENGTH: usize = size_of::<u32>();

/// Samples, packed.
#[derive(Debug, Default)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    samples: usize,
}

impl Block {
    pub(crate) fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// How many samples it holds.
    pub(crate) fn len(&self) -> usize {
        self.samples
    }

    /// True if it should be passed on before more is put in.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK
    }

    pub(crate) fn push(&mut self, sample: &[u8]) {
        if let Ok(len) = u32::try_from(sample.len()) {
            self.bytes.extend_from_slice(&len.to_ne_bytes());
            self.bytes.extend_from_slice(sample);
            self.samples += 1;
        }
    }

    /// The samples, in the order in which they were put in.
    pub(crate) fn samples(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<LENGTH>()?;
            let (sample, after) = after.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
            rest = after;
            Some(sample)
        })
    }

    fn reset(&mut self) {
        self.bytes.clear();
        self.samples = 0;
    }
}

#[derive(Debug, Default)]
struct State {
    blocks: VecDeque<Block>,
    bytes: usize,
    spare: Vec<Block>,
    /// The reader waits for room.
    stuck: bool,
}

/// A bounded queue of blocks between two threads.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    limit: usize,
    /// Becomes readable when there is a block.
    filled: OwnedFd,
    /// Becomes readable when there is room again.
    emptied: OwnedFd,
}

impl Queue {
    /// A queue for about `limit` bytes.
    pub(crate) fn new(limit: usize) -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self {
            state: Mutex::default(),
            limit,
            filled: eventfd(0, flags)?,
            emptied: eventfd(0, flags)?,
        })
    }

    pub(crate) fn filled(&self) -> BorrowedFd<'_> {
        self.filled.as_fd()
    }

    pub(crate) fn emptied(&self) -> BorrowedFd<'_> {
        self.emptied.as_fd()
    }

    /// Makes [`Queue::filled`] readable although there may be no block.
    pub(crate) fn announce(&self) {
        ring(&self.filled);
    }

    /// Takes `block` in and returns an empty one for it, or gives it back if there is no room; then
    /// [`Queue::emptied`] tells when there is.
    pub(crate) fn push(&self, block: Block) -> Result<Block, Block> {
        let mut state = self.lock();
        if state.bytes >= self.limit {
            state.stuck = true;
            return Err(block);
        }
        state.bytes += block.bytes.len();
        state.blocks.push_back(block);
        let spare = state.spare.pop().unwrap_or_default();
        drop(state);
        ring(&self.filled);
        Ok(spare)
    }

    /// The oldest block, and whether so many wait that taking them is urgent.
    pub(crate) fn pop(&self) -> Option<(Block, bool)> {
        self.take().or_else(|| {
            silence(&self.filled);
            // One may have come between the two.
            self.take()
        })
    }

    fn take(&self) -> Option<(Block, bool)> {
        let mut state = self.lock();
        let block = state.blocks.pop_front()?;
        state.bytes -= block.bytes.len();
        if state.stuck && state.bytes < self.limit {
            state.stuck = false;
            ring(&self.emptied);
        }
        Some((block, state.bytes > self.limit / 16))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().blocks.is_empty()
    }

    /// Takes a block back for later use.
    pub(crate) fn recycle(&self, mut block: Block) {
        block.reset();
        let mut state = self.lock();
        if state.spare.len() < SPARE && block.bytes.capacity() <= 2 * BLOCK {
            state.spare.push(block);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; if one did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes an eventfd readable.
pub(crate) fn ring(fd: &OwnedFd) {
    // It can only fail if it is readable to the brim already.
    let _ = rustix::io::write(fd, &1_u64.to_ne_bytes());
}

/// Makes an eventfd not readable until it rings again.
pub(crate) fn silence(fd: impl AsFd) {
    let _ = rustix::io::read(fd, &mut [0; 8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(samples: &[&[u8]]) -> Block {
        let mut block = Block::default();
        for sample in samples {
            block.push(sample);
        }
        block
    }

    #[test]
    fn a_block_gives_back_what_was_put_in() {
        let large = vec![7; 70_000];
        let samples: [&[u8]; 4] = [b"one", b"", b"three", &large];
        let block = block(&samples);
        assert_eq!(block.len(), 4);
        assert_eq!(block.samples().collect::<Vec<_>>(), samples);
    }

    #[test]
    fn blocks_come_out_in_order_and_a_full_queue_takes_none() {
        let queue = Queue::new(8).unwrap();
        assert!(queue.push(block(&[b"a"])).is_ok());
        assert!(queue.push(block(&[b"b"])).is_ok());
        let refused = queue.push(block(&[b"c"])).unwrap_err();
        let first = queue.pop().unwrap().0;
        assert_eq!(first.samples().next(), Some(b"a".as_slice()));
        // The reader is told that there is room.
        let mut value = [0; 8];
        assert_eq!(rustix::io::read(queue.emptied(), &mut value), Ok(8));
        assert!(queue.push(refused).is_ok());
        for expected in [b"b", b"c"] {
            let taken = queue.pop().unwrap().0;
            assert_eq!(taken.samples().next(), Some(expected.as_slice()));
            queue.recycle(taken);
        }
        assert!(queue.pop().is_none());
    }

    #[test]
    fn an_empty_queue_is_not_readable() {
        let queue = Queue::new(1 << 20).unwrap();
        assert!(queue.push(block(&[b"a"])).is_ok());
        assert!(queue.pop().is_some());
        assert!(queue.pop().is_none());
        let mut value = [0; 8];
        assert_eq!(rustix::io::read(queue.filled(), &mut value), Err(rustix::io::Errno::AGAIN));
    }
}
