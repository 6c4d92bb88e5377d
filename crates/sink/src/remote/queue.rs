//! What waits for a destination, between the capture's thread and the destination's own: bounded, and
//! never a reason to wait for the one that puts in.

use super::spill::Spill;
use crate::Batch;
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What became of the records so far. `taken` is the sum of `delivered`, `dropped` and what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemoteStats {
    /// Records that were handed over.
    pub taken: u64,
    /// Records that arrived, as far as that can be known: see `docs/destinations.md`.
    pub delivered: u64,
    /// Records for which there was no room.
    pub dropped: u64,
    /// Records that were sent once more because a connection broke before they were confirmed.
    pub resent: u64,
    /// Records that went through the spill file.
    pub spilled: u64,
    /// Connections that were established.
    pub connections: u64,
}

impl RemoteStats {
    /// Records that did not arrive.
    pub fn lost(&self) -> u64 {
        self.taken.saturating_sub(self.delivered)
    }
}

#[derive(Default)]
struct State {
    /// The oldest, in memory.
    head: VecDeque<Arc<Batch>>,
    head_cost: usize,
    /// The newest, on their way to the spill file or past it: used only if there is one.
    tail: VecDeque<Arc<Batch>>,
    tail_cost: usize,
    /// Records in the spill file, or being written to it.
    spilled: u64,
    stats: RemoteStats,
    /// The sender sleeps and is to be woken.
    asleep: bool,
    /// No more records come, and what is there must be out by then.
    deadline: Option<Instant>,
    done: bool,
}

/// The queue of one destination.
pub(super) struct Queue {
    state: Mutex<State>,
    limit: usize,
    has_spill: bool,
    wake: OwnedFd,
    changed: Condvar,
}

/// What the sender gets.
pub(super) enum Next {
    Batch(Arc<Batch>),
    /// The oldest is in the spill file.
    Spilled,
    /// Nothing is there.
    Nothing,
}

impl Queue {
    pub(super) fn new(limit: usize, has_spill: bool) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { state: Mutex::default(), limit, has_spill, wake, changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in, or drops if there is no room.
    pub(super) fn push(&self, batch: &Arc<Batch>) {
        let (records, cost) = (batch.records() as u64, batch.cost());
        let mut state = self.lock();
        if state.deadline.is_some() {
            // The log, after the last event: nobody counts on it any more.
            return;
        }
        state.stats.taken += records;
        let behind_spill = state.spilled > 0 || !state.tail.is_empty();
        let half = if self.has_spill { self.limit / 2 } else { self.limit };
        // A single batch that is larger than the whole queue passes if nothing else is there.
        if !behind_spill && (state.head_cost + cost <= half || state.head.is_empty()) {
            state.head_cost += cost;
            state.head.push_back(Arc::clone(batch));
        } else if self.has_spill && (state.tail_cost + cost <= half || state.tail.is_empty()) {
            state.tail_cost += cost;
            state.tail.push_back(Arc::clone(batch));
            self.changed.notify_all();
        } else {
            state.stats.dropped += records;
            return;
        }
        if state.asleep {
            state.asleep = false;
            drop(state);
            self.wake();
        }
    }

    /// The oldest.
    pub(super) fn pop(&self) -> Next {
        let mut state = self.lock();
        if let Some(batch) = state.head.pop_front() {
            state.head_cost -= batch.cost();
            return Next::Batch(batch);
        }
        if state.spilled > 0 {
            return Next::Spilled;
        }
        if let Some(batch) = state.tail.pop_front() {
            state.tail_cost -= batch.cost();
            return Next::Batch(batch);
        }
        Next::Nothing
    }

    /// The spill's thread: writes what comes too fast to its file. Returns at the end.
    pub(super) fn spill(&self, spill: &Spill) {
        let mut state = self.lock();
        loop {
            if state.done {
                return;
            }
            // Until the memory for them is half full they may pass by the file.
            let needed = state.spilled > 0
                || (!state.tail.is_empty() && state.head_cost + state.tail_cost > self.limit / 2);
            let Some(batch) = state.tail.front().filter(|_| needed).cloned() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.tail.pop_front();
            state.tail_cost -= batch.cost();
            let records = batch.records() as u64;
            // From here on the sender looks for it in the file, and waits for it there.
            state.spilled += records;
            drop(state);
            let written = spill.push(&batch).unwrap_or_else(|error| {
                // Not while the lock is held: the log may go to this very destination.
                tracing::error!("spill file: {error}");
                false
            });
            state = self.lock();
            if written {
                state.stats.spilled += records;
            } else {
                state.spilled -= records;
                state.stats.dropped += records;
            }
            self.changed.notify_all();
        }
    }

    /// Waits a moment for what is being written to the spill file.
    pub(super) fn wait_for_spill(&self) {
        let state = self.lock();
        drop(self.changed.wait_timeout(state, Duration::from_millis(10)));
    }

    /// So many records were taken from the spill file.
    pub(super) fn unspilled(&self, records: u64) {
        self.lock().spilled -= records;
    }

    /// Records that can't be read back from the spill file.
    pub(super) fn spill_failed(&self) {
        let mut state = self.lock();
        let lost = std::mem::take(&mut state.spilled);
        state.stats.dropped += lost;
    }

    /// Says that the sender is about to sleep. False if there is something to do.
    pub(super) fn may_sleep(&self) -> bool {
        let mut state = self.lock();
        let empty = state.head.is_empty() && state.tail.is_empty() && state.spilled == 0;
        state.asleep = empty;
        empty
    }

    /// Says that it does not sleep any more.
    pub(super) fn awake(&self) {
        self.lock().asleep = false;
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
    }

    /// Becomes readable when a sleeping sender is to do something.
    pub(super) fn wakes(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn wake(&self) {
        // It only fails if it is to be woken already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// No more records come, and what is there must be out by `deadline`.
    pub(super) fn close(&self, deadline: Instant) {
        self.lock().deadline = Some(deadline);
        self.wake();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut RemoteStats)) {
        count(&mut self.lock().stats);
    }

    pub(super) fn stats(&self) -> RemoteStats {
        self.lock().stats
    }

    /// The sender has ended.
    pub(super) fn done(&self) {
        self.lock().done = true;
        self.changed.notify_all();
    }

    /// Waits until the sender has ended, or for the deadline.
    pub(super) fn wait_until_done(&self, deadline: Instant) {
        let mut state = self.lock();
        while !state.done {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
