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
    given_up: Vec<GivenUp>,
}

/// A run of positions that was passed over without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GivenUp {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Somebody had said that these bytes would not come.
    pub(crate) reported: bool,
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

    /// Keeps a piece until the gap before it is gone. Gives back how many bytes came twice.
    pub(crate) fn hold(&mut self, offset: u64, piece: Piece) -> u64 {
        let Some(present) = self.ahead.remove(&offset) else {
            self.insert(offset, piece);
            return 0;
        };
        self.held -= present.held();
        let (longer, shorter) =
            if piece.len() > present.len() { (piece, present) } else { (present, piece) };
        match (longer, shorter) {
            (Piece::Hole(hole), bytes @ Piece::Bytes { .. }) => {
                // What came after all is better than the news that it would not.
                let end = offset + bytes.len();
                let len = hole.len - bytes.len();
                self.insert(offset, bytes);
                if len > 0 && !self.ahead.contains_key(&end) {
                    self.insert(end, Piece::Hole(Hole { offset: end, len, ..hole }));
                }
                0
            }
            (longer, shorter) => {
                self.insert(offset, longer);
                if matches!(shorter, Piece::Bytes { .. }) { shorter.len() } else { 0 }
            }
        }
    }

    fn insert(&mut self, offset: u64, piece: Piece) {
        self.held += piece.held();
        self.ahead.insert(offset, piece);
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
    pub(crate) fn give_up(&mut self, hole: &Hole, reported: bool) {
        let (from, to) = (hole.offset, hole.offset.saturating_add(hole.len));
        self.advance(to);
        if self.given_up.len() == REMEMBERED_GAPS {
            self.given_up.remove(0);
        }
        self.given_up.push(GivenUp { from, to, reported });
    }

    /// Takes the first part of `[from, to)` that had been given up, if there is one.
    pub(crate) fn take_given_up(&mut self, from: u64, to: u64) -> Option<GivenUp> {
        let index = self.given_up.iter().position(|gap| gap.from < to && from < gap.to)?;
        let gap = self.given_up.remove(index);
        let found = GivenUp { from: gap.from.max(from), to: gap.to.min(to), ..gap };
        for (from, to) in [(gap.from, found.from), (found.to, gap.to)] {
            if from < to && self.given_up.len() < REMEMBERED_GAPS {
                self.given_up.push(GivenUp { from, to, ..gap });
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(ts: u64) -> Mark {
        Mark { ts: Timestamp(ts), tid: 1 }
    }

    fn bytes(text: &[u8]) -> Piece {
        Piece::Bytes { bytes: text.to_vec(), mark: mark(5), end_of_call: true }
    }

    fn hole(offset: u64, len: u64) -> Hole {
        let (conn, ts, dir) = (ConnId(1), Timestamp(9), Direction::Send);
        Hole { conn, ts, tid: 1, dir, offset, len, cause: HoleCause::Lost }
    }

    fn waiting(order: &mut Reassembly) -> Vec<(u64, u64, bool)> {
        order.advance(u64::MAX);
        std::iter::from_fn(|| order.pop_ready())
            .map(|(offset, piece)| (offset, piece.len(), matches!(piece, Piece::Bytes { .. })))
            .collect()
    }

    #[test]
    fn a_piece_is_next_ahead_behind_or_impossible() {
        let mut order = Reassembly::default();
        order.advance(10);
        assert_eq!(order.place(10, 5), Place::Next { skip: 0 });
        assert_eq!(order.place(8, 5), Place::Next { skip: 2 });
        assert_eq!(order.place(11, 5), Place::Ahead);
        assert_eq!(order.place(5, 5), Place::Behind);
        assert_eq!(order.place(10, 0), Place::Next { skip: 0 });
        assert_eq!(order.place(u64::MAX, 2), Place::Impossible);
    }

    #[test]
    fn the_longer_of_two_pieces_at_one_place_waits() {
        let mut order = Reassembly::default();
        assert_eq!(order.hold(4, bytes(b"abc")), 0);
        assert_eq!(order.hold(4, bytes(b"ab")), 2);
        assert_eq!(order.hold(4, bytes(b"abcd")), 3);
        assert_eq!(waiting(&mut order), [(4, 4, true)]);
        assert_eq!(order.held(), 0);
    }

    #[test]
    fn bytes_that_come_after_all_are_better_than_a_hole() {
        for bytes_first in [true, false] {
            let mut order = Reassembly::default();
            let mut pieces = vec![bytes(b"abc"), Piece::Hole(hole(4, 5))];
            if !bytes_first {
                pieces.reverse();
            }
            for piece in pieces {
                assert_eq!(order.hold(4, piece), 0);
            }
            assert_eq!(waiting(&mut order), [(4, 3, true), (7, 2, false)]);
        }
    }

    #[test]
    fn what_was_given_up_is_taken_back_in_parts() {
        let mut order = Reassembly::default();
        order.give_up(&hole(10, 10), false);
        let part = |from, to| Some(GivenUp { from, to, reported: false });
        assert_eq!(order.take_given_up(0, 12), part(10, 12));
        assert_eq!(order.take_given_up(0, 12), None);
        assert_eq!(order.take_given_up(14, 16), part(14, 16));
        assert_eq!(order.take_given_up(0, 100), part(12, 14));
        assert_eq!(order.take_given_up(0, 100), part(16, 20));
        assert_eq!(order.take_given_up(0, 100), None);
    }

    #[test]
    fn the_gap_is_known_by_the_piece_that_waits_for_it() {
        let mut order = Reassembly::default();
        assert!(order.gap(ConnId(1), Direction::Send).is_none());
        order.hold(4, bytes(b"abc"));
        let gap = order.gap(ConnId(1), Direction::Send).map(|gap| (gap.offset, gap.len, gap.ts));
        assert_eq!(gap, Some((0, 4, Timestamp(5))));
        assert_eq!(order.first_waiting(), Some(Timestamp(5)));
    }
}
