//! What all BPF objects have in common: their configuration, their filters, their maps and programs by
//! name.

use crate::error::Error;
use crate::record::Configuration;
use libbpf_rs::{Link, Map, MapCore, MapFlags, Object, OpenObject, PrintLevel, ProgramMut};
use libbpf_rs::{ObjectBuilder, ProgramAttachType};
use std::os::fd::{AsRawFd, OwnedFd};

/// Opens the object `bytes` and decides what is constant in it. `uprobes` are the programs that are
/// attached by uprobes, with `multi` through links of that kind.
pub(crate) fn open(
    name: &str,
    bytes: &[u8],
    configuration: &Configuration,
    uprobes: &[&str],
    multi: bool,
) -> Result<OpenObject, Error> {
    // Tracepoints that a kernel lacks are no news to the user, and errors come with our own words.
    libbpf_rs::set_print(Some((PrintLevel::Warn, |_, text| {
        tracing::debug!("{}", text.trim_end());
    })));
    let mut open = ObjectBuilder::default()
        .name(name)
        .and_then(|builder| builder.open_memory(bytes))
        .map_err(|source| Error::Load { source })?;
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if name.ends_with(".rodata") {
            let bytes = configuration.to_bytes();
            match map.initial_value_mut() {
                Some(value) if value.len() == bytes.len() => value.copy_from_slice(&bytes),
                _ => return Err(Error::Missing("configuration")),
            }
        } else if name == "pids" && configuration.filter_pid == 0 && configuration.changeable == 0 {
            map.set_max_entries(1).map_err(|source| Error::Map { map: "pids", source })?;
        }
    }
    if multi {
        for mut program in open.progs_mut() {
            if uprobes.iter().any(|name| program.name() == *name) {
                program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
            }
        }
    }
    Ok(open)
}

pub(crate) fn map<'a>(object: &'a Object, name: &'static str) -> Result<Map<'a>, Error> {
    object.maps().find(|map| map.name() == name).ok_or(Error::Missing(name))
}

pub(crate) fn program<'a>(object: &'a Object, name: &'static str) -> Result<ProgramMut<'a>, Error> {
    object.progs_mut().find(|program| program.name() == name).ok_or(Error::Missing(name))
}

pub(crate) fn raw_tracepoint(
    object: &Object,
    name: &'static str,
    tracepoint: &str,
) -> Result<Link, Error> {
    program(object, name)?.attach_raw_tracepoint(tracepoint).map_err(|source| Error::Attach {
        what: name.to_owned(),
        path: format!("tracepoint {tracepoint}"),
        source,
    })
}

/// Adds a process to the filter.
pub(crate) fn add_pid(object: &Object, pid: u32) -> Result<(), Error> {
    map(object, "pids")?
        .update(&pid.to_ne_bytes(), &[1], MapFlags::ANY)
        .map_err(|source| Error::Map { map: "pids", source })
}

/// Sets the cgroup of the filter.
pub(crate) fn set_cgroup(object: &Object, cgroup: &OwnedFd) -> Result<(), Error> {
    let fd = cgroup.as_raw_fd() as u32;
    map(object, "cgroups")?
        .update(&0_u32.to_ne_bytes(), &fd.to_ne_bytes(), MapFlags::ANY)
        .map_err(|source| Error::Map { map: "cgroups", source })
}
