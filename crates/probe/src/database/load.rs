//! Puts the programs and maps into the kernel.

use super::assemble::Assembler;
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
use crate::tls::load::{MAX_RINGS, ring_buffers};
use crate::tls::shared::Shared;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

macro_rules! compiled {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

/// The programs compiled for what a kernel has: type information and `bpf_loop`. See build.rs.
fn compiled(btf: bool, loop_helper: bool) -> &'static [u8] {
    match (btf, loop_helper) {
        (true, true) => compiled!("database.bpf.o"),
        (true, false) => compiled!("database_no_loop.bpf.o"),
        (false, true) => compiled!("database_no_btf.bpf.o"),
        (false, false) => compiled!("database_no_btf_loop.bpf.o"),
    }
}

/// Programs that are attached by uprobes; the others are raw tracepoints.
const UPROBES: [&str; 13] = [
    "mysql_dispatch",
    "mysql_dispatch_return",
    "mysql_execute",
    "mysql_ok",
    "mysql_error",
    "pg_activity",
    "pg_query",
    "pg_message",
    "pg_message_return",
    "pg_done",
    "pg_report_start",
    "pg_report_code",
    "pg_report_sent",
];

impl Capture {
    /// Loads the programs and attaches those that need no server.
    pub fn load(options: Options) -> Result<Self, Error> {
        let cpus = libbpf_rs::num_possible_cpus().map_err(|source| Error::Load { source })?;
        let ring_count = cpus.clamp(1, MAX_RINGS);
        let ring_size = (options.ring_bytes.max(page_size()) * cpus.div_ceil(ring_count))
            .checked_next_power_of_two()
            .unwrap_or(1 << 30)
            .min(1 << 30);
        memory::unlimit();
        let features = Features::detect(&options.without);
        if !features.ring_buffer {
            return Err(Error::TooOld { what: "statements of database servers", needs: "5.8" });
        }
        let use_btf = options.use_btf && !options.without.has(Feature::Btf);
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
        let bytes = compiled(use_btf, features.loop_helper);
        let mut open = object::open("database", bytes, &configuration, &UPROBES, features.multi)?;
        for mut map in open.maps_mut() {
            if map.name() == "rings" {
                map.set_max_entries(configuration.ring_count)
                    .map_err(|source| Error::Map { map: "rings", source })?;
            }
        }
        let object = open.load().map_err(memory::explain)?;
        let rings = ring_buffers(&object, ring_count, ring_size)?;
        let shared = Arc::new(Shared::new(&object, true)?);
        let queue = Queue::new(options.queue_bytes).map_err(Error::Wait)?;
        let fds: Vec<OwnedFd> = rings
            .fds()
            .map(|fd| fd.try_clone_to_owned())
            .collect::<io::Result<_>>()
            .map_err(Error::Wait)?;
        let intake = Arc::new(Intake::new(rings, queue, record::used));
        let reader = Reader::start(fds, Arc::clone(&shared), Arc::clone(&intake))?;
        priority::take(Rank::Calm);
        let mut capture = Self {
            probes: Vec::new(),
            tracepoints: Vec::new(),
            object,
            reader,
            intake,
            shared,
            assembler: Assembler::new(Clock::new()),
            servers: Vec::new(),
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
            filter.set_once(&capture.object)?;
        }
        if !use_btf {
            capture.notes.push(
                "without kernel type information (BTF), users and databases of PostgreSQL sessions \
                 are unknown, and children are not followed"
                    .to_owned(),
            );
        } else if options.follow_children {
            match object::raw_tracepoint(&capture.object, "database_fork", "sched_process_fork") {
                Ok(link) => capture.tracepoints.push(Probe::Link { _link: link }),
                Err(error) => {
                    capture.notes.push(format!("children are not followed: {error}"));
                }
            }
        }
        Ok(capture)
    }
}
