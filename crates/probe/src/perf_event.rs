//! Perf events: the way to uprobes and to perf buffers on kernels that have no newer one.

use libbpf_rs::libbpf_sys::{self, perf_event_attr};
use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `_IOW('$', 8, __u32)` and `_IO('$', 0)` of `include/uapi/linux/perf_event.h`.
const SET_BPF: libc::c_ulong = 0x4004_2408;
const ENABLE: libc::c_ulong = 0x2400;

fn open(attr: &perf_event_attr, pid: c_int, cpu: c_int) -> io::Result<OwnedFd> {
    const FLAG_FD_CLOEXEC: libc::c_ulong = 8;
    const NO_GROUP: c_int = -1;
    // SAFETY: the structure, and what it points to, is valid for the call, and has its size in it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attr),
            pid,
            cpu,
            NO_GROUP,
            FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded: the descriptor is open and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}

fn attributes(kind: u32) -> perf_event_attr {
    perf_event_attr {
        type_: kind,
        size: size_of::<perf_event_attr>() as u32,
        ..perf_event_attr::default()
    }
}

/// An event that programs which run on `cpu` can write samples to; each wakes who waits for it.
pub(crate) fn bpf_output(cpu: u32) -> io::Result<OwnedFd> {
    let mut attr = attributes(libbpf_sys::PERF_TYPE_SOFTWARE);
    attr.config = libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT.into();
    attr.sample_type = libbpf_sys::PERF_SAMPLE_RAW.into();
    attr.__bindgen_anon_1.sample_period = 1;
    attr.__bindgen_anon_2.wakeup_events = 1;
    let event = open(&attr, -1, cpu as c_int)?;
    control(&event, ENABLE, 0)?;
    Ok(event)
}

/// A uprobe at a file offset that runs `program`, in one process or (-1) in all. It is removed when
/// the event is closed.
pub(crate) fn uprobe(
    program: BorrowedFd<'_>,
    retprobe: bool,
    pid: i32,
    path: &CStr,
    offset: u64,
) -> io::Result<OwnedFd> {
    let kind = std::fs::read_to_string("/sys/bus/event_source/devices/uprobe/type")?;
    let mut attr = attributes(kind.trim().parse().map_err(io::Error::other)?);
    // /sys/bus/event_source/devices/uprobe/format/retprobe has said "config:0" since there is one.
    attr.config = u64::from(retprobe);
    attr.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
    attr.__bindgen_anon_4.probe_offset = offset;
    // For all processes one CPU has to be named; programs run on every one nevertheless.
    let event = open(&attr, pid, if pid == -1 { 0 } else { -1 })?;
    control(&event, SET_BPF, program.as_raw_fd())?;
    control(&event, ENABLE, 0)?;
    Ok(event)
}

fn control(event: &OwnedFd, request: libc::c_ulong, argument: c_int) -> io::Result<()> {
    // SAFETY: neither request takes a pointer.
    let answer = unsafe { libc::ioctl(event.as_raw_fd(), request, argument) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
