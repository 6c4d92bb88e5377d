//! What can go wrong between us and the kernel.

use std::io;

/// A failure to load, attach or read, with what it concerns and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused the BPF object.
    #[error("cannot load the BPF programs: {source}{}", advice(source))]
    Load {
        /// What libbpf said.
        source: libbpf_rs::Error,
    },
    /// Before Linux 5.11 maps count as locked memory.
    #[error(
        "cannot load the BPF programs: {source}; this kernel counts maps as locked memory, of which \
         {limit} bytes are allowed: run with CAP_SYS_RESOURCE, or after `ulimit -l unlimited` (in a \
         systemd unit: LimitMEMLOCK=infinity)"
    )]
    LockedMemory {
        /// `RLIMIT_MEMLOCK`
        limit: u64,
        /// What libbpf said.
        source: libbpf_rs::Error,
    },
    /// A part of the BPF object that the loader relies on is not in it.
    #[error("the BPF object has no {0}; this build of ecapture is broken")]
    Missing(&'static str),
    /// A ring buffer could not be made or mapped.
    #[error("cannot make a ring buffer of {size} bytes: {source}; try a smaller --mapsize")]
    Ring {
        /// Its size in bytes.
        size: usize,
        /// The system's answer.
        source: io::Error,
    },
    /// A probe could not be attached.
    #[error("cannot attach {what} to {path}: {source}")]
    Attach {
        /// Which program or function.
        what: String,
        /// The file.
        path: String,
        /// What libbpf said.
        source: libbpf_rs::Error,
    },
    /// A plan that the programs cannot follow.
    #[error("no keys of {path}: {function} is not what the programs can read: {what}")]
    KeyPlan {
        /// The file.
        path: String,
        /// The function.
        function: String,
        /// What does not fit.
        what: String,
    },
    /// A map could not be read or written.
    #[error("cannot update the BPF map {map}: {source}")]
    Map {
        /// The map's name.
        map: &'static str,
        /// What libbpf said.
        source: libbpf_rs::Error,
    },
    /// The kernel lacks something for which there is no other way.
    #[error("{what} can be captured on Linux {needs} and later only")]
    TooOld {
        /// What was wanted.
        what: &'static str,
        /// From which version on it works.
        needs: &'static str,
    },
    /// Packets cannot be captured as asked.
    #[error(transparent)]
    Packets(#[from] crate::packets::Error),
    /// Waiting for the kernel failed.
    #[error("cannot wait for events: {0}")]
    Wait(io::Error),
    /// More libraries or functions than the tables hold.
    #[error("{path} is not captured: more than {limit} {what} are attached already")]
    Full {
        /// The file.
        path: String,
        /// Of which there are too many.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
}

fn advice(source: &libbpf_rs::Error) -> &'static str {
    match source.kind() {
        libbpf_rs::ErrorKind::PermissionDenied => {
            "; run as root (or with CAP_BPF and CAP_PERFMON), or see `ecapture doctor`"
        }
        _ => "; `ecapture doctor` tells what this kernel lacks, --debug shows what it said",
    }
}
