//! The system calls behind the trials: BPF maps, programs and links, and uprobe perf events. The only
//! file in this crate with `unsafe`.
#![allow(unsafe_code)]

use libbpf_sys as sys;
use perf_event_open_sys::bindings::{PERF_FLAG_FD_CLOEXEC, perf_event_attr};
use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr::null;

/// A function of this program to put a probe on: it does nothing, and only [`hit`] calls it.
#[inline(never)]
extern "C" fn landing(value: u64) -> u64 {
    std::hint::black_box(value)
}

/// Runs over the probe, if there is one.
pub(crate) fn hit() {
    std::hint::black_box(landing(std::hint::black_box(1)));
}

/// Where the function that [`hit`] calls is, as an address of this process.
pub(crate) fn landing_address() -> u64 {
    landing as *const () as u64
}

/// Takes over what libbpf's low-level calls return: a descriptor, or a negative error number.
fn owned(answer: c_int) -> io::Result<OwnedFd> {
    if answer < 0 {
        return Err(io::Error::from_raw_os_error(-answer));
    }
    // SAFETY: the call succeeded, so the descriptor is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(answer) })
}

/// Makes a map.
pub(crate) fn map(kind: u32, key_len: u32, value_len: u32, entries: u32) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string; no options are given.
    owned(unsafe {
        sys::bpf_map_create(kind, c"doctor".as_ptr(), key_len, value_len, entries, null())
    })
}

/// Makes a map of one counter, of 64 bits.
pub(crate) fn counter() -> io::Result<OwnedFd> {
    map(sys::BPF_MAP_TYPE_ARRAY, 4, 8, 1)
}

/// Reads a map made by [`counter`].
pub(crate) fn count(counter: &OwnedFd) -> io::Result<u64> {
    let (key, mut value) = (0_u32, 0_u64);
    // SAFETY: the map's keys have 4 bytes and its values 8, as `key` and `value` do.
    let answer = unsafe {
        sys::bpf_map_lookup_elem(
            counter.as_raw_fd(),
            (&raw const key).cast::<c_void>(),
            (&raw mut value).cast::<c_void>(),
        )
    };
    if answer < 0 { Err(io::Error::from_raw_os_error(-answer)) } else { Ok(value) }
}

fn instruction(code: u8, dst: u8, src: u8, imm: i32) -> sys::bpf_insn {
    let mut instruction = sys::bpf_insn { code, imm, ..sys::bpf_insn::default() };
    instruction.set_dst_reg(dst);
    instruction.set_src_reg(src);
    instruction
}

/// Loads a program that does nothing, or that adds 1 to a counter.
pub(crate) fn program(
    kind: u32,
    attach_type: u32,
    counter: Option<&OwnedFd>,
) -> io::Result<OwnedFd> {
    const LOAD_64: u8 = 0x18;
    const MOVE: u8 = 0xb7;
    const ATOMIC_ADD_64: u8 = 0xdb;
    const EXIT: u8 = 0x95;
    const MAP_VALUE: u8 = 2;
    let mut code = Vec::new();
    if let Some(counter) = counter {
        // r1 = address of the value; r2 = 1; *r1 += r2
        code.push(instruction(LOAD_64, 1, MAP_VALUE, counter.as_raw_fd()));
        code.push(instruction(0, 0, 0, 0));
        code.push(instruction(MOVE, 2, 0, 1));
        code.push(instruction(ATOMIC_ADD_64, 1, 2, 0));
    }
    code.push(instruction(MOVE, 0, 0, 0));
    code.push(instruction(EXIT, 0, 0, 0));
    let mut options = sys::bpf_prog_load_opts {
        sz: size_of::<sys::bpf_prog_load_opts>() as _,
        expected_attach_type: attach_type,
        ..Default::default()
    };
    // SAFETY: the strings are C strings, and all pointers are valid for the call.
    owned(unsafe {
        sys::bpf_prog_load(
            kind,
            c"doctor".as_ptr(),
            c"GPL".as_ptr(),
            code.as_ptr(),
            code.len() as _,
            &raw mut options,
        )
    })
}

