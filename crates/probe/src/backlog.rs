//! Samples that were taken out of the rings but not looked at yet.
//!
//! Parsing and writing can be slower than a burst of traffic. Copying alone is many times faster than
//! any program produces TLS, so when the rings fill up their contents move here, within a limit.

use std::collections::VecDeque;

/// Samples are packed into blocks of about this size.
const BLOCK: usize = 1 << 20;
/// Empty blocks that are kept for later.
const SPARE: usize = 2;
const LENGTH: usize = size_of::<u32>();

/// A bounded queue of samples.
pub(crate) struct Backlog {
    blocks: VecDeque<Vec<u8>>,
    /// Where the next sample starts in the first block.
    read: usize,
    spare: Vec<Vec<u8>>,
    limit: usize,
}

impl Backlog {
    /// A queue for at most about `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { blocks: VecDeque::new(), read: 0, spare: Vec::new(), limit: limit / BLOCK }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// How many bytes it will take for sure.
    pub(crate) fn room(&self) -> usize {
        // A block may be left with less room than the next sample needs.
        self.limit.saturating_sub(self.blocks.len()) * (BLOCK / 2)
    }

    pub(crate) fn push(&mut self, sample: &[u8]) {
        let needed = sample.len() + LENGTH;
        if self.blocks.back().is_none_or(|block| block.capacity() - block.len() < needed) {
            let spare = self.spare.pop().filter(|block| block.capacity() >= needed);
            self.blocks.push_back(spare.unwrap_or_else(|| Vec::with_capacity(BLOCK.max(needed))));
        }
        if let (Some(block), Ok(len)) = (self.blocks.back_mut(), u32::try_from(sample.len())) {
            block.extend_from_slice(&len.to_ne_bytes());
            block.extend_from_slice(sample);
        }
    }

    /// Hands out samples, oldest first, until they come to `budget` bytes, and returns how many there
    /// were.
    pub(crate) fn take(&mut self, budget: usize, mut handle: impl FnMut(&[u8])) -> usize {
        let mut left = budget;
        let mut handled = 0;
        while left > 0
            && let Some(block) = self.blocks.front()
        {
            let Some((length, rest)) = block.get(self.read..).and_then(|b| b.split_first_chunk())
            else {
                self.drop_block();
                continue;
            };
            let len = u32::from_ne_bytes(*length) as usize;
            if let Some(sample) = rest.get(..len) {
                handle(sample);
            }
            handled += 1;
            left = left.saturating_sub(len);
            self.read += LENGTH + len;
        }
        if self.blocks.front().is_some_and(|block| self.read >= block.len()) {
            self.drop_block();
        }
        handled
    }

    fn drop_block(&mut self) {
        self.read = 0;
        if let Some(mut block) = self.blocks.pop_front()
            && self.spare.len() < SPARE
        {
            block.clear();
            self.spare.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put_in_in_order() {
        let mut backlog = Backlog::new(64 << 20);
        let samples: Vec<Vec<u8>> =
            (0..3000_usize).map(|n| vec![n as u8; n * 7 % 16_464]).collect();
        let mut taken = Vec::new();
        for (n, sample) in samples.iter().enumerate() {
            backlog.push(sample);
            if n % 3 == 0 {
                backlog.take(5000, |sample| taken.push(sample.to_vec()));
            }
        }
        while backlog.take(100_000, |sample| taken.push(sample.to_vec())) > 0 {}
        assert!(taken == samples);
        assert!(backlog.is_empty());
    }

    #[test]
    fn room_is_never_overrun() {
        let limit = 8 << 20;
        let mut backlog = Backlog::new(limit);
        let sample = vec![1; BLOCK / 2 + 1];
        while backlog.room() >= sample.len() {
            backlog.push(&sample);
        }
        assert!(backlog.blocks.iter().map(Vec::capacity).sum::<usize>() <= limit);
    }
}
