//! The perf buffer of one CPU.
//!
//! Layout and protocol: Linux, `include/uapi/linux/perf_event.h` (`struct perf_event_mmap_page`). The
//! kernel moves `data_head` when records are complete, so none is ever seen half-written.

use super::gauge::Gauge;
use super::{Buffer, Head, Rings};
use crate::error::Error;
use crate::mapping::{Mapping, page_size};
use crate::object;
use crate::perf_event;
use libbpf_rs::{MapCore, MapFlags, Object};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// `struct perf_event_mmap_page`
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;
/// `struct perf_event_header`: type (32 bits), misc (16), size (16).
const HEADER: usize = 8;
const PERF_RECORD_SAMPLE: u32 = 9;
/// With `PERF_SAMPLE_RAW` alone a sample is its length, and the bytes, padded together to 8.
const LENGTH: usize = 4;

/// One perf buffer, mapped.
pub(crate) struct PerfRing {
    pub(super) fd: OwnedFd,
    mapping: Arc<Mapping>,
    page: usize,
    mask: u64,
    /// A record that wraps around the end, put together, and its position.
    wrapped: (u64, Vec<u8>),
}

impl PerfRing {
    /// Makes the buffer of a CPU, of `size` bytes (a power of two, a multiple of the page size).
    pub(crate) fn new(cpu: u32, size: usize) -> io::Result<Self> {
        let page = page_size();
        let fd = perf_event::bpf_output(cpu)?;
        let mapping = Arc::new(Mapping::new(&fd, page + size, 0, true)?);
        Ok(Self { fd, mapping, page, mask: size as u64 - 1, wrapped: (u64::MAX, Vec::new()) })
    }

    /// The event that programs write to.
    pub(crate) fn event(&self) -> &OwnedFd {
        &self.fd
    }

    fn word(&self, offset: usize) -> Option<&AtomicU64> {
        self.mapping.u64_at(offset)
    }

    pub(super) fn gauge(&self) -> Gauge {
        Gauge {
            produced: (Arc::clone(&self.mapping), DATA_HEAD),
            consumed: (Arc::clone(&self.mapping), DATA_TAIL),
            size: self.mask + 1,
        }
    }

    /// How far it was read.
    pub(super) fn consumed(&self) -> u64 {
        self.word(DATA_TAIL).map_or(0, |tail| tail.load(Ordering::Relaxed))
    }

    pub(super) fn produced(&self) -> u64 {
        self.word(DATA_HEAD).map_or(0, |head| head.load(Ordering::Acquire))
    }

    /// `limit` is a position that [`produced`](Self::produced) returned, beyond `position`.
    pub(super) fn head(&mut self, position: u64, limit: u64) -> Head<'_> {
        let available = (limit - position) as usize;
        let mut kind = [0; 4];
        let mut size = [0; 2];
        if available < HEADER {
            return Head::Skip { next: limit };
        }
        self.copy(position, &mut kind);
        self.copy(position + 6, &mut size);
        let (kind, size) = (u32::from_ne_bytes(kind), usize::from(u16::from_ne_bytes(size)));
        if size < HEADER || size > available {
            // Not what a kernel writes; whatever follows cannot be found.
            return Head::Skip { next: limit };
        }
        let next = position + size as u64;
        // What was lost the programs count themselves, in bytes: PERF_RECORD_LOST only has a number.
        if kind != PERF_RECORD_SAMPLE || size < HEADER + LENGTH {
            return Head::Skip { next };
        }
        let start = position + (HEADER + LENGTH) as u64;
        let len = size - HEADER - LENGTH;
        let at = (start & self.mask) as usize;
        if at + len > self.mask as usize + 1 {
            if self.wrapped.0 != position {
                let mut bytes = std::mem::take(&mut self.wrapped.1);
                bytes.resize(len, 0);
                self.copy(start, &mut bytes);
                self.wrapped = (position, bytes);
            }
            return Head::Sample { bytes: &self.wrapped.1, next };
        }
        // SAFETY: the range lies in the data pages; the kernel published it (`data_head` was read with
        // acquire, and is beyond it) and does not write it again before `give_back` passes `next`,
        // which takes `&mut self`.
        let bytes =
            unsafe { std::slice::from_raw_parts(self.mapping.start().add(self.page + at), len) };
        Head::Sample { bytes, next }
    }

    pub(super) fn give_back(&mut self, position: u64) {
        if let Some(tail) = self.word(DATA_TAIL) {
            tail.store(position, Ordering::Release);
        }
    }

    /// Copies published bytes from `position` on, around the end if need be.
    fn copy(&self, position: u64, to: &mut [u8]) {
        let size = self.mask as usize + 1;
        let at = (position & self.mask) as usize;
        let first = to.len().min(size - at);
        let rest = (to.len() - first).min(size);
        // SAFETY: both ranges lie in the data pages and `to` is as long as both; the callers only ask
        // for bytes that the kernel has published and that were not given back.
        unsafe {
            let data = self.mapping.start().add(self.page);
            std::ptr::copy_nonoverlapping(data.add(at), to.as_mut_ptr(), first);
            std::ptr::copy_nonoverlapping(data, to.as_mut_ptr().add(first), rest);
        }
    }
}

impl Rings {
    /// The buffers of all CPUs, of `bytes` each, behind the object's map `events`.
    pub(crate) fn perf(object: &Object, cpus: usize, bytes: usize) -> Result<Self, Error> {
        let events = object::map(object, "events")?;
        let size =
            bytes.max(page_size()).checked_next_power_of_two().unwrap_or(1 << 30).min(1 << 30);
        let mut buffers = Vec::with_capacity(cpus);
        for cpu in 0..cpus as u32 {
            let ring = match PerfRing::new(cpu, size) {
                Ok(ring) => ring,
                // A CPU that is possible but not there. Should it come, what it writes is counted lost.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
                Err(source) => return Err(Error::Ring { size, source }),
            };
            let event = ring.event().as_raw_fd() as u32;
            events
                .update(&cpu.to_ne_bytes(), &event.to_ne_bytes(), MapFlags::ANY)
                .map_err(|source| Error::Map { map: "events", source })?;
            buffers.push(Buffer::Perf(ring));
        }
        Ok(Self::new(buffers))
    }
}
