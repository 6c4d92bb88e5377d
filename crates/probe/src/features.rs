//! What this kernel can do, found out by asking it.

use libbpf_rs::libbpf_sys;
use std::ffi::c_void;
use std::io;

/// `uprobe.multi` links (Linux 6.6): many sites, each with a cookie, in one link; they need no
/// `CAP_SYS_ADMIN`.
pub fn uprobe_multi() -> bool {
    // r0 = 0; exit
    let instructions = [
        libbpf_sys::bpf_insn { code: 0xb7, ..Default::default() },
        libbpf_sys::bpf_insn { code: 0x95, ..Default::default() },
    ];
    let mut opts = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: libbpf_sys::BPF_TRACE_UPROBE_MULTI,
        ..Default::default()
    };
    // SAFETY: all pointers are valid for the call; lengths match.
    let program = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_KPROBE,
            c"probe".as_ptr(),
            c"GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as _,
            &raw mut opts,
        )
    };
    if program < 0 {
        return false;
    }
    let offset: libbpf_sys::__u64 = 0;
    let mut link = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        ..Default::default()
    };
    // A directory cannot be probed: a kernel that knows the link type says so, another that the
    // type is invalid.
    link.__bindgen_anon_1.uprobe_multi.path = c"/".as_ptr();
    link.__bindgen_anon_1.uprobe_multi.offsets = (&raw const offset).cast();
    link.__bindgen_anon_1.uprobe_multi.cnt = 1;
    // SAFETY: the options outlive the call.
    let answer = unsafe {
        libbpf_sys::bpf_link_create(
            program,
            -1,
            libbpf_sys::BPF_TRACE_UPROBE_MULTI,
            &raw const link,
        )
    };
    let error = io::Error::last_os_error().raw_os_error();
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(program) };
    if answer >= 0 {
        // SAFETY: as above.
        unsafe { libc::close(answer) };
    }
    answer < 0 && error == Some(libc::EBADF)
}

/// `bpf_loop` (Linux 5.17): calls of any size are copied whole.
pub fn loop_helper() -> bool {
    // SAFETY: no options are given; the call has no other preconditions.
    let answer = unsafe {
        libbpf_sys::libbpf_probe_bpf_helper(
            libbpf_sys::BPF_PROG_TYPE_KPROBE,
            libbpf_sys::BPF_FUNC_loop,
            std::ptr::null::<c_void>(),
        )
    };
    answer == 1
}

/// Whether the kernel's own types are described (`/sys/kernel/btf/vmlinux`).
pub fn btf() -> bool {
    std::path::Path::new("/sys/kernel/btf/vmlinux").exists()
}
