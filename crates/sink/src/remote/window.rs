//! What was sent, or is to be sent, and is not confirmed yet.

use crate::Batch;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// A batch is sent in pieces of about so many bytes, each confirmed by itself.
const PIECE: usize = 64 << 10;

/// Some records of a batch.
pub(super) struct Piece {
    pub(super) batch: Arc<Batch>,
    pub(super) records: Range<usize>,
    /// It was sent before, on a connection that broke.
    again: bool,
    /// The stream's position before and after it, on this connection; what a position is, the link knows.
    sent: Option<Range<u64>>,
}

impl Piece {
    fn len(&self) -> usize {
        self.batch.slice(&self.records).len()
    }
}

/// Pieces in the order of sending: first those that were sent on this connection.
#[derive(Default)]
pub(super) struct Window {
    pieces: VecDeque<Piece>,
    sent: usize,
    /// Bytes of those that were sent.
    unconfirmed: usize,
}

impl Window {
    /// Adds a batch to what is to be sent.
    pub(super) fn push(&mut self, batch: &Arc<Batch>) {
        let mut from = 0;
        while from < batch.records() {
            let limit = batch.range(from).start + PIECE;
            let to = from + batch.ends[from..].partition_point(|end| *end <= limit).max(1);
            let batch = Arc::clone(batch);
            self.pieces.push_back(Piece { batch, records: from..to, again: false, sent: None });
            from = to;
        }
    }

    /// The next piece to send, and whether it was sent before.
    pub(super) fn next(&self) -> Option<(&Piece, bool)> {
        self.pieces.get(self.sent).map(|piece| (piece, piece.again))
    }

    /// The next piece is sent, or it is tried: it lies at `positions`.
    pub(super) fn sent(&mut self, positions: Range<u64>) {
        if let Some(piece) = self.pieces.get_mut(self.sent) {
            piece.sent = Some(positions);
            self.sent += 1;
            self.unconfirmed += piece.len();
        }
    }

    /// Everything up to `position` arrived. Returns how many records those are.
    pub(super) fn confirm(&mut self, position: u64) -> u64 {
        let mut records = 0;
        while let Some(piece) = self.pieces.front()
            && piece.sent.as_ref().is_some_and(|sent| sent.end <= position)
        {
            records += piece.records.len() as u64;
            self.unconfirmed -= piece.len();
            self.pieces.pop_front();
            self.sent -= 1;
        }
        records
    }

    /// The same at the end of a connection; if positions are the records' own bytes, then a piece may have
    /// arrived in part.
    pub(super) fn confirm_last(&mut self, position: u64, linear: bool) -> u64 {
        let mut records = self.confirm(position);
        if linear
            && let Some(piece) = self.pieces.front_mut()
            && let Some(sent) = &piece.sent
            && let Some(arrived) = position.checked_sub(sent.start)
        {
            let begin = piece.batch.range(piece.records.start).start as u64;
            let ends = &piece.batch.ends[piece.records.clone()];
            let whole = ends.partition_point(|end| *end as u64 - begin <= arrived);
            piece.records.start += whole;
            records += whole as u64;
        }
        records
    }

    /// The connection is gone: everything that is left is to be sent anew.
    pub(super) fn rewind(&mut self) {
        for piece in &mut self.pieces {
            piece.again |= piece.sent.take().is_some();
        }
        self.pieces.retain(|piece| !piece.records.is_empty());
        self.sent = 0;
        self.unconfirmed = 0;
    }

    /// Nothing is to be sent or confirmed.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that were sent and are not confirmed.
    pub(super) fn unconfirmed(&self) -> usize {
        self.unconfirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(records: usize, len: usize) -> Arc<Batch> {
        let ends = (1..=records).map(|number| number * len).collect();
        Arc::new(Batch { bytes: vec![b'x'; records * len], ends })
    }

    #[test]
    fn pieces_hold_whole_records() {
        let mut window = Window::default();
        window.push(&batch(10, PIECE / 4 + 1));
        window.push(&batch(1, PIECE * 3));
        let lens: Vec<usize> = window.pieces.iter().map(|piece| piece.records.len()).collect();
        assert_eq!(lens, [3, 3, 3, 1, 1]);
    }

    #[test]
    fn what_is_not_confirmed_is_sent_anew() {
        let mut window = Window::default();
        window.push(&batch(10, 10));
        window.push(&batch(5, 10));
        window.sent(0..100);
        window.sent(100..150);
        assert_eq!(window.unconfirmed(), 150);
        assert_eq!(window.confirm(99), 0);
        assert_eq!(window.confirm(100), 10);
        // Two records and a half of the second one.
        assert_eq!(window.confirm_last(125, true), 2);
        window.rewind();
        let (piece, again) = window.next().unwrap();
        assert_eq!((piece.records.clone(), again), (2..5, true));
        window.sent(0..30);
        assert!(window.next().is_none());
        assert_eq!(window.confirm(30), 3);
        assert!(window.is_empty());
    }
}
