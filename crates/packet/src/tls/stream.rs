//! One direction of a TCP connection, put in order.

use super::Lost;

/// What came too early is kept up to these bounds, which a server's hello and certificates fit into;
/// after that the direction is lost.
const MOST_SEGMENTS: usize = 16;
const MOST_BYTES: usize = 16 * 1024;

/// Puts segments in order, and drops what came before.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The sequence number of the next byte, once known.
    next: Option<u32>,
    early: Vec<(u32, Vec<u8>)>,
    early_bytes: usize,
}

impl Stream {
    /// A direction whose next byte has this number.
    pub(super) fn at(next: Option<u32>) -> Self {
        Self { next, ..Self::default() }
    }

    /// Takes a segment, and hands on what is in order now.
    pub(super) fn push(
        &mut self,
        seq: u32,
        payload: &[u8],
        mut deliver: impl FnMut(&[u8]) -> Result<(), Lost>,
    ) -> Result<(), Lost> {
        let next = self.next.get_or_insert(seq);
        if payload.is_empty() {
            return Ok(());
        }
        let Some(fresh) = fresh(*next, seq, payload) else {
            if self.early.len() >= MOST_SEGMENTS || self.early_bytes + payload.len() > MOST_BYTES {
                return Err(Lost);
            }
            self.early_bytes += payload.len();
            self.early.push((seq, payload.to_vec()));
            return Ok(());
        };
        *next = next.wrapping_add(fresh.len() as u32);
        deliver(fresh)?;
        self.deliver_early(deliver)
    }

    fn deliver_early(
        &mut self,
        mut deliver: impl FnMut(&[u8]) -> Result<(), Lost>,
    ) -> Result<(), Lost> {
        let Some(next) = &mut self.next else { return Ok(()) };
        while let Some(at) =
            self.early.iter().position(|(seq, payload)| fresh(*next, *seq, payload).is_some())
        {
            let (seq, payload) = self.early.swap_remove(at);
            self.early_bytes -= payload.len();
            let fresh = fresh(*next, seq, &payload).unwrap_or_default();
            *next = next.wrapping_add(fresh.len() as u32);
            deliver(fresh)?;
        }
        Ok(())
    }
}

/// The part of a segment from `next` on; `None` if the segment begins later than that. Sequence
/// numbers wrap around: a difference of less than half their range is ahead.
fn fresh(next: u32, seq: u32, payload: &[u8]) -> Option<&[u8]> {
    let ahead = seq.wrapping_sub(next) as i32;
    if ahead > 0 {
        return None;
    }
    Some(payload.get(ahead.unsigned_abs() as usize..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_order_and_repetition_gives_the_bytes_once(
            start in any::<u32>(),
            len in 1..2000_usize,
            cuts in prop::collection::vec((0..2000_usize, 1..300_usize), 0..16),
        ) {
            let data: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
            let mut stream = Stream::at(Some(start));
            let mut got = Vec::new();
            let mut push = |at: usize, end: usize| {
                let seq = start.wrapping_add(at as u32);
                stream.push(seq, &data[at..end], |bytes| { got.extend_from_slice(bytes); Ok(()) })
            };
            for (at, count) in cuts {
                let at = at.min(len);
                push(at, (at + count).min(len)).unwrap();
            }
            push(0, len).unwrap();
            prop_assert_eq!(got, data);
        }
    }

    #[test]
    fn what_comes_too_early_is_bounded() {
        let mut stream = Stream::at(Some(0));
        let outcome = (0..100).try_for_each(|at| stream.push(10 + at, b"x", |_| Ok(())));
        assert_eq!(outcome, Err(Lost));
        let mut stream = Stream::at(Some(0));
        let large = vec![0; 10_000];
        assert_eq!(stream.push(1, &large, |_| Ok(())), Ok(()));
        assert_eq!(stream.push(1, &large, |_| Ok(())), Err(Lost));
    }
}
