//! The system calls that need `unsafe`: memory mappings and perf events. Nothing else in this crate
//! does.
#![allow(unsafe_code)]

use perf_event_open_sys::bindings::{
    PERF_COUNT_SW_DUMMY, PERF_FLAG_FD_CLOEXEC, PERF_SAMPLE_TIME, PERF_TYPE_SOFTWARE,
    perf_event_attr, perf_event_mmap_page,
};
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::c_void;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

/// A mapping of this process, unmapped on drop.
#[derive(Debug)]
struct Map {
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; `Map` is its only owner.
unsafe impl Send for Map {}

impl Map {
    fn new(start: *mut c_void, len: usize) -> io::Result<Self> {
        let start =
            NonNull::new(start).ok_or_else(|| io::Error::other("mmap returned a null pointer"))?;
        Ok(Self { start, len })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range was returned by mmap with this length, and nothing borrows from it:
        // every reference to it borrows from the owner of this value.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

/// Memory full of zeros that takes no room until it is written to. Unlike a `Vec`, a length that the
/// kernel refuses is an error, not the end of the process.
#[derive(Debug)]
pub(crate) struct ZeroedMemory(Map);

impl ZeroedMemory {
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        let len = len.max(1);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        Map::new(start, len).map(Self)
    }
}

impl Deref for ZeroedMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is readable, initialised (zero-filled), of this length, and private to
        // this value.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr().cast(), self.0.len) }
    }
}

impl DerefMut for ZeroedMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; the mapping is writable and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.0.start.as_ptr().cast(), self.0.len) }
    }
}

/// Opens an event that reports executable mappings, forks and exits on one CPU, of all processes,
/// each with a `CLOCK_MONOTONIC` time at its end. It takes no samples.
pub(crate) fn open_mapping_event(cpu: u32) -> io::Result<OwnedFd> {
    // perf_event_attr up to clockid: kernel 4.1. Smaller than the binding's, so that a kernel older
    // than the binding accepts it.
    const ATTR_SIZE_VER5: u32 = 112;
    const CLOCK_MONOTONIC: i32 = 1;
    let mut attr = perf_event_attr {
        type_: PERF_TYPE_SOFTWARE,
        size: ATTR_SIZE_VER5,
        config: PERF_COUNT_SW_DUMMY.into(),
        sample_type: PERF_SAMPLE_TIME.into(),
        clockid: CLOCK_MONOTONIC,
        ..perf_event_attr::default()
    };
    attr.set_mmap(1);
    attr.set_mmap2(1);
    attr.set_task(1);
    attr.set_sample_id_all(1);
    attr.set_use_clockid(1);
    attr.set_watermark(1);
    attr.__bindgen_anon_2.wakeup_watermark = 1;
    let cpu = i32::try_from(cpu).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: `attr` is a valid perf_event_attr that outlives the call; -1 is no group.
    let fd = unsafe {
        perf_event_open_sys::perf_event_open(
            &raw mut attr,
            -1,
            cpu,
            -1,
            PERF_FLAG_FD_CLOEXEC.into(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so `fd` is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The consumer's end of a perf event's ring buffer.
#[derive(Debug)]
pub(crate) struct Ring {
    map: Map,
    data_offset: usize,
    data_len: usize,
    fd: OwnedFd,
}

impl Ring {
    /// Maps the ring of `fd` with `data_len` bytes (a power of two of whole pages).
    pub(crate) fn new(fd: OwnedFd, data_len: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of ours.
        let start = unsafe {
            rustix::mm::mmap(
                null_mut(),
                page + data_len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &fd,
                0,
            )
        }?;
        Ok(Self { map: Map::new(start, page + data_len)?, data_offset: page, data_len, fd })
    }

    /// Hands every record that is complete to `each` (its type, and the bytes after its header), and
    /// gives its room back to the kernel. False if the ring held something else than records; it is
    /// emptied all the same.
    pub(crate) fn drain(
        &mut self,
        scratch: &mut Vec<u8>,
        mut each: impl FnMut(u32, &[u8]),
    ) -> bool {
        const HEADER_LEN: u64 = 8;
        let (head, tail) = self.positions();
        // The kernel publishes data_head after the records before it (release); this is the pair.
        let end = head.load(Ordering::Acquire);
        let mut at = tail.load(Ordering::Relaxed);
        while at != end {
            let left = end.wrapping_sub(at);
            scratch.clear();
            if left < HEADER_LEN || left > self.data_len as u64 {
                break;
            }
            self.copy(at, HEADER_LEN as usize, scratch);
            let Some(&[k0, k1, k2, k3, _, _, s0, s1]) = scratch.first_chunk() else { break };
            let len = u64::from(u16::from_le_bytes([s0, s1]));
            if len < HEADER_LEN || len > left {
                break;
            }
            scratch.clear();
            self.copy(at.wrapping_add(HEADER_LEN), (len - HEADER_LEN) as usize, scratch);
            each(u32::from_le_bytes([k0, k1, k2, k3]), scratch);
            at = at.wrapping_add(len);
        }
        tail.store(end, Ordering::Release);
        at == end
    }

    /// Appends `len` bytes that the kernel has published at position `at`.
    fn copy(&self, at: u64, len: usize, into: &mut Vec<u8>) {
        let len = len.min(self.data_len);
        let start = (at & (self.data_len as u64 - 1)) as usize;
        let unwrapped = len.min(self.data_len - start);
        into.reserve(len);
        // SAFETY: both source ranges lie within the data pages, which stay mapped while `self`
        // lives, and between data_tail and data_head, where the kernel does not write; they are
        // copied through pointers because it may write to the rest meanwhile. The destination has
        // room for `len` more bytes, all of which are initialised before the length covers them.
        unsafe {
            let data = self.map.start.as_ptr().cast::<u8>().add(self.data_offset).cast_const();
            let place = into.as_mut_ptr().add(into.len());
            std::ptr::copy_nonoverlapping(data.add(start), place, unwrapped);
            std::ptr::copy_nonoverlapping(data, place.add(unwrapped), len - unwrapped);
            into.set_len(into.len() + len);
        }
    }

    fn positions(&self) -> (&AtomicU64, &AtomicU64) {
        let page = self.map.start.as_ptr().cast::<perf_event_mmap_page>();
        // SAFETY: the first page of the mapping is a perf_event_mmap_page, aligned to a page; both
        // fields are 8-byte aligned, and the kernel accesses them with single loads and stores.
        unsafe {
            (
                AtomicU64::from_ptr(&raw mut (*page).data_head),
                AtomicU64::from_ptr(&raw mut (*page).data_tail),
            )
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}
