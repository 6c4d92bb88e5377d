//! TLS secrets of OpenSSL-family libraries: loading, attaching, reading.
//!
//! [`Keys::load`] puts the programs of `keys.bpf.c` into the kernel, [`Keys::attach`] puts probes on one
//! library file, [`Keys::drain`] hands out what was seen. Secrets have an object and a ring buffer of
//! their own: no flood of payload can push one out, and they can be had without payload. Dropping it
//! detaches everything.

mod record;

use crate::attach::{Place, Probe, Sites, close_all};
use crate::clock::Clock;
use crate::error::Error;
use crate::features::{Feature, Features, Without};
use crate::filter::{Filter, Filters};
use crate::gotls;
use crate::memory;
use crate::object;
use crate::record::{Configuration, MAX_LIBRARIES, time};
use crate::ring::{BpfRing, Buffer, Gauges, Rings};
use event::{Library, Secret};
use libbpf_rs::{MapCore, MapFlags, MapHandle, Object};
use rustix::event::epoll;
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// What is decided before the programs are loaded.
#[derive(Debug)]
pub struct Options {
    /// Only these processes. More can be added later.
    pub pids: Option<Vec<u32>>,
    /// Children of the processes in `pids` are traced too.
    pub follow_children: bool,
    /// Only threads whose user is this.
    pub uid: Option<u32>,
    /// Only tasks in this cgroup (v2) or below it.
    pub cgroup: Option<OwnedFd>,
    /// Use the kernel's type information (children).
    pub use_btf: bool,
    /// Features of the kernel to do without, for tests.
    pub without: Without,
    /// The filter and the probes can be changed while the programs run.
    pub changeable: bool,
}

/// One function that sees secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFunction {
    /// For reports.
    pub name: String,
    /// File offset of the probe.
    pub entry: u64,
    /// What to read there.
    pub source: Source,
    /// Labels in the file, and how many bytes behind the probe they are: for those that are not in
    /// memory when the probe is hit.
    pub labels: Vec<(i64, &'static str)>,
}

/// What a probe reads. Numbers of arguments count integer arguments, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At the entry, everything is in the arguments.
    Logged {
        /// Points at the label, a C string.
        label: u8,
        /// Where the 32 bytes of the client random are.
        client_random: Address,
        /// Points at the secret.
        secret: u8,
        /// Holds the secret's length in bytes.
        secret_len: u8,
    },
    /// After the function returned a positive `int`: the session's master key, before TLS 1.3.
    MasterKey {
        /// The client random.
        client_random: Address,
        /// Where the key's length is.
        length: Address,
        /// How many bytes that takes: 4 or 8.
        length_width: u8,
        /// The key.
        key: Address,
        /// The 32-bit protocol version.
        version: Address,
    },
    /// At the entry of Go's `(*Config).writeKeyLog(label, clientRandom, secret)`.
    Go {
        /// The arguments are on the stack.
        on_stack: bool,
        /// The probe is at the branch of the stack check.
        at_stack_check: bool,
    },
}

/// An address reached from an argument: for each step but the last the pointer at `address + step` is
/// loaded; the last step is only added. No steps: the argument itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The argument, from 0.
    pub argument: u8,
    /// Byte offsets.
    pub steps: Vec<u32>,
}

/// Secrets since the start: what was seen is what was delivered plus what was lost plus what was
/// rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyTally {
    /// Calls that should have brought a secret.
    pub seen: u64,
    /// Handed out.
    pub delivered: u64,
    /// For which there was no room.
    pub lost: u64,
    /// That could not be read, or did not look like a secret.
    pub rejected: u64,
}

/// What [`Keys::drain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// How many secrets it handed out.
    pub secrets: usize,
    /// It stopped although there is more.
    pub more: bool,
}

macro_rules! compiled {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

/// The programs compiled for what a kernel has. See build.rs.
fn compiled(btf: bool, ring_buffer: bool) -> &'static [u8] {
    match (btf, ring_buffer) {
        (true, true) => compiled!("keys.bpf.o"),
        (true, false) => compiled!("keys_no_ringbuf.bpf.o"),
        (false, true) => compiled!("keys_no_btf.bpf.o"),
        (false, false) => compiled!("keys_no_btf_ringbuf.bpf.o"),
    }
}

