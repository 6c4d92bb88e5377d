//! The user's packet filter: tcpdump's language, compiled by libpcap to classic BPF, translated to an
//! eBPF program that runs before anything else is done with a packet.

mod assembler;
mod classic;
mod expression;
mod translate;

#[cfg(test)]
mod tests;

use libbpf_rs::libbpf_sys::{self, bpf_insn};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use translate::{Accept, View};

pub use expression::{Invalid, check};

/// What packets start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// An IPv4 or IPv6 header.
    Raw,
}

impl LinkType {
    /// The `LINKTYPE_` number of capture files.
    pub fn number(self) -> u16 {
        match self {
            Self::Ethernet => 1,
            Self::Raw => 101,
        }
    }

    /// The `DLT_` number, which libpcap uses in memory.
    fn dlt(self) -> pcap::Linktype {
        match self {
            Self::Ethernet => pcap::Linktype::ETHERNET,
            Self::Raw => pcap::Linktype(12),
        }
    }
}

/// A compiled expression for one link type.
pub(super) struct Filter {
    classic: Vec<classic::Instruction>,
    view: View,
}

impl Filter {
    /// Compiles an expression.
    pub(super) fn new(expression: &str, link_type: LinkType) -> Result<Self, Invalid> {
        let program = expression::compile(expression, link_type)?;
        let unreadable = || Invalid::untranslatable(expression, "libpcap's program is unreadable");
        let classic = classic::instructions(&program).ok_or_else(unreadable)?;
        let tags = link_type == LinkType::Ethernet && expression::asks_for_vlan(expression);
        Ok(Self { classic, view: View { tags, in_place: true } })
    }

    /// Loads a program that goes on with number `index` of the array `programs` if it takes a packet.
    pub(super) fn load(
        &self,
        expression: &str,
        programs: BorrowedFd<'_>,
        index: u32,
    ) -> Result<io::Result<OwnedFd>, Invalid> {
        let accept = Accept::TailCall { programs: programs.as_raw_fd(), index };
        let instructions = translate::translate(&self.classic, self.view, accept)
            .map_err(|error| Invalid::untranslatable(expression, &error.to_string()))?;
        Ok(load(&instructions))
    }
}

fn load(instructions: &[bpf_insn]) -> io::Result<OwnedFd> {
    // SAFETY: the strings end with NUL; the instructions are valid for the call, which copies them; no
    // options are given.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_SCHED_CLS,
            c"ecapture_filter".as_ptr(),
            c"Dual MIT/GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as _,
            std::ptr::null_mut(),
        )
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call succeeded: the descriptor is open and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
