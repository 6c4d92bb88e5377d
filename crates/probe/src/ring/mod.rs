//! Reads several buffers that the kernel fills as one stream in the order of time.
//!
//! There is one ring for a few CPUs, because one ring for all makes the producers wait for each other;
//! perf buffers belong to one CPU each anyway.
//! The price is that a connection's records can lie in several rings. They are merged by the time
//! that each record starts with. For the merge to keep cause before effect it works in rounds: the
//! producers' positions are read twice, for all rings; whatever happened before something inside
//! the first reading is inside the second. A round hands out records up to the first reading, and
//! looks for earlier ones up to the second.

mod bpf;
mod gauge;
mod perf;

use std::os::fd::{AsFd, BorrowedFd};

pub(crate) use bpf::BpfRing;
pub(crate) use gauge::Gauges;
pub(crate) use perf::PerfRing;

/// Space is handed back to the producers each time so many bytes were consumed.
const GIVE_BACK: u64 = 64 * 1024;

/// What stands at a ring's read position.
enum Head<'a> {
    Empty,
    /// Reserved by a program that is still writing it.
    Busy,
    Sample {
        bytes: &'a [u8],
        next: u64,
    },
    /// Nothing for us.
    Skip {
        next: u64,
    },
}

/// A buffer that the kernel fills.
pub(crate) enum Buffer {
    /// `BPF_MAP_TYPE_RINGBUF`
    Bpf(BpfRing),
    /// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`: the buffer of one CPU.
    Perf(PerfRing),
}

struct Ring {
    buffer: Buffer,
    /// Read position; the kernel's copy lags behind by less than [`GIVE_BACK`].
    position: u64,
    given_back: u64,
}

impl Ring {
    fn new(buffer: Buffer) -> Self {
        let position = match &buffer {
            Buffer::Bpf(ring) => ring.consumed(),
            Buffer::Perf(ring) => ring.consumed(),
        };
        Self { buffer, position, given_back: position }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.buffer {
            Buffer::Bpf(ring) => ring.fd.as_fd(),
            Buffer::Perf(ring) => ring.fd.as_fd(),
        }
    }

    fn produced(&self) -> u64 {
        match &self.buffer {
            Buffer::Bpf(ring) => ring.produced(),
            Buffer::Perf(ring) => ring.produced(),
        }
    }

    fn gauge(&self) -> gauge::Gauge {
        match &self.buffer {
            Buffer::Bpf(ring) => ring.gauge(),
            Buffer::Perf(ring) => ring.gauge(),
        }
    }

    fn head(&mut self, limit: u64) -> Head<'_> {
        if self.position >= limit {
            return Head::Empty;
        }
        match &mut self.buffer {
            Buffer::Bpf(ring) => ring.head(self.position),
            Buffer::Perf(ring) => ring.head(self.position, limit),
        }
    }

    fn give_back(&mut self) {
        if self.given_back != self.position {
            self.given_back = self.position;
            match &mut self.buffer {
                Buffer::Bpf(ring) => ring.give_back(self.position),
                Buffer::Perf(ring) => ring.give_back(self.position),
            }
        }
    }
}

/// All rings of a capture.
pub(crate) struct Rings {
    each: Vec<Ring>,
    /// Per ring, scratch for a round: where the two readings of the producers' positions were.
    bounds: Vec<(u64, u64)>,
}

impl Rings {
    pub(crate) fn new(buffers: Vec<Buffer>) -> Self {
        let each: Vec<Ring> = buffers.into_iter().map(Ring::new).collect();
        let bounds = vec![(0, 0); each.len()];
        Self { each, bounds }
    }

    /// The descriptors that become readable when the kernel wakes the reader.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.each.iter().map(Ring::fd)
    }

    /// How full the rings are, to be read by any thread.
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges(self.each.iter().map(Ring::gauge).collect())
    }

    /// Hands samples that are complete to `handle`, in the order of `time`, until there are no more
    /// or they come to `budget` bytes. Returns how many there were.
    pub(crate) fn drain(
        &mut self,
        budget: usize,
        time: impl Fn(&[u8]) -> u64,
        mut handle: impl FnMut(&[u8]),
    ) -> usize {
        let mut left = budget;
        let mut handled = 0;
        loop {
            let round = self.round(&mut left, &time, &mut handle);
            for ring in &mut self.each {
                ring.give_back();
            }
            handled += round;
            if round == 0 || left == 0 {
                return handled;
            }
        }
    }

    fn round(
        &mut self,
        left: &mut usize,
        time: &impl Fn(&[u8]) -> u64,
        handle: &mut impl FnMut(&[u8]),
    ) -> usize {
        for (ring, bound) in self.each.iter().zip(&mut self.bounds) {
            bound.0 = ring.produced();
        }
        for (ring, bound) in self.each.iter().zip(&mut self.bounds) {
            bound.1 = ring.produced();
        }
        let mut handled = 0;
        'next: while *left > 0 {
            let mut earliest: Option<(u64, usize)> = None;
            for index in 0..self.each.len() {
                let (first, second) = self.bounds[index];
                loop {
                    let position = self.each[index].position;
                    match self.each[index].head(second) {
                        // Whatever lies behind it may be the cause of what other rings hold.
                        Head::Busy if position < first => break 'next,
                        Head::Empty | Head::Busy => break,
                        Head::Skip { next } => self.each[index].position = next,
                        Head::Sample { bytes, .. } => {
                            let time = time(bytes);
                            if earliest.is_none_or(|(best, _)| time < best) {
                                earliest = Some((time, index));
                            }
                            break;
                        }
                    }
                }
            }
            let Some((_, index)) = earliest else { break };
            let (first, second) = self.bounds[index];
            if self.each[index].position >= first {
                break;
            }
            if let Head::Sample { bytes, next } = self.each[index].head(second) {
                handle(bytes);
                *left = left.saturating_sub(bytes.len());
                handled += 1;
                let ring = &mut self.each[index];
                ring.position = next;
                if next - ring.given_back >= GIVE_BACK {
                    ring.give_back();
                }
            }
        }
        handled
    }
}
