//! Plaintext of OpenSSL-family libraries: loading, attaching, reading.
//!
//! [`Capture::load`] puts the programs of `tls.bpf.c` into the kernel, with filters that are decided by
//! then; [`Capture::attach`] puts probes on one library file; [`Capture::drain`] hands out what was
//! seen. Dropping the capture detaches everything.

mod attach;
mod decode;
mod load;
mod tally;

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

/// A running capture.
pub struct Capture {
    /// Declared before the object: probes go before the programs and maps that they use.
    links: Vec<Link>,
    object: Object,
    rings: Rings,
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

    /// Hands out everything that is complete in the rings, in order, and returns how many records
    /// there were.
    pub fn drain(&mut self, mut handle: impl FnMut(Event<'_>)) -> usize {
        let Self { rings, decoder, libraries, connections, .. } = self;
        rings.drain(record::time, |sample| {
            decoder.decode(sample, libraries, connections, &mut handle);
        })
    }

    /// Says that the reader is about to sleep until the next record. False if there is something to
    /// read already.
    pub fn prepare_sleep(&self) -> bool {
        self.set_asleep(1);
        // Pairs with the barrier between a program's reservation and its look at the flag.
        fence(Ordering::SeqCst);
        if self.rings.is_empty() {
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
        self.links.clear();
    }

    fn map(&self, name: &'static str) -> Result<libbpf_rs::Map<'_>, Error> {
        self.object.maps().find(|map| map.name() == name).ok_or(Error::Missing(name))
    }

    fn program(&self, name: &'static str) -> Result<libbpf_rs::ProgramMut<'_>, Error> {
        self.object.progs_mut().find(|program| program.name() == name).ok_or(Error::Missing(name))
    }
}
