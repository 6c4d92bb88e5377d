//! Plaintext of OpenSSL-family libraries: loading, attaching, reading.
//!
//! [`Capture::load`] puts the programs of `tls.bpf.c` into the kernel, with filters that are decided by
//! then; [`Capture::attach`] puts probes on one library file; [`Capture::drain`] hands out what was
//! seen. Dropping the capture detaches everything.

pub(crate) mod attach;
mod decode;
pub(crate) mod load;
pub(crate) mod shared;
mod tally;

use crate::attach::{Probe, close_all};
use crate::clock;
use crate::error::Error;
use crate::features::{Features, Without};
pub use crate::filter::Filter;
use crate::filter::Filters;
use crate::intake::Intake;
use crate::object;
use crate::reader::Reader;
use decode::Decoder;
use event::{Event, Library, Timestamp};
use libbpf_rs::{MapHandle, Object};
use shared::Shared;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

pub use attach::{Exit, Function, Operation, Placing, ResultStyle};
pub use tally::Tally;

/// What is decided before the programs are loaded.
#[derive(Debug)]
pub struct Options {
    /// Ring buffer bytes for each CPU; rounded up to a power of two.
    pub ring_bytes: usize,
    /// Bytes that may wait in memory when the rings fill faster than records are handled.
    pub queue_bytes: usize,
    /// Use the kernel's type information (addresses of sockets, children, process ends).
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
    /// The filter and the probes can be changed while the programs run: costs a few loads and compares a
    /// call.
    pub changeable: bool,
}

/// Struct offsets of one library in bytes; `None` where not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// From the TLS object to its read BIO.
    pub ssl_rbio: Option<u32>,
    /// From the TLS object to its write BIO.
    pub ssl_wbio: Option<u32>,
    /// From a BIO to its descriptor.
    pub bio_num: Option<u32>,
    /// From the TLS object to its descriptor, if it has one itself; the others do not matter then.
    pub descriptor: Option<u32>,
}

/// [`Capture::drain`] returns after so many turns.
const TURNS: usize = 4;

/// What [`Capture::drain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// How many records it handed out.
    pub records: usize,
    /// It stopped although there is more.
    pub more: bool,
}

/// A running capture.
pub struct Capture {
    pub(crate) probes: Vec<Probe>,
    /// What does not belong to a library, and stays when probes are replaced.
    tracepoints: Vec<Probe>,
    pub(crate) exit_probes: Vec<Probe>,
    object: Object,
    reader: Reader,
    intake: Arc<Intake>,
    shared: Arc<Shared>,
    decoder: Decoder,
    connections: MapHandle,
    libraries: Vec<Arc<Library>>,
    functions: Vec<(usize, String)>,
    pub(crate) features: Features,
    pub(crate) pids: Option<Vec<u32>>,
    pub(crate) follow_children: bool,
    notes: Vec<String>,
    /// If they can be changed.
    filters: Option<Filters>,
    /// Which of two sets of probes is in place: see [`Capture::replace`].
    pub(crate) generation: u64,
    /// The files that each library's probes are in, to recognise them.
    placed: Vec<(u64, u64)>,
}

impl Capture {
    /// The number of a library, once attached, for [`Capture::hits`].
    pub fn libraries(&self) -> &[Arc<Library>] {
        &self.libraries
    }

    /// What had to be left out on this kernel, in words for the user.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds a process to the filter.
    pub fn add_pid(&mut self, pid: u32) -> Result<(), Error> {
        object::add_pid(&self.object, pid)
    }

    /// Captures other calls from now on: each is judged by the old filter or by the new one. Processes
    /// that have no probes do not get any by this: see [`Capture::replace`].
    pub fn set_filter(&mut self, filter: &Filter) -> Result<(), Error> {
        let filters = self.filters.as_mut().ok_or(Error::Missing("filters"))?;
        filters.change(&self.object, filter)
    }

    /// Becomes readable when there is something to [`drain`](Self::drain).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.intake.queue().filled()
    }

    /// Hands out what was captured, in order, for a bounded time. To be called by the thread that
    /// loaded the capture, which is given a share of the CPU that fits what there is to do.
    pub fn drain(&mut self, mut handle: impl FnMut(Event<'_>)) -> Drained {
        let Self { intake, decoder, libraries, connections, .. } = self;
        let mut records = 0;
        for _ in 0..TURNS {
            let handled =
                intake.work(|sample| decoder.decode(sample, libraries, connections, &mut handle));
            records += handled;
            if handled == 0 {
                return Drained { records, more: false };
            }
        }
        Drained { records, more: true }
    }

    /// To be called when everything is drained: tells what is missing at the end of connections that
    /// have not ended.
    pub fn finish(&self, mut handle: impl FnMut(Event<'_>)) {
        self.decoder.finish(clock::monotonic(), &self.connections, &mut handle);
    }

    /// The time of day at `ktime` nanoseconds of the kernel's monotonic clock.
    pub fn time(&self, ktime: u64) -> Timestamp {
        self.decoder.clock().at(ktime)
    }

    /// Counts so far.
    pub fn tally(&self) -> Tally {
        Tally::read(&self.shared, &self.decoder)
    }

    /// How often each function of library number `library` was hit, by name, in the order in which
    /// they were attached.
    pub fn hits(&self, library: usize) -> Vec<(String, u64)> {
        let counts = self.shared.counts();
        self.functions
            .iter()
            .enumerate()
            .filter(|(_, (owner, _))| *owner == library)
            .map(|(index, (_, name))| (name.clone(), counts.hits(index)))
            .collect()
    }

    /// Removes every probe. What was captured before is still to be drained, until
    /// [`is_drained`](Self::is_drained).
    pub fn detach(&mut self) {
        // Exits before entries, as an exit whose entry was not seen counts as a loss.
        close_all(&mut self.exit_probes);
        close_all(&mut self.probes);
        close_all(&mut self.tracepoints);
        self.reader.stop();
    }

    /// True if nothing will come any more after [`detach`](Self::detach).
    pub fn is_drained(&self) -> bool {
        self.reader.has_stopped() && self.intake.queue().is_empty()
    }

    /// See [`Filters::begin_overlap`]; the next generation is the newer one.
    pub(crate) fn begin_overlap(&mut self) -> Result<(), Error> {
        let generation = self.generation ^ 1;
        let filters = self.filters.as_mut().ok_or(Error::Missing("filters"))?;
        filters.begin_overlap(&self.object, generation)
    }

    pub(crate) fn end_overlap(&mut self) -> Result<(), Error> {
        let filters = self.filters.as_mut().ok_or(Error::Missing("filters"))?;
        filters.end_overlap(&self.object)
    }

    fn map(&self, name: &'static str) -> Result<libbpf_rs::Map<'_>, Error> {
        object::map(&self.object, name)
    }

    pub(crate) fn program(&self, name: &'static str) -> Result<libbpf_rs::ProgramMut<'_>, Error> {
        object::program(&self.object, name)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.detach();
    }
}
