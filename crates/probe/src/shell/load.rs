//! Puts the programs and maps into the kernel.

use super::assemble::Assembler;
use super::record::Configuration;
use super::{Capture, Options, readable};
use crate::attach::Probe;
use crate::clock::Clock;
use crate::error::Error;
use crate::features::{Feature, Features};
use crate::filter::{Filter, Filters};
use crate::mapping::page_size;
use crate::memory;
use crate::ring::{BpfRing, Buffer, Rings};
use libbpf_rs::{MapCore, Object, ObjectBuilder, OpenObject, PrintLevel, ProgramAttachType};
use std::io;
use std::os::fd::AsFd;

macro_rules! object {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

/// The programs compiled for what a kernel has: type information and `bpf_loop`. See build.rs.
fn object(btf: bool, loop_helper: bool) -> &'static [u8] {
    match (btf, loop_helper) {
        (true, true) => object!("shell.bpf.o"),
        (true, false) => object!("shell_no_loop.bpf.o"),
        (false, true) => object!("shell_no_btf.bpf.o"),
        (false, false) => object!("shell_no_btf_loop.bpf.o"),
    }
}

/// Programs that are attached by uprobes; the others are raw tracepoints.
const UPROBES: [&str; 4] = ["shell_read", "shell_line", "shell_line_return", "shell_prompt"];

/// A line of some MiB is to fit, as it comes at once.
const SMALLEST_RING: usize = 4 << 20;

impl Capture {
    /// Loads the programs and attaches those that need no shell.
    pub fn load(options: Options) -> Result<Self, Error> {
        let ring_size = options
            .ring_bytes
            .max(SMALLEST_RING)
            .max(page_size())
            .checked_next_power_of_two()
            .unwrap_or(1 << 30)
            .min(1 << 30);
        libbpf_rs::set_print(Some((PrintLevel::Warn, |_, text| {
            tracing::debug!("{}", text.trim_end());
        })));
        memory::unlimit();
        let features = Features::detect(&options.without);
        if !features.ring_buffer {
            return Err(Error::Missing("ring buffer: this kernel has none (Linux 5.8)"));
        }
        let use_btf = options.use_btf && !options.without.has(Feature::Btf);
        let configuration = Configuration {
            wanted_uid: options.uid.unwrap_or(0),
            filter_pid: options.pids.is_some(),
            filter_uid: options.uid.is_some(),
            filter_cgroup: options.cgroup.is_some(),
            follow_children: options.follow_children,
            have_cookie: features.cookie,
            changeable: options.changeable,
        };
        let mut open = ObjectBuilder::default()
            .name("shell")
            .and_then(|builder| builder.open_memory(object(use_btf, features.loop_helper)))
            .map_err(|source| Error::Load { source })?;
        configure(&mut open, configuration, ring_size, features.multi)?;
        let object = open.load().map_err(memory::explain)?;
        let rings = ring(&object, ring_size)?;
        let readable = readable(&rings).map_err(Error::Wait)?;
        let mut capture = Self {
            probes: Vec::new(),
            tracepoints: Vec::new(),
            object,
            gauges: rings.gauges(),
            rings,
            readable,
            assembler: Assembler::new(Clock::new(), use_btf),
            files: Vec::new(),
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
        capture.attach_tracepoints(use_btf);
        Ok(capture)
    }

    /// Attaches what makes a capture better but is not needed for one.
    fn attach_tracepoints(&mut self, use_btf: bool) {
        let (mut probes, mut notes) = (Vec::new(), Vec::new());
        if !use_btf {
            notes.push(
                "without kernel type information (BTF), the exit status of shells is unknown, and \
                 children are not followed"
                    .to_owned(),
            );
        }
        for (program, tracepoint, consequence) in [
            ("shell_exit", "sched_process_exit", "commands that end their shell show as running"),
            ("shell_exec", "sched_process_exec", "`exec` shows as running"),
            ("shell_fork", "sched_process_fork", "children are not followed"),
        ] {
            if program == "shell_fork" && !(use_btf && self.follow_children) {
                continue;
            }
            let link = self.program(program).and_then(|program| {
                program.attach_raw_tracepoint(tracepoint).map_err(|source| Error::Attach {
                    what: program.name().to_string_lossy().into_owned(),
                    path: format!("tracepoint {tracepoint}"),
                    source,
                })
            });
            match link {
                Ok(link) => probes.push(Probe::Link { _link: link }),
                Err(error) => notes.push(format!("{consequence}: {error}")),
            }
        }
        self.tracepoints.append(&mut probes);
        self.notes.append(&mut notes);
    }
}

fn configure(
    open: &mut OpenObject,
    configuration: Configuration,
    ring_size: usize,
    multi: bool,
) -> Result<(), Error> {
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if name.ends_with(".rodata") {
            let bytes = configuration.to_bytes();
            match map.initial_value_mut() {
                Some(value) if value.len() == bytes.len() => value.copy_from_slice(&bytes),
                _ => return Err(Error::Missing("configuration")),
            }
        } else if name == "pids" && !configuration.filter_pid && !configuration.changeable {
            map.set_max_entries(1).map_err(|source| Error::Map { map: "pids", source })?;
        } else if name == "ring" {
            map.set_max_entries(ring_size as u32)
                .map_err(|source| Error::Map { map: "ring", source })?;
        }
    }
    if multi {
        for mut program in open.progs_mut() {
            if UPROBES.iter().any(|name| program.name() == *name) {
                program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
            }
        }
    }
    Ok(())
}

fn ring(object: &Object, size: usize) -> Result<Rings, Error> {
    let map = object.maps().find(|map| map.name() == "ring").ok_or(Error::Missing("ring"))?;
    let failed = |source: io::Error| Error::Ring { size, source };
    let fd = map.as_fd().try_clone_to_owned().map_err(failed)?;
    Ok(Rings::new(vec![Buffer::Bpf(BpfRing::new(fd, size).map_err(failed)?)]))
}
