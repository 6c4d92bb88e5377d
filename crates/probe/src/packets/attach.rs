//! Puts programs at the TC hooks of interfaces.

use super::clsact::{self, Side};
use super::error::Error;
use super::interfaces::Interface;
use libbpf_rs::libbpf_sys;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A program at a hook, as long as it is kept.
#[derive(Debug)]
pub(super) enum Hook {
    /// Goes with the process.
    Link {
        link: OwnedFd,
    },
    Filter {
        _filter: clsact::Attached,
    },
}

/// Where the kernel has links (`tcx`), a link is made, else a filter.
pub(super) fn attach(
    program: BorrowedFd<'_>,
    interface: &Interface,
    side: Side,
    links: bool,
) -> Result<Hook, Error> {
    let failed = |source| Error::Hook {
        direction: if side == Side::Ingress { "into" } else { "out of" },
        interface: interface.name.clone(),
        source,
    };
    if links {
        match link(program, interface.index, side) {
            Ok(link) => return Ok(Hook::Link { link }),
            // What a kernel says to an attach type that it does not know.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    clsact::Attached::new(program, interface.index, side)
        .map(|filter| Hook::Filter { _filter: filter })
        .map_err(failed)
}

impl Hook {
    /// Puts another program in the place of the one that is there: no packet passes by both or by none.
    pub(super) fn exchange(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let Self::Link { link } = self else { return Err(io::ErrorKind::Unsupported.into()) };
        // SAFETY: both descriptors are open, and no options are given.
        let outcome = unsafe {
            libbpf_sys::bpf_link_update(link.as_raw_fd(), program.as_raw_fd(), std::ptr::null())
        };
        if outcome < 0 { Err(io::Error::from_raw_os_error(-outcome)) } else { Ok(()) }
    }
}

/// Before all others: one that decides what happens to a packet keeps it from those that follow.
fn link(program: BorrowedFd<'_>, index: u32, side: Side) -> io::Result<OwnedFd> {
    let kind = match side {
        Side::Ingress => libbpf_sys::BPF_TCX_INGRESS,
        Side::Egress => libbpf_sys::BPF_TCX_EGRESS,
    };
    let opts = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        flags: libbpf_sys::BPF_F_BEFORE,
        ..Default::default()
    };
    // SAFETY: the options are valid for the call.
    let fd = unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), index as i32, kind, &raw const opts)
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call succeeded: the descriptor is open and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