/// Programs that are attached by uprobes; the others are raw tracepoints.
const UPROBES: [&str; 4] = ["keys_logged", "keys_enter", "keys_leave", "keys_go"];

/// Some 20 000 secrets: what 2 000 connections with both their ends on this host bring.
const RING_BYTES: usize = 4 << 20;
/// Each CPU has one of these.
const PERF_BUFFER_BYTES: usize = 512 << 10;
/// [`Keys::drain`] returns after so many bytes.
const BUDGET: usize = 1 << 20;

/// A library and where its probes go.
pub struct Placing<'a> {
    /// What it is called.
    pub library: Arc<Library>,
    /// The open file.
    pub file: &'a File,
    /// What to probe.
    pub functions: &'a [KeyFunction],
}

/// Probes that are in place.
#[derive(Default)]
struct Placed {
    probes: Vec<Probe>,
    return_probes: Vec<Probe>,
}

/// A running capture of secrets.
pub struct Keys {
    probes: Vec<Probe>,
    /// What does not belong to a library, and stays when probes are replaced.
    tracepoints: Vec<Probe>,
    return_probes: Vec<Probe>,
    rings: Rings,
    gauges: Gauges,
    epoll: OwnedFd,
    counters: MapHandle,
    clock: Clock,
    libraries: Vec<Arc<Library>>,
    functions: Vec<KeyFunction>,
    /// What is known of each library's file and functions, to recognise them.
    placed: Vec<((u64, u64), Range<usize>)>,
    /// If they can be changed.
    filters: Option<Filters>,
    /// Which of two sets of probes is in place: see [`Keys::replace`].
    generation: u64,
    features: Features,
    pids: Option<Vec<u32>>,
    follow_children: bool,
    delivered: u64,
    rejected: u64,
    notes: Vec<String>,
    object: Object,
}

impl Keys {
    /// Loads the programs.
    pub fn load(options: Options) -> Result<Self, Error> {
        memory::unlimit();
        let features = Features::detect(&options.without);
        let use_btf = options.use_btf && !options.without.has(Feature::Btf);
        let configuration = Configuration {
            wanted_uid: options.uid.unwrap_or(0),
            filter_pid: u8::from(options.pids.is_some()),
            filter_uid: u8::from(options.uid.is_some()),
            filter_cgroup: u8::from(options.cgroup.is_some()),
            follow_children: u8::from(options.follow_children),
            have_cookie: u8::from(features.cookie),
            changeable: u8::from(options.changeable),
            ..Configuration::default()
        };
        let bytes = compiled(use_btf, features.ring_buffer);
        let mut open = object::open("keys", bytes, &configuration, &UPROBES, features.multi)?;
        for mut map in open.maps_mut() {
            if map.name() == "ring" {
                map.set_max_entries(RING_BYTES as u32)
                    .map_err(|source| Error::Map { map: "ring", source })?;
            }
        }
        let object = open.load().map_err(memory::explain)?;
        let rings = if features.ring_buffer {
            ring_buffer(&object)?
        } else {
            let cpus = libbpf_rs::num_possible_cpus().map_err(|source| Error::Load { source })?;
            Rings::perf(&object, cpus, PERF_BUFFER_BYTES)?
        };
        let counters = object
            .maps()
            .find(|map| map.name().to_string_lossy().ends_with(".bss"))
            .ok_or(Error::Missing("counters"))
            .and_then(|map| {
                MapHandle::try_from(&map).map_err(|source| Error::Map { map: "counters", source })
            })?;
        let mut keys = Self {
            probes: Vec::new(),
            tracepoints: Vec::new(),
            return_probes: Vec::new(),
            epoll: wait_for(&rings).map_err(|error| Error::Wait(error.into()))?,
            gauges: rings.gauges(),
            rings,
            counters,
            clock: Clock::new(),
            libraries: Vec::new(),
            functions: Vec::new(),
            placed: Vec::new(),
            filters: options.changeable.then(Filters::default),
            generation: 0,
            features,
            pids: options.pids.clone(),
            follow_children: options.follow_children,
            delivered: 0,
            rejected: 0,
            notes: Vec::new(),
            object,
        };
        let filter = Filter { pids: options.pids, uid: options.uid, cgroup: options.cgroup };
        if options.changeable {
            keys.set_filter(&filter)?;
        } else {
            for pid in filter.pids.unwrap_or_default() {
                keys.add_pid(pid)?;
            }
            if let Some(cgroup) = filter.cgroup {
                object::set_cgroup(&keys.object, &cgroup)?;
            }
        }
        if options.follow_children {
            keys.follow_children(use_btf);
        }
        Ok(keys)
    }

