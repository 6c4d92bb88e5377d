//! What can go wrong with a capture of packets.

use super::filter::Invalid;
use std::io;

/// A failure, with what it concerns and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The packet filter is none.
    #[error(transparent)]
    Filter(#[from] Invalid),
    /// The kernel refused the packet filter.
    #[error("the kernel does not take the packet filter \"{expression}\": {source}")]
    FilterLoad {
        /// As the user wrote it.
        expression: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no such interface in this network namespace.
    #[error("there is no interface {name}; there are {there}")]
    NoInterface {
        /// As the user wrote it.
        name: String,
        /// Those that could be captured.
        there: String,
    },
    /// An interface that cannot be captured.
    #[error("cannot capture packets of {name}: {reason}; what can be captured: {there}")]
    Unusable {
        /// The interface.
        name: String,
        /// Why not.
        reason: String,
        /// Those that could be captured.
        there: String,
    },
    /// No interface is up.
    #[error("no interface can be captured: none is up, or none has Ethernet or IP packets")]
    NoInterfaces,
    /// One more than there are numbers for.
    #[error(
        "packets of {interface} are not captured: there were {most} interfaces since the start, which \
         is the most; choose with -i"
    )]
    TooMany {
        /// The interface.
        interface: String,
        /// As many can be captured.
        most: usize,
    },
    /// A hook could not be attached.
    #[error("cannot attach to packets {direction} {interface}: {source}{}", advice(source))]
    Hook {
        /// "into" or "out of".
        direction: &'static str,
        /// The interface.
        interface: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel does not tell what there is.
    #[error("cannot list the {what}: {source}")]
    List {
        /// Of what.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel cannot put one program in the place of another.
    #[error(
        "the packet filter cannot be changed while packets are captured without links at TC hooks (Linux 6.6): \
         start ecapture anew"
    )]
    Exchange,
    /// The kernel lacks what packets need.
    #[error("packets cannot be captured without {0}")]
    Kernel(&'static str),
}

fn advice(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "; run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
        }
        // No such queueing discipline, or no such kind of filter.
        Some(libc::ENOENT) => {
            "; before Linux 6.6 this needs the kernel modules sch_ingress and cls_bpf (modprobe)"
        }
        _ => "",
    }
}
