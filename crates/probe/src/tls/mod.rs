//! Plaintext of OpenSSL-family libraries: loading, attaching, reading.
//!
//! [`Capture::load`] puts the programs of `tls.bpf.c` into the kernel, with filters that are decided by
//! then; [`Capture::attach`] puts probes on one library file; [`Capture::drain`] hands out what was
//! seen. Dropping the capture detaches everything.

mod attach;
mod decode;
mod load;
mod tally;

use crate::backlog::Backlog;
use crate::error::Error;
use crate::record;
use crate::ring::{Mapping, Rings};
use decode::Decoder;
use event::{Event, Library, Timestamp};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, Object};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

pub use attach::{Exit, Function, Operation, ResultStyle};
pub use tally::Tally;

/// What is decided before the programs are loaded.
#[derive(Debug)]
pub struct Options {
    /// Ring buffer bytes for each CPU; rounded up to a power of two.
    pub ring_bytes: usize,
    /// Bytes that may wait in memory when the rings fill faster than records are handled.
    pub backlog_bytes: usize,
    /// Use the kernel's type information (addresses of sockets, children, process ends).
    pub use_btf: bool,
    /// Only these processes. More can be added later.
    pub pids: Option<Vec<u32>>,
    /// Children of the processes in `pids` are traced too.
    pub follow_children: bool,
    /// Only threads whose effective user is this.
    pub uid: Option<u32>,
    /// Only tasks in this cgroup (v2) or below it.
    pub cgroup: Option<OwnedFd>,
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
}

/// Between steps of this many bytes, [`Capture::drain`] looks after the rings.
const STEP: usize = 256 << 10;
/// After so many steps it returns.
const STEPS: usize = 32;

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
    links: Vec<Link>,
    object: Object,
    rings: Rings,
    backlog: Backlog,
    shared: Mapping,
    decoder: Decoder,
    connections: MapHandle,
    libraries: Vec<Arc<Library>>,
    functions: Vec<(usize, String)>,
    multi: bool,
    pids: Option<Vec<u32>>,
    follow_children: bool,
    notes: Vec<String>,
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
        let map = self.map("pids")?;
        map.update(&pid.to_ne_bytes(), &[1], MapFlags::ANY)
            .map_err(|source| Error::Map { map: "pids", source })
    }

    /// The descriptors on which the kernel wakes the reader. Wait for them edge-triggered: between
    /// wake-ups they are readable all the time.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.fds()
    }

    /// Hands out what is complete in the rings, in order, for a bounded time.
    pub fn drain(&mut self, mut handle: impl FnMut(Event<'_>)) -> Drained {
        let Self { rings, backlog, decoder, libraries, connections, .. } = self;
        let mut decode = |sample: &[u8]| {
            decoder.decode(sample, libraries, connections, &mut handle);
        };
        let mut drained = Drained { records: 0, more: true };
        for _ in 0..STEPS {
            if rings.pressed() {
                rings.drain(backlog.room(), record::time, |sample| {
                    backlog.push(record::used(sample));
                });
            }
            let records = if backlog.is_empty() {
                rings.drain(STEP, record::time, &mut decode)
            } else {
                backlog.take(STEP, &mut decode)
            };
            drained.records += records;
            if records == 0 {
                drained.more = false;
                break;
            }
        }
        drained
    }

    /// Says that the reader is about to sleep until the next record. False if there is something to
    /// read already.
    pub fn prepare_sleep(&self) -> bool {
        self.set_asleep(1);
        // Pairs with the barrier between a program's reservation and its look at the flag.
        fence(Ordering::SeqCst);
        if self.rings.is_empty() && self.backlog.is_empty() {
            return true;
        }
        self.set_asleep(0);
        false
    }

    /// Says that the reader is up again: records no longer wake it one by one.
    pub fn awake(&self) {
        self.set_asleep(0);
    }

    fn set_asleep(&self, value: u32) {
        if let Some(flag) = self.shared.u32_at(0) {
            flag.store(value, Ordering::SeqCst);
        }
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
        self.functions
            .iter()
            .enumerate()
            .filter(|(_, (owner, _))| *owner == library)
            .map(|(index, (_, name))| (name.clone(), tally::hits(&self.shared, index)))
            .collect()
    }

    /// Removes every probe; what was captured before can still be drained.
    pub fn detach(&mut self) {
        // Latest first: exits before entries, as an exit whose entry was not seen counts as a loss.
        while self.links.pop().is_some() {}
    }

    fn map(&self, name: &'static str) -> Result<libbpf_rs::Map<'_>, Error> {
        self.object.maps().find(|map| map.name() == name).ok_or(Error::Missing(name))
    }

    fn program(&self, name: &'static str) -> Result<libbpf_rs::ProgramMut<'_>, Error> {
        self.object.progs_mut().find(|program| program.name() == name).ok_or(Error::Missing(name))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.detach();
    }
}
