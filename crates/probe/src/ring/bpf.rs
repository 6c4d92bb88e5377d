//! `BPF_MAP_TYPE_RINGBUF`.
//!
//! Layout and protocol: Linux, Documentation/bpf/ringbuf.rst and kernel/bpf/ringbuf.c. The data pages
//! are mapped twice in a row, so a sample never wraps.

use super::Head;
use super::gauge::Gauge;
use crate::mapping::{Mapping, page_size};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const SAMPLE_HEADER: u64 = 8;

/// One ring buffer, mapped.
pub(crate) struct BpfRing {
    pub(super) fd: OwnedFd,
    consumer: Arc<Mapping>,
    producer: Arc<Mapping>,
    page: usize,
    mask: u64,
}

impl BpfRing {
    /// Maps a ring of `size` bytes (a power of two, a multiple of the page size).
    pub(crate) fn new(fd: OwnedFd, size: usize) -> io::Result<Self> {
        let page = page_size();
        let consumer = Arc::new(Mapping::new(&fd, page, 0, true)?);
        let producer = Arc::new(Mapping::new(&fd, page + 2 * size, page, false)?);
        Ok(Self { fd, consumer, producer, page, mask: size as u64 - 1 })
    }

    pub(super) fn gauge(&self) -> Gauge {
        Gauge {
            produced: (Arc::clone(&self.producer), 0),
            consumed: (Arc::clone(&self.consumer), 0),
            size: self.mask + 1,
        }
    }

    /// How far it was read.
    pub(super) fn consumed(&self) -> u64 {
        atomic_u64(&self.consumer).load(Ordering::Acquire)
    }

    pub(super) fn produced(&self) -> u64 {
        atomic_u64(&self.producer).load(Ordering::Acquire)
    }

    pub(super) fn head(&self, position: u64) -> Head<'_> {
        let at = self.page + (position & self.mask) as usize;
        // SAFETY: `at` lies in the data pages and is 8-aligned: positions advance by multiples of 8.
        let len = unsafe { AtomicU32::from_ptr(self.producer.start().add(at).cast_mut().cast()) }
            .load(Ordering::Acquire);
        if len & BUSY != 0 {
            return Head::Busy;
        }
        let size = u64::from(len & !DISCARDED).min(self.mask + 1 - SAMPLE_HEADER);
        let next = position + (size + SAMPLE_HEADER).next_multiple_of(8);
        if len & DISCARDED != 0 {
            return Head::Skip { next };
        }
        // SAFETY: the kernel published `size` bytes here (the header's BUSY bit was read with
        // acquire), maps the data twice so that they are contiguous, and does not write them again
        // before `give_back` passes `next`, which takes `&mut self`.
        let bytes = unsafe {
            std::slice::from_raw_parts(
                self.producer.start().add(at + SAMPLE_HEADER as usize),
                size as usize,
            )
        };
        Head::Sample { bytes, next }
    }

    pub(super) fn give_back(&mut self, position: u64) {
        atomic_u64(&self.consumer).store(position, Ordering::Release);
    }
}

fn atomic_u64(mapping: &Mapping) -> &AtomicU64 {
    // SAFETY: every mapping is at least a page long and page-aligned.
    unsafe { AtomicU64::from_ptr(mapping.start().cast_mut().cast()) }
}
