//! Packets as they cross the interfaces of our network namespace, with the processes that own them.
//!
//! [`Packets::load`] puts the programs of `packets.bpf.c` at the TC hooks of interfaces and begins to
//! capture; [`Packets::drain`] hands out what was seen, in the order of time. Dropping it detaches
//! everything.
//!
//! Interfaces that appear later are captured when [`Packets::follow_interfaces`] is called; those of other
//! network namespaces are not.

mod attach;
mod clsact;
mod decode;
mod error;
mod filter;
mod hooks;
mod interfaces;
mod later;
mod load;
mod netlink;
mod record;
mod segments;
mod shared;
mod sockets;

use crate::error::Error as ProbeError;
use crate::features::Without;
use crate::intake::Intake;
use crate::reader::Reader;
use decode::Decoder;
use event::Packet;
use hooks::{Filters, Place};
use later::Watcher;
use libbpf_rs::{Link, MapCore, MapFlags, Object};
use shared::Shared;
use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

pub use crate::tls::Drained;
pub use error::Error;
pub use filter::{Invalid, LinkType, check};
pub use interfaces::Interface;

/// What is decided before the programs are loaded.
#[derive(Debug)]
pub struct Options {
    /// Names of interfaces; none: all that are up.
    pub interfaces: Vec<String>,
    /// Only packets that this expression, in tcpdump's language, takes.
    pub filter: Option<String>,
    /// So many bytes of a packet are captured, at least 20, at most 262 144.
    pub snaplen: u32,
    /// Ring buffer bytes for each CPU; rounded up to a power of two, at least 1 MiB.
    pub ring_bytes: usize,
    /// Bytes that may wait in memory when the rings fill faster than packets are handled.
    pub queue_bytes: usize,
    /// Only packets of these processes. More can be added later.
    pub pids: Option<Vec<u32>>,
    /// Children of the processes in `pids` are meant too.
    pub follow_children: bool,
    /// Only packets of processes of this user.
    pub uid: Option<u32>,
    /// Only packets of processes in this cgroup (v2) or below it.
    pub cgroup: Option<OwnedFd>,
    /// Use the kernel's type information (which process uses an accepted socket, children).
    pub use_btf: bool,
    /// Features of the kernel to do without, for tests.
    pub without: Without,
}

/// [`Packets::drain`] returns after so many turns.
const TURNS: usize = 8;

/// A running capture of packets.
pub struct Packets {
    /// Of the interfaces that are there, by the kernel's number.
    hooks: HashMap<u32, Vec<Place>>,
    links: Vec<Link>,
    filters: Filters,
    /// The kernel may have links for these hooks.
    links_exist: bool,
    /// All that were ever captured.
    interfaces: Vec<Interface>,
    watcher: Option<Watcher>,
    object: Object,
    reader: Reader,
    intake: Arc<Intake>,
    shared: Arc<Shared>,
    decoder: Decoder,
    notes: Vec<String>,
}

/// Packets and bytes of one interface since the start. Once everything is drained, what was seen is what
/// was captured plus what was lost. Datagrams that the kernel carried as one packet count each, as far as
/// they were handed out. Bytes are those that the packets had, not those that were kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InterfaceTally {
    /// Packets that passed the filters.
    pub seen: u64,
    /// Their bytes.
    pub seen_bytes: u64,
    /// Packets that were handed out.
    pub captured: u64,
    /// Their bytes.
    pub captured_bytes: u64,
    /// Packets that found the ring buffer full.
    pub lost: u64,
    /// Their bytes.
    pub lost_bytes: u64,
}

impl Packets {
    /// The captured interfaces, those that are gone too; [`Packet::interface`] counts them.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// What had to be left out, in words for the user.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds a process whose packets are wanted, from the next socket that it makes on.
    pub fn add_pid(&mut self, pid: u32) -> Result<(), ProbeError> {
        let map = self.map("pids")?;
        map.update(&pid.to_ne_bytes(), &[1], MapFlags::ANY)
            .map_err(|source| ProbeError::Map { map: "pids", source })
    }

    /// Takes other packets from now on: each is judged by the old expression or by the new one. If that fails,
    /// the old one stays.
    pub fn set_filter(&mut self, expression: &str) -> Result<(), ProbeError> {
        self.exchange_filter(expression)
    }

    /// Becomes readable when there is something to [`drain`](Self::drain).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.intake.queue().filled()
    }

    /// Becomes readable when [`follow_interfaces`](Self::follow_interfaces) has something to do.
    pub fn news(&self) -> Option<BorrowedFd<'_>> {
        self.watcher.as_ref().map(Watcher::fd)
    }

    /// Hands out what was captured, in order, for a bounded time. To be called by the thread that
    /// loaded the capture, which is given a share of the CPU that fits what there is to do.
    pub fn drain(&mut self, mut handle: impl FnMut(Packet<'_>)) -> Drained {
        let Self { intake, decoder, .. } = self;
        let mut records = 0;
        for _ in 0..TURNS {
            let handled = intake.work(|sample| decoder.decode(sample, &mut handle));
            records += handled;
            if handled == 0 {
                return Drained { records, more: false };
            }
        }
        Drained { records, more: true }
    }

    /// Counts so far, of each interface.
    pub fn tally(&self) -> Vec<InterfaceTally> {
        (0..self.interfaces.len())
            .map(|interface| {
                let counted = self.shared.counters(interface);
                let captured = self.decoder.captured(interface);
                InterfaceTally {
                    seen: counted.seen + captured.split,
                    seen_bytes: counted.seen_bytes + captured.split_bytes,
                    captured: captured.packets,
                    captured_bytes: captured.bytes,
                    lost: counted.lost,
                    lost_bytes: counted.lost_bytes,
                }
            })
            .collect()
    }

    /// Removes every program from its hook. What was captured before is still to be drained, until
    /// [`is_drained`](Self::is_drained).
    pub fn detach(&mut self) {
        self.watcher = None;
        self.hooks.clear();
        self.links.clear();
        self.reader.stop();
    }

    /// True if nothing will come any more after [`detach`](Self::detach).
    pub fn is_drained(&self) -> bool {
        self.reader.has_stopped() && self.intake.queue().is_empty()
    }

    fn map(&self, name: &'static str) -> Result<libbpf_rs::Map<'_>, ProbeError> {
        self.object.maps().find(|map| map.name() == name).ok_or(ProbeError::Missing(name))
    }

    fn program(&self, name: &'static str) -> Result<libbpf_rs::ProgramMut<'_>, ProbeError> {
        let mut programs = self.object.progs_mut();
        programs.find(|program| program.name() == name).ok_or(ProbeError::Missing(name))
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.detach();
    }
}
