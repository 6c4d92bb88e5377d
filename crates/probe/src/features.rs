//! What this kernel can do, found out by asking it, and less than that for tests.

use libbpf_rs::libbpf_sys;
use std::ffi::c_void;
use std::io;

/// The environment variable that withholds features, and with each what is younger: names of
/// [`FEATURES`], separated by commas. It is for tests: what replaces a feature relies on what kernels
/// without it are like (perf buffers, on probes that are not preempted).
pub const VARIABLE: &str = "ECAPTURE_WITHOUT";

/// Something that only newer kernels have, and without which a capture works in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Type information (`CONFIG_DEBUG_INFO_BTF`, Linux 5.2).
    Btf,
    /// BPF ring buffers, Linux 5.8; before, perf buffers.
    RingBuffer,
    /// Attach cookies, Linux 5.15; before, an instance of the programs for each function.
    Cookie,
    /// `bpf_loop`, Linux 5.17; before, only the first 32 MiB of a call are copied.
    Loop,
    /// `uprobe.multi` links, Linux 6.6; before, a perf event for each site.
    Multi,
    /// Links at the TC hooks, Linux 6.6; before, filters of a `clsact` queueing discipline.
    Tcx,
}

/// The features by their names in [`VARIABLE`], oldest first.
pub const FEATURES: [(&str, Feature); 6] = [
    ("btf", Feature::Btf),
    ("ringbuf", Feature::RingBuffer),
    ("cookie", Feature::Cookie),
    ("loop", Feature::Loop),
    ("multi", Feature::Multi),
    ("tcx", Feature::Tcx),
];

/// Features to do without although the kernel has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Without(Vec<Feature>);

/// A name that is not in [`FEATURES`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{VARIABLE}: there is no \"{0}\"; there are btf, ringbuf, cookie, loop, multi, tcx")]
pub struct UnknownFeature(String);

impl Without {
    /// What [`VARIABLE`] says.
    pub fn from_environment() -> Result<Self, UnknownFeature> {
        Self::parse(&std::env::var_os(VARIABLE).unwrap_or_default().to_string_lossy())
    }

    /// What a text like that of [`VARIABLE`] says.
    pub fn parse(names: &str) -> Result<Self, UnknownFeature> {
        names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| {
                let found = FEATURES.iter().find(|(known, _)| *known == name);
                found.map(|(_, feature)| *feature).ok_or_else(|| UnknownFeature(name.to_owned()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// True if the feature is not to be used.
    pub fn has(&self, feature: Feature) -> bool {
        self.0.contains(&feature)
    }
}

/// Which ways a capture takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) ring_buffer: bool,
    pub(crate) cookie: bool,
    pub(crate) loop_helper: bool,
    pub(crate) multi: bool,
}

impl Features {
    /// Asks the kernel. What is younger than a feature that is missing is not used either, as there
    /// is no kernel with it; the instances of programs that replace cookies cannot call `bpf_loop`.
    pub(crate) fn detect(without: &Without) -> Self {
        let kernel = Self::of_kernel();
        let ring_buffer = kernel.ring_buffer && !without.has(Feature::RingBuffer);
        let cookie = ring_buffer && kernel.cookie && !without.has(Feature::Cookie);
        let loop_helper = cookie && kernel.loop_helper && !without.has(Feature::Loop);
        let multi = loop_helper && kernel.multi && !without.has(Feature::Multi);
        Self { ring_buffer, cookie, loop_helper, multi }
    }

    fn of_kernel() -> Self {
        // The youngest of them, which has cookies and came long after the others.
        let multi = uprobe_multi();
        Self {
            ring_buffer: multi || ring_buffer(),
            cookie: multi || helper(libbpf_sys::BPF_FUNC_get_attach_cookie),
            loop_helper: multi || helper(libbpf_sys::BPF_FUNC_loop),
            multi,
        }
    }
}

/// `uprobe.multi` links (Linux 6.6): many sites, each with a cookie, in one link; they need no
/// `CAP_SYS_ADMIN`.
fn uprobe_multi() -> bool {
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

pub(crate) fn helper(id: libbpf_sys::bpf_func_id) -> bool {
    // SAFETY: no options are given; the call has no other preconditions.
    let answer = unsafe {
        libbpf_sys::libbpf_probe_bpf_helper(
            libbpf_sys::BPF_PROG_TYPE_KPROBE,
            id,
            std::ptr::null::<c_void>(),
        )
    };
    answer == 1
}

fn ring_buffer() -> bool {
    // SAFETY: as above.
    let answer = unsafe {
        libbpf_sys::libbpf_probe_bpf_map_type(
            libbpf_sys::BPF_MAP_TYPE_RINGBUF,
            std::ptr::null::<c_void>(),
        )
    };
    answer == 1
}

/// Whether the kernel's own types are described (`/sys/kernel/btf/vmlinux`).
pub fn btf() -> bool {
    std::path::Path::new("/sys/kernel/btf/vmlinux").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_withheld_by_name() {
        let without = Without::parse("cookie, loop,").unwrap();
        assert!(without.has(Feature::Cookie) && without.has(Feature::Loop));
        assert!(!without.has(Feature::Multi));
        assert_eq!(Without::parse(""), Ok(Without::default()));
        let error = Without::parse("cookie,kprobe").unwrap_err().to_string();
        assert!(FEATURES.iter().all(|(name, _)| error.contains(name)), "{error}");
        assert!(error.contains("kprobe"), "{error}");
    }
}