    fn follow_children(&mut self, use_btf: bool) {
        if !use_btf {
            self.notes.push(
                "without kernel type information (BTF), keys of child processes are not captured"
                    .to_owned(),
            );
            return;
        }
        for (program, tracepoint, consequence) in [
            ("keys_fork", "sched_process_fork", "keys of child processes are not captured"),
            ("keys_process_exit", "sched_process_exit", "ended processes are not forgotten"),
        ] {
            match object::raw_tracepoint(&self.object, program, tracepoint) {
                Ok(link) => self.tracepoints.push(Probe::Link { _link: link }),
                Err(error) => self.notes.push(format!("{consequence}: {error}")),
            }
        }
    }

    /// What had to be left out on this kernel, in words for the user.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds a process to the filter.
    pub fn add_pid(&mut self, pid: u32) -> Result<(), Error> {
        object::add_pid(&self.object, pid)
    }

    /// Captures other calls from now on: as
    /// [`Capture::set_filter`](crate::tls::Capture::set_filter).
    pub fn set_filter(&mut self, filter: &Filter) -> Result<(), Error> {
        let filters = self.filters.as_mut().ok_or(Error::Missing("filters"))?;
        filters.change(&self.object, filter)
    }

    /// Attaches to `functions` of the open `file`.
    ///
    /// The probes belong to the file, as those of [`Capture::attach`](crate::tls::Capture::attach) do.
    pub fn attach(
        &mut self,
        library: Arc<Library>,
        file: &File,
        functions: &[KeyFunction],
    ) -> Result<(), Error> {
        let pids = Place::pids(self.pids.as_deref(), self.follow_children);
        let mut placed = Placed::default();
        let placing = Placing { library, file, functions };
        self.place(&placing, &pids, self.generation, &mut placed)?;
        self.probes.append(&mut placed.probes);
        self.return_probes.append(&mut placed.return_probes);
        Ok(())
    }

