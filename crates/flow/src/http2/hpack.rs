//! HPACK (RFC 7541), as an observer needs it.
//!
//! The crates that decode HPACK stop at the first reference to an entry that they don't have. An
//! observer that came late meets such references all the time and must go on.

mod huffman;
mod table;

use event::Field;
use table::{STATIC, Table};

/// Buffers of a connection that are larger than this are not kept from block to block.
const KEEP: usize = 256;

/// What stands for a name or value that was sent before the capture began or was lost.
const UNKNOWN: &[u8] = b"?";

/// What stands for the fields that no longer fit.
const TOO_MANY: (&[u8], &[u8]) = (b"?", b"(more fields than can be held)");

/// The fields of one block, in one buffer that is used again.
#[derive(Debug, Default)]
pub(crate) struct FieldList {
    bytes: Vec<u8>,
    /// Where each name and value ends.
    ends: Vec<(u32, u32)>,
    full: bool,
}

impl FieldList {
    pub(super) fn clear(&mut self) {
        const KEEP: usize = 64 << 10;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        self.ends.clear();
        self.ends.shrink_to(KEEP / 32);
        self.full = false;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut begin = 0;
        self.ends.iter().map(move |(name_end, end)| {
            let name = self.bytes.get(begin..*name_end as usize).unwrap_or_default();
            let value = self.bytes.get(*name_end as usize..*end as usize).unwrap_or_default();
            begin = *end as usize;
            (name, value)
        })
    }

    /// Those that are not pseudo-header fields.
    pub(super) fn regular(&self) -> impl Iterator<Item = Field<'_>> {
        self.iter()
            .filter(|(name, _)| !name.starts_with(b":"))
            .map(|(name, value)| Field { name: name.into(), value: value.into() })
    }

    fn push(&mut self, name: &[u8], value: &[u8], limit: usize) {
        let overhead = size_of::<(u32, u32)>();
        let held = self.bytes.len() + self.ends.len() * overhead;
        if self.full {
            return;
        }
        let (name, value) = if held + name.len() + value.len() + overhead > limit {
            self.full = true;
            TOO_MANY
        } else {
            (name, value)
        };
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.ends.push((name_end, self.bytes.len() as u32));
    }
}

/// What one direction's header blocks have said so far.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Table,
    /// Some of what was said is not known, so a reference may lead nowhere.
    partial: bool,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// `from_the_beginning` is false if blocks may have gone by before; `cap` bounds the table's
    /// size whatever the peers agree on.
    pub(super) fn new(from_the_beginning: bool, cap: usize) -> Self {
        let size = if from_the_beginning { table::DEFAULT_SIZE } else { cap };
        Self {
            table: Table::new(size, cap),
            partial: !from_the_beginning,
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Notes that a block went by that could not be decoded.
    pub(super) fn lose(&mut self) {
        self.partial = true;
        self.table.forget();
    }

    pub(super) fn held(&self) -> usize {
        self.table.held()
    }

    /// Decodes a whole block into `fields`, of which at most `limit` bytes are kept.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        limit: usize,
        fields: &mut FieldList,
    ) -> Result<(), &'static str> {
        let mut rest = block;
        while let Some(first) = rest.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut rest, 7)?;
                self.indexed(index, limit, fields)?;
            } else if first & 0x40 != 0 {
                self.literal(&mut rest, 6)?;
                fields.push(&self.name, &self.value, limit);
                self.table.insert(&self.name, &self.value);
            } else if first & 0x20 != 0 {
                let size = integer(&mut rest, 5)?;
                self.table.resize(size);
            } else {
                self.literal(&mut rest, 4)?;
                fields.push(&self.name, &self.value, limit);
            }
        }
        self.name.shrink_to(KEEP);
        self.value.shrink_to(KEEP);
        Ok(())
    }

    fn indexed(
        &mut self,
        index: usize,
        limit: usize,
        fields: &mut FieldList,
    ) -> Result<(), &'static str> {
        match self.table.get(index) {
            Some((name, value)) => fields.push(name, value, limit),
            None if self.partial && index > STATIC.len() => fields.push(UNKNOWN, UNKNOWN, limit),
            None => return Err("a header block refers to an entry that does not exist"),
        }
        Ok(())
    }

    /// Reads a literal field into `name` and `value`.
    fn literal(&mut self, rest: &mut &[u8], prefix: u32) -> Result<(), &'static str> {
        let index = integer(rest, prefix)?;
        self.name.clear();
        self.value.clear();
        if index == 0 {
            string(rest, &mut self.name)?;
        } else {
            match self.table.get(index) {
                Some((name, _)) => self.name.extend_from_slice(name),
                None if self.partial && index > STATIC.len() => {
                    self.name.extend_from_slice(UNKNOWN);
                }
                None => return Err("a header block refers to an entry that does not exist"),
            }
        }
        string(rest, &mut self.value)
    }
}

/// An integer after a prefix of so many bits (RFC 7541 section 5.1).
fn integer(rest: &mut &[u8], prefix: u32) -> Result<usize, &'static str> {
    const CUT: &str = "a header block ends within a field";
    let (first, mut tail) = rest.split_first().ok_or(CUT)?;
    let mask = (1_u8 << prefix) - 1;
    let mut value = u64::from(first & mask);
    if value == u64::from(mask) {
        let mut shift = 0;
        loop {
            let (next, after) = tail.split_first().ok_or(CUT)?;
            tail = after;
            let bits = u64::from(next & 0x7f);
            // Five such bytes hold any table size that a peer may allow.
            if shift > 28 {
                return Err("an integer in a header block is too large");
            }
            value += bits << shift;
            shift += 7;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = tail;
    Ok(value as usize)
}

/// A string literal (RFC 7541 section 5.2), appended to `into`.
fn string(rest: &mut &[u8], into: &mut Vec<u8>) -> Result<(), &'static str> {
    let huffman = rest.first().is_some_and(|first| first & 0x80 != 0);
    let len = integer(rest, 7)?;
    let (text, tail) =
        rest.split_at_checked(len).ok_or("a string is longer than its header block")?;
    *rest = tail;
    if huffman {
        if !huffman::decode(text, into) {
            return Err("a string in a header block is not in the Huffman code");
        }
    } else {
        into.extend_from_slice(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
