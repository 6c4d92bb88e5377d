//! What went through a flow, counted so that it adds up.

use event::{Direction, LossTable};

/// Bytes by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// What the programs wrote.
    pub send: u64,
    /// What the programs read.
    pub recv: u64,
}

impl Traffic {
    /// Both directions.
    pub fn total(self) -> u64 {
        self.send + self.recv
    }

    pub(crate) fn subtract(&mut self, dir: Direction, bytes: u64) {
        match dir {
            Direction::Send => self.send -= bytes,
            Direction::Recv => self.recv -= bytes,
        }
    }

    pub(crate) fn add(&mut self, dir: Direction, bytes: u64) {
        match dir {
            Direction::Send => self.send += bytes,
            Direction::Recv => self.recv += bytes,
        }
    }
}

/// Where the bytes that were accepted ended up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// In `Data` records.
    pub raw: u64,
    /// Message heads and trailers, as transferred.
    pub heads: u64,
    /// Message bodies and WebSocket payloads, as transferred.
    pub bodies: u64,
    /// What only separates the above: chunk sizes, frame headers, padding, control frames.
    pub framing: u64,
}

impl Shown {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.raw + self.heads + self.bodies + self.framing
    }
}

/// What went through a flow.
///
/// After [`crate::Flow::finish`], `accepted.total() == shown.total()`; before, the difference is what
/// is held. What is in `lost` was never accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowStats {
    /// Connections that were opened.
    pub connections: u64,
    /// Connections whose parsing state was given up because there were too many.
    pub evicted: u64,
    /// Bytes that came, without those that had come before.
    pub accepted: Traffic,
    /// Chunks that came.
    pub chunks: Traffic,
    /// Bytes that came twice and were dropped the second time.
    pub duplicates: Traffic,
    /// Bytes that came after they had been given up or reported missing; shown raw.
    pub late: u64,
    /// Holes shown, of whatever cause.
    pub holes: u64,
    /// Bytes that `probe` reported as a hole that counts as a loss.
    pub reported: u64,
    /// Losses that nobody reported and that only show here: `gap` (bytes that never came) and
    /// `unknown_connection` (bytes of a connection that was never opened, or was dropped).
    pub lost: LossTable,
    /// Where the accepted bytes ended up.
    pub shown: Shown,
    /// Bytes held now.
    pub held: usize,
    /// Records emitted.
    pub records: u64,
}
