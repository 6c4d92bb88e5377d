//! How long to wait before connecting again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// Twice as long each time, and never the same for everybody.
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// After something went well.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Between a half of the current time and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(LONGEST);
        now.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_begin_again() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2);
        assert!(waits[4] >= FIRST * 8 && waits[4] <= FIRST * 16);
        assert!(waits[19] >= LONGEST / 2 && waits[19] <= LONGEST);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
