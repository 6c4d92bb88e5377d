//! Encoded records on their way to several places: encoded once, shared by all.

use std::ops::Range;

/// What a batch costs in memory beside its bytes.
const OVERHEAD: usize = 128;

/// Encoded records, one after another.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// Where each record ends.
    pub(crate) ends: Vec<usize>,
}

impl Batch {
    /// One record.
    pub fn one(bytes: Vec<u8>) -> Self {
        Self { ends: vec![bytes.len()], bytes }
    }

    /// How many records.
    pub fn records(&self) -> usize {
        self.ends.len()
    }

    /// Where a record lies.
    pub(crate) fn range(&self, record: usize) -> Range<usize> {
        let begin = record.checked_sub(1).map_or(0, |before| self.ends[before]);
        begin..self.ends[record]
    }

    /// The records `from..to` as they lie behind one another.
    pub(crate) fn slice(&self, records: &Range<usize>) -> &[u8] {
        if records.is_empty() {
            return &[];
        }
        &self.bytes[self.range(records.start).start..self.ends[records.end - 1]]
    }

    /// What it costs in memory.
    pub(crate) fn cost(&self) -> usize {
        OVERHEAD + self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}
