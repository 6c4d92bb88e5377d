//! Memory for maps before Linux 5.11, which counts it against `RLIMIT_MEMLOCK` (64 KiB by default).

use crate::error::Error;
use libbpf_rs::ErrorKind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes the limit away, if we may. Newer kernels do without it, and it is not known yet whether this
/// one does: whether it was needed shows when the programs are loaded.
pub(crate) fn unlimit() {
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
}

/// What it means that the programs were not loaded.
pub(crate) fn explain(source: libbpf_rs::Error) -> Error {
    let limit = getrlimit(Resource::Memlock).current;
    // What is counted is refused with EPERM, which also means that rights are missing.
    match (source.kind(), limit) {
        (ErrorKind::PermissionDenied, Some(limit)) if counts_against_limit() => {
            Error::LockedMemory { limit, source }
        }
        _ => Error::Load { source },
    }
}

/// `bpf_ktime_get_coarse_ns` came with Linux 5.11, as the other way of counting did.
fn counts_against_limit() -> bool {
    !crate::features::helper(libbpf_rs::libbpf_sys::BPF_FUNC_ktime_get_coarse_ns)
}
