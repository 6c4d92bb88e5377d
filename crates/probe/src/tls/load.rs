//! Puts the programs and maps into the kernel.

use super::decode::Decoder;
use super::shared::Shared;
use super::{Capture, Options};
use crate::attach::Probe;
use crate::clock::Clock;
use crate::error::Error;
use crate::features::{Feature, Features};
use crate::filter::{Filter, Filters};
use crate::intake::Intake;
use crate::mapping::page_size;
use crate::memory;
use crate::object;
use crate::priority::{self, Rank};
use crate::queue::Queue;
use crate::reader::Reader;
use crate::record::{self, Configuration};
use crate::ring::{BpfRing, Buffer, Rings};
use libbpf_rs::{MapCore, MapFlags, MapHandle, Object, OpenObject, libbpf_sys};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

macro_rules! object {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

/// The programs compiled for what a kernel has: BTF, ring buffers, and `bpf_loop` (which is not used
/// without ring buffers). See build.rs.
fn object(btf: bool, features: Features) -> &'static [u8] {
    match (btf, features.ring_buffer, features.loop_helper) {
        (true, true, true) => object!("tls.bpf.o"),
        (true, true, false) => object!("tls_no_loop.bpf.o"),
        (true, false, _) => object!("tls_no_ringbuf.bpf.o"),
        (false, true, true) => object!("tls_no_btf.bpf.o"),
        (false, true, false) => object!("tls_no_btf_loop.bpf.o"),
        (false, false, _) => object!("tls_no_btf_ringbuf.bpf.o"),
    }
}

/// Whose plaintext a capture is for: each has programs of its own for uprobes, and shares the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// OpenSSL and its forks.
    OpenSsl,
    /// Go.
    Go,
}

/// Programs that are attached by uprobes; the others are raw tracepoints.
const UPROBES: [(Kind, &[&str]); 2] = [
    (Kind::OpenSsl, &["tls_entry", "tls_exit", "tls_end", "tls_set_fd"]),
    (Kind::Go, &["go_write", "go_flush", "go_copy", "go_read_entry", "go_read_exit", "go_end"]),
];

/// More rings than this do not help: each is drained by the one reader.
pub(crate) const MAX_RINGS: usize = 16;

impl Capture {
    /// Loads the programs for OpenSSL-family libraries and attaches those that need no library.
    pub fn load(options: Options) -> Result<Self, Error> {
        Self::load_kind(options, Kind::OpenSsl)
    }

    /// The same for programs built by Go.
    pub fn load_go(options: Options) -> Result<Self, Error> {
        Self::load_kind(options, Kind::Go)
    }

    fn load_kind(options: Options, kind: Kind) -> Result<Self, Error> {
        let cpus = libbpf_rs::num_possible_cpus().map_err(|source| Error::Load { source })?;
        let ring_count = cpus.clamp(1, MAX_RINGS);
        let ring_size = (options.ring_bytes.max(page_size()) * cpus.div_ceil(ring_count))
            .checked_next_power_of_two()
            .unwrap_or(1 << 30)
            .min(1 << 30);
        memory::unlimit();
        let features = Features::detect(&options.without);
        let use_btf = options.use_btf && !options.without.has(Feature::Btf);
        tracing::debug!("with type information: {use_btf}; {features:?}");
        let configuration = Configuration {
            wakeup_level: ring_size as u64 / 4,
            ring_count: ring_count as u32,
            wanted_uid: options.uid.unwrap_or(0),
            filter_pid: u8::from(options.pids.is_some()),
            filter_uid: u8::from(options.uid.is_some()),
            filter_cgroup: u8::from(options.cgroup.is_some()),
            follow_children: u8::from(options.follow_children),
            have_cookie: u8::from(features.cookie),
            changeable: u8::from(options.changeable),
        };
        let bytes = object(use_btf, features);
        let uprobes: Vec<&str> = UPROBES.iter().flat_map(|(_, names)| *names).copied().collect();
        let mut open = object::open("tls", bytes, &configuration, &uprobes, features.multi)?;
        keep_programs_of(&mut open, kind);
        resize(&mut open, kind, configuration.ring_count)?;
        let object = open.load().map_err(memory::explain)?;

        let rings = if features.ring_buffer {
            ring_buffers(&object, ring_count, ring_size)?
        } else {
            Rings::perf(&object, cpus, options.ring_bytes)?
        };
        let shared = Arc::new(Shared::new(&object, features.ring_buffer)?);
        let queue = Queue::new(options.queue_bytes).map_err(Error::Wait)?;
        let fds: Vec<OwnedFd> = rings
            .fds()
            .map(|fd| fd.try_clone_to_owned())
            .collect::<io::Result<_>>()
            .map_err(Error::Wait)?;
        let intake = Arc::new(Intake::new(rings, queue, record::used));
        let reader = Reader::start(fds, Arc::clone(&shared), Arc::clone(&intake))?;
        priority::take(Rank::Calm);
        let connections = object
            .maps()
            .find(|map| map.name() == "connections")
            .ok_or(Error::Missing("connections"))
            .and_then(|map| {
                MapHandle::try_from(&map)
                    .map_err(|source| Error::Map { map: "connections", source })
            })?;
        let mut capture = Self {
            probes: Vec::new(),
            tracepoints: Vec::new(),
            exit_probes: Vec::new(),
            object,
            reader,
            intake,
            shared,
            decoder: Decoder::new(Clock::new()),
            connections,
            libraries: Vec::new(),
            functions: Vec::new(),
            features,
            pids: options.pids.clone(),
            follow_children: options.follow_children,
            notes: Vec::new(),
            filters: options.changeable.then(Filters::default),
            generation: 0,
            placed: Vec::new(),
        };
        let filter = Filter { pids: options.pids, uid: options.uid, cgroup: options.cgroup };
        if options.changeable {
            capture.set_filter(&filter)?;
        } else {
            for pid in filter.pids.unwrap_or_default() {
                capture.add_pid(pid)?;
            }
            if let Some(cgroup) = filter.cgroup {
                object::set_cgroup(&capture.object, &cgroup)?;
            }
        }
        capture.attach_tracepoints(kind, use_btf);
        Ok(capture)
    }

