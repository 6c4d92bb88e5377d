//! Command lines of interactive shells: loading, attaching, reading.
//!
//! [`Capture::load`] puts the programs of `shell.bpf.c` into the kernel, with filters that are decided
//! by then; [`Capture::attach`] puts probes on one shell's file; [`Capture::drain`] hands out the
//! commands that have ended. Dropping the capture detaches everything.

mod assemble;
mod attach;
mod load;
mod proc;
mod record;

pub use assemble::Kind;
pub use attach::{Lines, Place, Placing, Shell, Variables};

use crate::Error;
use crate::attach::{Probe, close_all};
use crate::features::{Features, Without};
use crate::filter::{Filter, Filters, forget};
use crate::object;
use crate::ring::{Gauges, Rings};
use assemble::{Assembler, File};
use event::{Command, LossTable};
use libbpf_rs::{MapCore, MapFlags, Object};
use record::Counters;
use rustix::event::epoll;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is decided before the programs are loaded.
#[derive(Debug)]
pub struct Options {
    /// Ring buffer bytes; rounded up to a power of two.
    pub ring_bytes: usize,
    /// Use the kernel's type information (exit status of shells, working directories).
    pub use_btf: bool,
    /// Features of the kernel to do without, for tests.
    pub without: Without,
    /// Only these processes. More can be added later.
    pub pids: Option<Vec<u32>>,
    /// Children of the processes in `pids` are traced too.
    pub follow_children: bool,
    /// Only processes of this user.
    pub uid: Option<u32>,
    /// Only tasks in this cgroup (v2) or below it.
    pub cgroup: Option<OwnedFd>,
    /// The filter and the probes can be changed while the programs run.
    pub changeable: bool,
}

/// Counts of a capture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commands that were begun.
    pub commands: u64,
    /// Bytes of their lines.
    pub bytes: u64,
    /// What was not delivered, by place.
    pub lost: LossTable,
}

/// What [`Capture::drain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// How many records it handled.
    pub records: usize,
    /// It stopped although there is more.
    pub more: bool,
}

/// A running capture.
pub struct Capture {
    probes: Vec<Probe>,
    /// What does not belong to a shell, and stays when probes are replaced.
    tracepoints: Vec<Probe>,
    object: Object,
    rings: Rings,
    gauges: Gauges,
    /// Readable when the ring is: the ring's own descriptor cannot be borrowed while it is read.
    readable: OwnedFd,
    assembler: Assembler,
    files: Vec<File>,
    features: Features,
    pids: Option<Vec<u32>>,
    follow_children: bool,
    notes: Vec<String>,
    /// If they can be changed.
    filters: Option<Filters>,
    /// Which of two sets of probes is in place.
    generation: u64,
    /// The files that probes are in or were, to recognise them.
    placed: Vec<((u64, u64), Shell)>,
}

/// Records are handed out for so many bytes of the ring at once.
const BUDGET: usize = 4 << 20;

impl Capture {
    /// What had to be left out on this kernel, in words for the user.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds a process to the filter.
    pub fn add_pid(&mut self, pid: u32) -> Result<(), Error> {
        object::add_pid(&self.object, pid)
    }

    /// Captures other commands from now on, of the shells that have probes. One that was begun is shown to its end.
    pub fn set_filter(&mut self, filter: &Filter) -> Result<(), Error> {
        let filters = self.filters.as_mut().ok_or(Error::Missing("filters"))?;
        filters.change(&self.object, filter)
    }

    /// Becomes readable when there is something to [`drain`](Self::drain).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }

    /// Hands out the commands that have ended, in that order, for a bounded time.
    pub fn drain(&mut self, mut handle: impl FnMut(Command)) -> Drained {
        let Self { rings, gauges, assembler, files, .. } = self;
        // All records are in one ring: it is their order.
        let records = rings.drain(
            BUDGET,
            |_| 0,
            |sample| {
                assembler.take(sample, files, &mut handle);
            },
        );
        Drained { records, more: records > 0 && !gauges.are_empty() }
    }

    /// True if nothing will come any more after [`detach`](Self::detach).
    pub fn is_drained(&self) -> bool {
        self.probes.is_empty() && self.gauges.are_empty()
    }

    /// To be called when everything is drained: hands out the commands that have not ended.
    pub fn finish(&mut self, mut handle: impl FnMut(Command)) {
        self.assembler.rest(&self.files, &mut handle);
    }

    /// Counts so far.
    pub fn tally(&self) -> Tally {
        let counters = self.counters().unwrap_or_default();
        let mut lost = LossTable::default();
        lost.add("ring_full", counters.ring_full[0], counters.ring_full[1]);
        lost.add("unreadable", counters.unreadable, 0);
        lost.add("too_large", counters.too_long, 0);
        lost.add("unknown", self.assembler.unknown, 0);
        Tally { commands: counters.commands, bytes: counters.bytes, lost }
    }

    /// Removes every probe. What was captured before is still to be drained.
    pub fn detach(&mut self) {
        close_all(&mut self.probes);
        close_all(&mut self.tracepoints);
    }

    fn counters(&self) -> Option<Counters> {
        let map = self.object.maps().find(|map| {
            let name = map.name().to_string_lossy();
            name.ends_with(".bss")
        })?;
        Counters::parse(&map.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY).ok()??)
    }

    fn map(&self, name: &'static str) -> Result<libbpf_rs::Map<'_>, Error> {
        self.object.maps().find(|map| map.name() == name).ok_or(Error::Missing(name))
    }

    fn program(&self, name: &'static str) -> Result<libbpf_rs::ProgramMut<'_>, Error> {
        self.object.progs_mut().find(|program| program.name() == name).ok_or(Error::Missing(name))
    }
}

/// A descriptor that is readable when any of `rings` is.
fn readable(rings: &Rings) -> std::io::Result<OwnedFd> {
    let all = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for fd in rings.fds() {
        epoll::add(&all, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    }
    Ok(all)
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.detach();
    }
}
