//! Statements that database servers execute: loading, attaching, reading.
//!
//! [`Capture::load`] puts the programs of `database.bpf.c` into the kernel, with filters that are
//! decided by then; [`Capture::attach`] puts probes on one server's file; [`Capture::drain`] hands out
//! the statements that have ended. Dropping the capture detaches everything.

mod assemble;
mod attach;
mod load;
mod record;
mod title;

use crate::attach::{Probe, close_all};
use crate::error::Error;
use crate::features::{Features, Without};
use crate::filter::{Filter, Filters, forget};
use crate::intake::Intake;
use crate::object;
use crate::reader::Reader;
use crate::record::counter;
use crate::tls::shared::Shared;
use assemble::{Assembler, Attached};
use event::{LossTable, Query};
use libbpf_rs::Object;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

pub use attach::{Function, Placing, Role};
pub use record::{Memory, Place};

/// What is decided before the programs are loaded.
#[derive(Debug)]
pub struct Options {
    /// Ring buffer bytes for each CPU; rounded up to a power of two.
    pub ring_bytes: usize,
    /// Bytes that may wait in memory when the rings fill faster than records are handled.
    pub queue_bytes: usize,
    /// Use the kernel's type information (who a PostgreSQL client is; children).
    pub use_btf: bool,
    /// Features of the kernel to do without, for tests.
    pub without: Without,
    /// Only these processes. More can be added later.
    pub pids: Option<Vec<u32>>,
    /// Children of the processes in `pids` are traced too.
    pub follow_children: bool,
    /// Only threads whose effective user is this.
    pub uid: Option<u32>,
    /// Only tasks in this cgroup (v2) or below it.
    pub cgroup: Option<OwnedFd>,
    /// The filter and the probes can be changed while the programs run.
    pub changeable: bool,
}

/// Counts of a capture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Statements that were begun.
    pub statements: u64,
    /// Bytes of their texts that were copied.
    pub bytes: u64,
    /// Statements that were handed out.
    pub delivered: u64,
    /// What was lost, by place.
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

/// [`Capture::drain`] returns after so many turns.
const TURNS: usize = 4;

/// A running capture.
pub struct Capture {
    probes: Vec<Probe>,
    /// What does not belong to a server, and stays when probes are replaced.
    tracepoints: Vec<Probe>,
    object: Object,
    reader: Reader,
    intake: Arc<Intake>,
    shared: Arc<Shared>,
    assembler: Assembler,
    servers: Vec<Attached>,
    functions: Vec<(usize, String)>,
    features: Features,
    pids: Option<Vec<u32>>,
    follow_children: bool,
    notes: Vec<String>,
    /// If they can be changed.
    filters: Option<Filters>,
    /// Which of two sets of probes is in place.
    generation: u64,
    /// The files that each server's probes are in, to recognise them.
    placed: Vec<(u64, u64)>,
}

impl Capture {
    /// What had to be left out on this kernel, in words for the user.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds a process to the filter.
    pub fn add_pid(&mut self, pid: u32) -> Result<(), Error> {
        object::add_pid(&self.object, pid)
    }

    /// Captures other statements from now on, of the servers that have probes. One that was begun is shown to its
    /// end.
    pub fn set_filter(&mut self, filter: &Filter) -> Result<(), Error> {
        let filters = self.filters.as_mut().ok_or(Error::Missing("filters"))?;
        filters.change(&self.object, filter)
    }

    /// Becomes readable when there is something to [`drain`](Self::drain).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.intake.queue().filled()
    }

    /// Hands out the statements that have ended, in that order, for a bounded time. To be called by
    /// the thread that loaded the capture, which is given a share of the CPU that fits what there is
    /// to do.
    pub fn drain(&mut self, mut handle: impl FnMut(Query)) -> Drained {
        let Self { intake, assembler, servers, .. } = self;
        let mut records = 0;
        for _ in 0..TURNS {
            let handled = intake.work(|sample| assembler.take(sample, servers, &mut handle));
            records += handled;
            if handled == 0 {
                return Drained { records, more: false };
            }
        }
        Drained { records, more: true }
    }

    /// To be called when everything is drained: hands out the statements that have not ended.
    pub fn finish(&mut self, mut handle: impl FnMut(Query)) {
        self.assembler.rest(&self.servers, &mut handle);
    }

    /// Counts so far.
    pub fn tally(&self) -> Tally {
        let counts = self.shared.counts();
        let mut lost = LossTable::default();
        for (place, field) in counter::LOSSES {
            lost.add(place, counts.sum(field), counts.sum(field + 1));
        }
        // The statement is shown, without its end.
        lost.add("end", counts.sum(counter::LIFECYCLE_LOST), 0);
        for (place, loss) in self.assembler.lost.iter() {
            // A gap in a text is where the kernel side has counted that bytes were lost.
            if place != "gap" {
                lost.add(place, loss.events, loss.bytes);
            }
        }
        Tally {
            statements: counts.sum(counter::CALLS_SEND),
            bytes: counts.sum(counter::BYTES_SEND),
            delivered: self.assembler.delivered,
            lost,
        }
    }

    /// How often each function of server number `server` was hit, by name, in the order in which
    /// they were attached.
    pub fn hits(&self, server: usize) -> Vec<(String, u64)> {
        let counts = self.shared.counts();
        self.functions
            .iter()
            .enumerate()
            .filter(|(_, (owner, _))| *owner == server)
            .map(|(index, (_, name))| (name.clone(), counts.hits(index)))
            .collect()
    }

    /// Removes every probe. What was captured before is still to be drained, until
    /// [`is_drained`](Self::is_drained).
    pub fn detach(&mut self) {
        close_all(&mut self.probes);
        close_all(&mut self.tracepoints);
        self.reader.stop();
    }

    /// True if nothing will come any more after [`detach`](Self::detach).
    pub fn is_drained(&self) -> bool {
        self.reader.has_stopped() && self.intake.queue().is_empty()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.detach();
    }
}