    /// Attaches what makes a capture better but is not needed for one.
    fn attach_tracepoints(&mut self, kind: Kind, use_btf: bool) {
        if !use_btf {
            self.notes.push(
                "without kernel type information (BTF), socket addresses are unknown, \
                 children are not followed and connections do not end with their process"
                    .to_owned(),
            );
            return;
        }
        let mut probes = Vec::new();
        let mut attach = |program: &'static str, tracepoint: &str| {
            let link = object::raw_tracepoint(&self.object, program, tracepoint);
            match link {
                Ok(link) => {
                    probes.push(Probe::Link { _link: link });
                    None
                }
                Err(error) => Some(error.to_string()),
            }
        };
        let mut notes = Vec::new();
        for (program, tracepoint, consequence) in [
            ("tls_process_exit", "sched_process_exit", "connections do not end with their process"),
            ("tls_fork", "sched_process_fork", "children of traced processes are not followed"),
        ] {
            if let Some(error) = attach(program, tracepoint) {
                notes.push(format!("{consequence}: {error}"));
            }
        }
        // Linux 6.3 brought the pair; before, only receiving can be seen. Go needs neither.
        if kind == Kind::OpenSsl
            && (attach("tls_sock_send", "sock_send_length").is_some()
                || attach("tls_sock_recv", "sock_recv_length").is_some())
            && let Some(error) = attach("tls_tcp_recv", "tcp_rcv_space_adjust")
        {
            notes.push(format!(
                "addresses of connections that hide their descriptor are unknown: {error}"
            ));
        }
        self.tracepoints.append(&mut probes);
        self.notes.append(&mut notes);
    }
}

/// Loads the uprobe programs of one kind only.
fn keep_programs_of(open: &mut OpenObject, kind: Kind) {
    for mut program in open.progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        let of = UPROBES.iter().find(|(_, names)| names.contains(&name.as_str()));
        if let Some((of, _)) = of {
            program.set_autoload(*of == kind);
        }
    }
}

fn resize(open: &mut OpenObject, kind: Kind, rings: u32) -> Result<(), Error> {
    for mut map in open.maps_mut() {
        let (name, entries) = match map.name().to_str() {
            Some("rings") => ("rings", rings),
            Some("go_calls") if kind != Kind::Go => ("go_calls", 1),
            _ => continue,
        };
        map.set_max_entries(entries).map_err(|source| Error::Map { map: name, source })?;
    }
    Ok(())
}

pub(crate) fn ring_buffers(object: &Object, count: usize, size: usize) -> Result<Rings, Error> {
    let outer = object.maps().find(|map| map.name() == "rings").ok_or(Error::Missing("rings"))?;
    let failed = |source| Error::Ring { size, source };
    let mut buffers = Vec::with_capacity(count);
    for index in 0..count as u32 {
        let opts = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            ..Default::default()
        };
        let ring = MapHandle::create(
            libbpf_rs::MapType::RingBuf,
            Some("ecapture_ring"),
            0,
            0,
            size as u32,
            &opts,
        )
        .map_err(|error| failed(io::Error::other(error)))?;
        let fd: OwnedFd = ring.as_fd().try_clone_to_owned().map_err(failed)?;
        outer
            .update(&index.to_ne_bytes(), &(fd.as_raw_fd() as u32).to_ne_bytes(), MapFlags::ANY)
            .map_err(|source| Error::Map { map: "rings", source })?;
        buffers.push(Buffer::Bpf(BpfRing::new(fd, size).map_err(failed)?));
    }
    Ok(Rings::new(buffers))
}
