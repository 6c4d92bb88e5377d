//! The order of one direction's pieces, by their position.
//!
//! Only decides; the bytes of a piece that is next never pass through here.

use crate::context::Mark;
use event::{ConnId, Direction, Hole, HoleCause, Timestamp};
use std::collections::BTreeMap;

/// How many recent gaps are remembered, to recognise bytes that come after all.
const REMEMBERED_GAPS: usize = 16;

/// A piece that waits for the gap before it.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes { bytes: Vec<u8>, mark: Mark, end_of_call: bool },
    Hole(Hole),
}

impl Piece {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes { bytes, .. } => bytes.len() as u64,
            Self::Hole(hole) => hole.len,
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        match self {
            Self::Bytes { mark, .. } => *mark,
            Self::Hole(hole) => Mark { ts: hole.ts, tid: hole.tid },
        }
    }

    fn held(&self) -> usize {
        const ENTRY: usize = size_of::<(u64, Piece)>();
        match self {
            Self::Bytes { bytes, .. } => bytes.len() + ENTRY,
            Self::Hole(_) => ENTRY,
        }
    }
}

/// Where a piece belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its bytes from `skip` on are next.
    Next { skip: u64 },
    /// Something is missing before it.
    Ahead,
    /// All of it had come before, or was given up.
    Behind,
    /// Its end cannot be a position.
    Impossible,
}

/// The state of one direction.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    next: u64,
    ahead: BTreeMap<u64, Piece>,
    held: usize,
    given_up: Vec<(u64, u64)>,
}

impl Reassembly {
    /// Position of the first byte that has not come yet.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// When the first piece that waits was seen.
    pub(crate) fn first_waiting(&self) -> Option<Timestamp> {
        self.ahead.first_key_value().map(|(_, piece)| piece.mark().ts)
    }

    pub(crate) fn has_gap(&self) -> bool {
        !self.ahead.is_empty()
    }

    pub(crate) fn place(&self, offset: u64, len: u64) -> Place {
        let Some(end) = offset.checked_add(len) else { return Place::Impossible };
        if offset > self.next {
            Place::Ahead
        } else if end > self.next || (len == 0 && offset == self.next) {
            Place::Next { skip: self.next - offset }
        } else {
            Place::Behind
        }
    }

    /// Notes that everything up to `end` has been handed on.
    pub(crate) fn advance(&mut self, end: u64) {
        self.next = self.next.max(end);
    }

    /// Keeps a piece until the gap before it is gone. Gives back how many bytes it displaced that
    /// had come before.
    pub(crate) fn hold(&mut self, offset: u64, piece: Piece) -> u64 {
        if let Some(present) = self.ahead.get(&offset)
            && present.len() >= piece.len()
        {
            return piece.len();
        }
        self.held += piece.held();
        match self.ahead.insert(offset, piece) {
            Some(shorter) => {
                self.held -= shorter.held();
                shorter.len()
            }
            None => 0,
        }
    }

    /// Takes the first waiting piece if nothing is missing before it.
    pub(crate) fn pop_ready(&mut self) -> Option<(u64, Piece)> {
        let (&offset, _) = self.ahead.first_key_value()?;
        if offset > self.next {
            return None;
        }
        let (offset, piece) = self.ahead.pop_first()?;
        self.held -= piece.held();
        Some((offset, piece))
    }

    /// The gap before the first waiting piece, as a hole that was noticed with that piece.
    pub(crate) fn gap(&self, conn: ConnId, dir: Direction) -> Option<Hole> {
        let (&offset, piece) = self.ahead.first_key_value()?;
        let Mark { ts, tid } = piece.mark();
        let len = offset.checked_sub(self.next).filter(|len| *len > 0)?;
        Some(Hole { conn, ts, tid, dir, offset: self.next, len, cause: HoleCause::Lost })
    }

    /// Stops waiting for the bytes of `hole`.
    pub(crate) fn give_up(&mut self, hole: &Hole) {
        self.advance(hole.offset + hole.len);
        if self.given_up.len() == REMEMBERED_GAPS {
            self.given_up.remove(0);
        }
        self.given_up.push((hole.offset, hole.offset + hole.len));
    }

    /// Takes the first part of `[from, to)` that had been given up, if there is one.
    pub(crate) fn take_given_up(&mut self, from: u64, to: u64) -> Option<(u64, u64)> {
        let index = self.given_up.iter().position(|gap| gap.0 < to && from < gap.1)?;
        let gap = self.given_up.remove(index);
        let found = (gap.0.max(from), gap.1.min(to));
        for rest in [(gap.0, found.0), (found.1, gap.1)] {
            if rest.0 < rest.1 && self.given_up.len() < REMEMBERED_GAPS {
                self.given_up.push(rest);
            }
        }
        Some(found)
    }
}