/// True if programs of a kind may call a helper. Meaningful only with the right to load programs.
pub(crate) fn has_helper(kind: u32, helper: u32) -> bool {
    // SAFETY: no options are given; the call has no other preconditions.
    unsafe { sys::libbpf_probe_bpf_helper(kind, helper, null()) == 1 }
}

/// True if the kernel knows a kind of map. Meaningful only with the right to make maps.
pub(crate) fn has_map(kind: u32) -> bool {
    // SAFETY: no options are given; the call has no other preconditions.
    unsafe { sys::libbpf_probe_bpf_map_type(kind, null()) == 1 }
}

/// Opens a uprobe perf event for this process, at an offset of a file.
pub(crate) fn uprobe_event(
    event_type: u32,
    is_return: bool,
    path: &CStr,
    offset: u64,
) -> io::Result<OwnedFd> {
    // perf_event_attr up to clockid: kernel 4.1.
    const ATTR_SIZE_VER5: u32 = 112;
    let mut attr = perf_event_attr {
        type_: event_type,
        size: ATTR_SIZE_VER5,
        config: u64::from(is_return),
        ..perf_event_attr::default()
    };
    attr.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
    attr.__bindgen_anon_4.probe_offset = offset;
    // SAFETY: `attr` and the path that it names outlive the call; 0 is this process, -1 any CPU, and
    // -1 no group.
    let fd = unsafe {
        perf_event_open_sys::perf_event_open(&raw mut attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC.into())
    };
    if fd < 0 { Err(io::Error::last_os_error()) } else { owned(fd) }
}

/// Attaches a program to a perf event by a link (Linux 5.15), else by an ioctl. It is detached when
/// the link, or the event, is closed.
pub(crate) fn attach_to_event(program: &OwnedFd, event: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    // SAFETY: no options are given; both descriptors are open.
    let link = owned(unsafe {
        sys::bpf_link_create(program.as_raw_fd(), event.as_raw_fd(), sys::BPF_PERF_EVENT, null())
    });
    if link.is_err() {
        let event = event.as_fd().as_raw_fd();
        // SAFETY: the event is open; the argument is a program's descriptor.
        let answer = unsafe {
            perf_event_open_sys::ioctls::SET_BPF(event, program.as_raw_fd().cast_unsigned())
        };
        if answer != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(link.ok())
}

/// Attaches a program by a `uprobe.multi` link, for this process only.
pub(crate) fn attach_multi(
    program: &OwnedFd,
    attach_type: u32,
    flags: u32,
    path: &CStr,
    offset: u64,
) -> io::Result<OwnedFd> {
    let (offsets, cookies) = ([offset], [1_u64]);
    let mut options = sys::bpf_link_create_opts {
        sz: size_of::<sys::bpf_link_create_opts>() as _,
        ..Default::default()
    };
    options.__bindgen_anon_1.uprobe_multi = sys::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_3 {
        flags,
        cnt: 1,
        path: path.as_ptr(),
        offsets: offsets.as_ptr().cast(),
        cookies: cookies.as_ptr(),
        pid: std::process::id(),
        ..Default::default()
    };
    // SAFETY: the options and what they point to outlive the call; the arrays have `cnt` entries.
    owned(unsafe { sys::bpf_link_create(program.as_raw_fd(), -1, attach_type, &raw const options) })
}

/// Attaches a program to a raw tracepoint.
pub(crate) fn attach_raw_tracepoint(program: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string, the descriptor is open.
    owned(unsafe { sys::bpf_raw_tracepoint_open(name.as_ptr(), program.as_raw_fd()) })
}

/// Keeps libbpf from writing to stderr while it tries things that may fail.
pub(crate) struct Quiet(sys::libbpf_print_fn_t);

impl Quiet {
    pub(crate) fn new() -> Self {
        // SAFETY: None is a valid argument: print nothing.
        Self(unsafe { sys::libbpf_set_print(None) })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: it was in force before.
        unsafe { sys::libbpf_set_print(self.0) };
    }
}
