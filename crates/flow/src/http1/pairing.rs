//! Which request a response answers: they come in the same order (RFC 9112 section 9.3.2).
//!
//! Where bytes are missing that order says less; then no answer is better than a wrong one.

use crate::message::Asked;
use event::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// More requests than this are not remembered, nor more than this of their text; nobody pipelines as
/// much.
const MOST_OUTSTANDING: usize = 1024;
const MOST_TEXT: usize = 64 << 10;

/// A request that has not been answered.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) exchange: u64,
    pub(super) ts: Timestamp,
    pub(super) asked: Asked,
    /// Its answer may have been among bytes that are missing.
    doubtful: bool,
}

impl Outstanding {
    pub(super) fn method(&self) -> &[u8] {
        self.asked.text.get(..self.asked.method_len).unwrap_or_default()
    }

    pub(super) fn latency(&self, answered: Timestamp) -> Duration {
        answered.since(self.ts)
    }
}

#[derive(Debug, Default)]
pub(super) struct Pairing {
    outstanding: VecDeque<Outstanding>,
    /// How many more were asked after those, and are not remembered.
    forgotten: usize,
    /// When a response came whose request had not been seen, and its exchange.
    orphan: Option<(Timestamp, u64)>,
    /// A buffer that served a request before.
    spare: Vec<u8>,
}

impl Pairing {
    /// Notes a request and gives back the number of its exchange.
    pub(super) fn ask(
        &mut self,
        ts: Timestamp,
        method: &[u8],
        target: &[u8],
        next_exchange: impl FnOnce() -> u64,
    ) -> u64 {
        if let Some((answered, exchange)) = self.orphan.take()
            && ts < answered
        {
            // It is seen late: that response was its answer.
            return exchange;
        }
        // Only the first can be doubtful.
        let doubtful = self.first().is_some_and(|request| request.doubtful);
        if doubtful {
            self.outstanding.pop_front();
        }
        let exchange = next_exchange();
        if self.is_full(method.len() + target.len()) {
            self.forgotten += 1;
            return exchange;
        }
        let mut text = std::mem::take(&mut self.spare);
        text.extend_from_slice(method);
        text.extend_from_slice(target);
        let asked = Asked { text, method_len: method.len() };
        let doubtful = false;
        self.outstanding.push_back(Outstanding { exchange, ts, asked, doubtful });
        exchange
    }

    /// True if no request with so many bytes of text can be remembered. None can after one that was
    /// not: it would be taken for that one.
    fn is_full(&self, more: usize) -> bool {
        let crowded = self.outstanding.len() >= MOST_OUTSTANDING || self.held() + more > MOST_TEXT;
        self.forgotten > 0 || (crowded && !self.outstanding.is_empty())
    }

    /// The request that the next response answers.
    pub(super) fn first(&self) -> Option<&Outstanding> {
        self.outstanding.front()
    }

    /// Takes it: the response is final.
    pub(super) fn answer(&mut self) -> Option<Outstanding> {
        let answered = self.outstanding.pop_front();
        if answered.is_none() {
            self.forgotten = self.forgotten.saturating_sub(1);
        }
        answered
    }

    /// Notes a response to a request that was not seen.
    pub(super) fn orphan(&mut self, ts: Timestamp, exchange: u64) {
        self.orphan = Some((ts, exchange));
    }

    /// Notes that responses may be missing: of the requests so far at most the last can still be
    /// answered, and none once another is asked.
    pub(super) fn responses_lost(&mut self) {
        if std::mem::take(&mut self.forgotten) > 0 {
            self.outstanding.clear();
        }
        let keep = self.outstanding.len().saturating_sub(1);
        self.outstanding.drain(..keep);
        self.outstanding.iter_mut().for_each(|request| request.doubtful = true);
    }

    pub(super) fn recycle(&mut self, asked: Option<Asked>) {
        const KEEP: usize = 256;
        if let Some(Asked { mut text, .. }) = asked
            && text.capacity() <= KEEP
        {
            text.clear();
            self.spare = text;
        }
    }

    pub(super) fn held(&self) -> usize {
        self.outstanding.iter().map(|request| request.asked.text.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for `target`, which is the number of its exchange, with so many bytes more.
    fn ask(pairing: &mut Pairing, number: u64, more: usize) {
        let target = format!("{number} {}", "x".repeat(more));
        pairing.ask(Timestamp(number), b"GET", target.as_bytes(), || number);
    }

    fn answered(pairing: &mut Pairing) -> Option<u64> {
        pairing.answer().map(|request| request.exchange)
    }

    #[test]
    fn requests_beyond_the_limit_leave_the_others_their_answers() {
        let mut pairing = Pairing::default();
        let most = MOST_OUTSTANDING as u64;
        (0..most + 2).for_each(|number| ask(&mut pairing, number, 0));
        assert!((0..most).all(|number| answered(&mut pairing) == Some(number)));
        // One that is asked now comes behind those that are not remembered.
        ask(&mut pairing, 5000, 0);
        assert_eq!([answered(&mut pairing), answered(&mut pairing)], [None, None]);
        assert_eq!(answered(&mut pairing), None);
        ask(&mut pairing, 5001, 0);
        assert_eq!(answered(&mut pairing), Some(5001));
    }

    #[test]
    fn long_requests_are_remembered_one_at_a_time() {
        let mut pairing = Pairing::default();
        for round in 0..3 {
            (0..100).for_each(|number| ask(&mut pairing, 1000 * round + number, 200 << 10));
            assert!(pairing.held() < 201 << 10);
            assert_eq!(answered(&mut pairing), Some(1000 * round));
            assert!((1..100).all(|_| answered(&mut pairing).is_none()));
        }
    }

    #[test]
    fn after_lost_responses_no_request_that_is_not_remembered_is_in_the_way() {
        let mut pairing = Pairing::default();
        (0..=MOST_OUTSTANDING as u64).for_each(|number| ask(&mut pairing, number, 0));
        pairing.responses_lost();
        ask(&mut pairing, 5000, 0);
        assert_eq!(answered(&mut pairing), Some(5000));
    }
}
