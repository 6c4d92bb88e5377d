//! Which request a response answers: they come in the same order (RFC 9112 section 9.3.2).
//!
//! Where bytes are missing that order says less; then no answer is better than a wrong one.

use crate::message::Asked;
use event::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// More requests than this are not remembered; nobody pipelines as many.
const MOST_OUTSTANDING: usize = 1024;

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
        if doubtful || self.outstanding.len() == MOST_OUTSTANDING {
            self.outstanding.pop_front();
        }
        let exchange = next_exchange();
        let mut text = std::mem::take(&mut self.spare);
        text.extend_from_slice(method);
        text.extend_from_slice(target);
        let asked = Asked { text, method_len: method.len() };
        let doubtful = false;
        self.outstanding.push_back(Outstanding { exchange, ts, asked, doubtful });
        exchange
    }

    /// The request that the next response answers.
    pub(super) fn first(&self) -> Option<&Outstanding> {
        self.outstanding.front()
    }

    /// Takes it: the response is final.
    pub(super) fn answer(&mut self) -> Option<Outstanding> {
        self.outstanding.pop_front()
    }

    /// Notes a response to a request that was not seen.
    pub(super) fn orphan(&mut self, ts: Timestamp, exchange: u64) {
        self.orphan = Some((ts, exchange));
    }

    /// Notes that responses may be missing: of the requests so far at most the last can still be
    /// answered, and none once another is asked.
    pub(super) fn responses_lost(&mut self) {
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
