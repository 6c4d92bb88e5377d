//! Reads several BPF ring buffers as one stream in the order of time.
//!
//! Layout and protocol: Linux, Documentation/bpf/ringbuf.rst and kernel/bpf/ringbuf.c. The data pages
//! are mapped twice in a row, so a sample never wraps.
//!
//! There is one ring for a few CPUs, because one ring for all makes the producers wait for each other.
//! The price is that a connection's records can lie in several rings. They are merged by the time
//! that each record starts with. For the merge to keep cause before effect it works in rounds: the
//! producers' positions are read twice, for all rings; whatever happened before something inside
//! the first reading is inside the second. A round hands out records up to the first reading, and
//! looks for earlier ones up to the second.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const SAMPLE_HEADER: u64 = 8;
/// Space is handed back to the producers each time so many bytes were consumed.
const GIVE_BACK: u64 = 64 * 1024;

/// One `BPF_MAP_TYPE_RINGBUF`, mapped.
struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    mask: u64,
    /// Read position; the kernel's copy lags behind by less than [`GIVE_BACK`].
    position: u64,
    given_back: u64,
}

/// What stands at a ring's read position.
enum Head<'a> {
    Empty,
    /// Reserved by a program that is still writing it.
    Busy,
    Sample {
        bytes: &'a [u8],
        next: u64,
    },
    Discarded {
        next: u64,
    },
}

impl Ring {
    fn new(fd: OwnedFd, size: usize, page: usize) -> io::Result<Self> {
        let consumer = Mapping::new(&fd, page, 0, true)?;
        let producer = Mapping::new(&fd, page + 2 * size, page, false)?;
        let position = atomic_u64(&consumer).load(Ordering::Acquire);
        Ok(Self { fd, consumer, producer, mask: size as u64 - 1, position, given_back: position })
    }

    fn produced(&self) -> u64 {
        atomic_u64(&self.producer).load(Ordering::Acquire)
    }

    fn head(&self, limit: u64, page: usize) -> Head<'_> {
        if self.position >= limit {
            return Head::Empty;
        }
        let at = page + (self.position & self.mask) as usize;
        // SAFETY: `at` lies in the data pages and is 8-aligned: positions advance by multiples of 8.
        let len = unsafe { AtomicU32::from_ptr(self.producer.start.as_ptr().add(at).cast()) }
            .load(Ordering::Acquire);
        if len & BUSY != 0 {
            return Head::Busy;
        }
        let size = u64::from(len & !DISCARDED).min(self.mask + 1 - SAMPLE_HEADER);
        let next = self.position + (size + SAMPLE_HEADER).next_multiple_of(8);
        if len & DISCARDED != 0 {
            return Head::Discarded { next };
        }
        // SAFETY: the kernel published `size` bytes here (the header's BUSY bit was read with
        // acquire), maps the data twice so that they are contiguous, and does not write them again
        // before `give_back` passes `next`, which takes `&mut self`.
        let bytes = unsafe {
            std::slice::from_raw_parts(
                self.producer.start.as_ptr().add(at + SAMPLE_HEADER as usize),
                size as usize,
            )
        };
        Head::Sample { bytes, next }
    }

    fn give_back(&mut self) {
        if self.given_back != self.position {
            self.given_back = self.position;
            atomic_u64(&self.consumer).store(self.position, Ordering::Release);
        }
    }
}

/// All rings of a capture.
pub(crate) struct Rings {
    each: Vec<Ring>,
    page: usize,
    /// Per ring, scratch for a round: where the two readings of the producers' positions were.
    bounds: Vec<(u64, u64)>,
}

impl Rings {
    /// Maps the rings, each of `size` bytes (a power of two, a multiple of the page size).
    pub(crate) fn new(fds: Vec<OwnedFd>, size: usize) -> io::Result<Self> {
        let page = page_size();
        let each =
            fds.into_iter().map(|fd| Ring::new(fd, size, page)).collect::<io::Result<Vec<_>>>()?;
        let bounds = vec![(0, 0); each.len()];
        Ok(Self { each, page, bounds })
    }

    /// The descriptors that become readable when the kernel wakes the reader.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        self.each.iter().map(|ring| ring.fd.as_fd())
    }

    /// True if no ring holds anything, not even a sample that is being written.
    pub(crate) fn is_empty(&self) -> bool {
        self.each.iter().all(|ring| ring.produced() == ring.position)
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
                    match self.each[index].head(second, self.page) {
                        // Whatever lies behind it may be the cause of what other rings hold.
                        Head::Busy if self.each[index].position < first => break 'next,
                        Head::Empty | Head::Busy => break,
                        Head::Discarded { next } => self.each[index].position = next,
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
            if let Head::Sample { bytes, next } = self.each[index].head(second, self.page) {
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

/// Memory shared with the kernel, unmapped on drop.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is owned, and shared memory is only touched through atomics or, for samples, after
// the kernel published them.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of the map `fd` from `offset` on.
    pub(crate) fn new(
        fd: &impl AsRawFd,
        len: usize,
        offset: usize,
        writable: bool,
    ) -> io::Result<Self> {
        let protection =
            if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast())
            .map(|start| Self { start, len })
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The 32-bit word at `offset` bytes, or `None` beyond the end or misaligned.
    pub(crate) fn u32_at(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(4) || offset.checked_add(4)? > self.len {
            return None;
        }
        // SAFETY: inside the mapping, aligned, and only accessed atomically on this side.
        Some(unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(offset).cast()) })
    }

    /// The 64-bit word at `offset` bytes, or `None` beyond the end or misaligned.
    pub(crate) fn u64_at(&self, offset: usize) -> Option<&AtomicU64> {
        if !offset.is_multiple_of(8) || offset.checked_add(8)? > self.len {
            return None;
        }
        // SAFETY: inside the mapping, aligned, and only accessed atomically on this side.
        Some(unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is ours and nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

fn atomic_u64(mapping: &Mapping) -> &AtomicU64 {
    // SAFETY: every mapping is at least a page long and page-aligned.
    unsafe { AtomicU64::from_ptr(mapping.start.as_ptr().cast()) }
}

/// The size of a memory page in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
