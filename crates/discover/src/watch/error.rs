//! Why new mappings can't be watched.

use std::io;
use thiserror::Error;

/// Why new mappings can't be watched. Capture still works, for the files that were there at the
/// start.
#[derive(Debug, Error)]
pub enum WatchError {
    /// `perf_event_open` was refused.
    #[error(
        "watching for new libraries is not permitted (kernel.perf_event_paranoid is {paranoid}): \
         run as root, or give CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8); in a container, allow \
         perf_event_open in its seccomp profile as well"
    )]
    NotPermitted {
        /// `/proc/sys/kernel/perf_event_paranoid`, or `unknown`.
        paranoid: String,
    },
    /// The kernel has no perf events.
    #[error(
        "this kernel has no perf events ({source}): it was built without CONFIG_PERF_EVENTS; \
         libraries that are mapped later are not seen"
    )]
    Unsupported {
        /// What the system said.
        source: io::Error,
    },
    /// Too many open files, or too much locked memory.
    #[error(
        "watching for new libraries needs one file and {ring_kib} KiB of locked memory per CPU \
         ({source}): raise `ulimit -n` and `ulimit -l`, or kernel.perf_event_mlock_kb"
    )]
    Limit {
        /// Room per CPU, in KiB.
        ring_kib: usize,
        /// What the system said.
        source: io::Error,
    },
    /// Something else.
    #[error("watching for new libraries failed on CPU {cpu}: {source}")]
    Io {
        /// On which CPU.
        cpu: u32,
        /// What the system said.
        source: io::Error,
    },
}

impl WatchError {
    pub(super) fn opening(cpu: u32, ring_len: usize, source: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&source) {
            Some(Errno::ACCESS | Errno::PERM) => {
                let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
                let paranoid = paranoid.map_or("unknown".to_owned(), |text| text.trim().to_owned());
                Self::NotPermitted { paranoid }
            }
            Some(Errno::NOSYS | Errno::NOENT | Errno::OPNOTSUPP) => Self::Unsupported { source },
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
                Self::Limit { ring_kib: ring_len >> 10, source }
            }
            _ => Self::Io { cpu, source },
        }
    }

    /// Mapping the ring fails with EPERM when the locked memory is used up.
    pub(super) fn mapping(cpu: u32, ring_len: usize, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory => {
                Self::Limit { ring_kib: ring_len >> 10, source }
            }
            _ => Self::Io { cpu, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let refused = |errno: rustix::io::Errno| {
            WatchError::opening(0, 1 << 16, io::Error::from_raw_os_error(errno.raw_os_error()))
                .to_string()
        };
        assert!(refused(rustix::io::Errno::ACCESS).contains("CAP_PERFMON"));
        assert!(refused(rustix::io::Errno::NOSYS).contains("CONFIG_PERF_EVENTS"));
        assert!(refused(rustix::io::Errno::MFILE).contains("64 KiB"));
        assert!(refused(rustix::io::Errno::NODEV).contains("CPU 0"));
    }
}