    /// Puts probes into these libraries and no others, in processes `pids`: as
    /// [`Capture::replace`](crate::tls::Capture::replace). Secrets that are seen twice meanwhile are
    /// handed out twice.
    pub fn replace(
        &mut self,
        libraries: &[Placing<'_>],
        pids: Option<Vec<u32>>,
    ) -> Result<(), Error> {
        let follow = self.follow_children && pids == self.pids;
        let whom = Place::pids(pids.as_deref(), follow);
        let generation = self.generation ^ 1;
        let mut placed = Placed::default();
        for placing in libraries {
            if let Err(error) = self.place(placing, &whom, generation, &mut placed) {
                close_all(&mut placed.return_probes);
                close_all(&mut placed.probes);
                return Err(error);
            }
        }
        self.generation = generation;
        self.pids = pids;
        self.follow_children = follow;
        // Returns before entries, as a return whose entry was not seen counts as a loss.
        close_all(&mut std::mem::replace(&mut self.return_probes, placed.return_probes));
        close_all(&mut std::mem::replace(&mut self.probes, placed.probes));
        Ok(())
    }

    fn place(
        &mut self,
        placing: &Placing<'_>,
        pids: &[i32],
        generation: u64,
        placed: &mut Placed,
    ) -> Result<(), Error> {
        let Placing { library, file, functions } = placing;
        let identity = file.metadata().map(|file| (file.dev(), file.ino())).map_err(|source| {
            Error::Attach {
                what: "probes".to_owned(),
                path: library.path.clone(),
                source: source.into(),
            }
        })?;
        let known = self.placed.iter().position(|(known, range)| {
            *known == identity && self.functions.get(range.clone()) == Some(*functions)
        });
        let number = known.unwrap_or(self.libraries.len());
        let first = known.map_or(self.functions.len(), |known| self.placed[known].1.start);
        let full = |what, limit| Error::Full { path: library.path.clone(), what, limit };
        if number >= MAX_LIBRARIES {
            return Err(full("libraries", MAX_LIBRARIES));
        }
        if first + functions.len() > record::MAX_FUNCTIONS {
            return Err(full("functions with keys", record::MAX_FUNCTIONS));
        }
        let [mut logged, mut enter, mut leave, mut go]: [Sites; 4] = Default::default();
        for (index, function) in (first..).zip(*functions) {
            let value = record::function(function, &library.path)?;
            object::map(&self.object, "functions")?
                .update(&(index as u32).to_ne_bytes(), &value, MapFlags::ANY)
                .map_err(|source| Error::Map { map: "functions", source })?;
            // bits 0-15 library, 16-31 function, 56-63 generation
            let cookie = number as u64 | (index as u64) << 16 | generation << 56;
            match function.source {
                Source::Logged { .. } => logged.push(function.entry, cookie),
                Source::MasterKey { .. } => {
                    enter.push(function.entry, cookie);
                    leave.push(function.entry, cookie);
                }
                Source::Go { on_stack, at_stack_check } => {
                    go.push(function.entry, cookie | gotls::flags(on_stack, at_stack_check, false));
                }
            }
        }
        let place =
            Place { file, path: &library.path, pids: pids.to_vec(), features: self.features };
        let mut now = Placed::default();
        let program = |name| object::program(&self.object, name);
        place.attach(&program("keys_logged")?, &logged, false, &mut now.probes)?;
        place.attach(&program("keys_go")?, &go, false, &mut now.probes)?;
        place.attach(&program("keys_enter")?, &enter, false, &mut now.probes)?;
        place.attach(&program("keys_leave")?, &leave, true, &mut now.return_probes)?;
        placed.probes.append(&mut now.probes);
        placed.return_probes.append(&mut now.return_probes);
        if known.is_none() {
            self.functions.extend_from_slice(functions);
            self.placed.push((identity, first..first + functions.len()));
            self.libraries.push(Arc::clone(library));
        }
        Ok(())
    }

    /// Becomes readable when there is something to [`drain`](Self::drain).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Hands out what was seen, in order, for a bounded time.
    pub fn drain(&mut self, mut handle: impl FnMut(Secret)) -> Drained {
        let Self { rings, gauges, libraries, functions, clock, delivered, rejected, .. } = self;
        let mut secrets = 0;
        let read = rings.drain(BUDGET, time, |sample| {
            match record::secret(sample, libraries, functions, |at| clock.at(at)) {
                Some(secret) => {
                    secrets += 1;
                    *delivered += 1;
                    handle(secret);
                }
                None => *rejected += 1,
            }
        });
        // The kernel wakes us for a record that it finds next to be read. It and we must not both miss
        // what the other has just done.
        fence(Ordering::SeqCst);
        Drained { secrets, more: read > 0 && !gauges.are_empty() }
    }

    /// True if nothing will come any more after [`detach`](Self::detach).
    pub fn is_drained(&self) -> bool {
        self.gauges.are_empty()
    }

    /// Counts so far.
    pub fn tally(&self) -> KeyTally {
        let value = self.counters.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
        let [seen, lost, rejected] = record::counters(&value.ok().flatten().unwrap_or_default());
        KeyTally { seen, delivered: self.delivered, lost, rejected: rejected + self.rejected }
    }

    /// Removes every probe. What was seen before is still to be drained.
    pub fn detach(&mut self) {
        // Returns before entries, as a return whose entry was not seen counts as a loss.
        close_all(&mut self.return_probes);
        close_all(&mut self.probes);
        close_all(&mut self.tracepoints);
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.detach();
    }
}

fn ring_buffer(object: &Object) -> Result<Rings, Error> {
    let ring = object::map(object, "ring")?;
    let failed = |source| Error::Ring { size: RING_BYTES, source };
    let fd = ring.as_fd().try_clone_to_owned().map_err(failed)?;
    let ring = BpfRing::new(fd, RING_BYTES).map_err(failed)?;
    Ok(Rings::new(vec![Buffer::Bpf(ring)]))
}

/// One descriptor for all rings, readable as long as one of them has something.
fn wait_for(rings: &Rings) -> rustix::io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for fd in rings.fds() {
        epoll::add(&epoll, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    }
    Ok(epoll)
}
