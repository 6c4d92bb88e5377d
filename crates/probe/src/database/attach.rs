//! Puts probes on one server's file.

use super::assemble::Attached;
use super::record::{MAX_SERVERS, Memory};
use super::{Capture, forget};
use crate::attach::{Place, Probe, Sites, close_all};
use crate::error::Error;
use crate::object;
use crate::record::MAX_FUNCTIONS;
use event::{DatabaseSystem, Library};
use libbpf_rs::{MapCore, MapFlags};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

/// What a call of a probed function means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// MySQL's `dispatch_command`, which is given the session first.
    DispatchComData,
    /// MariaDB's, which is given the command first.
    DispatchPacket,
    /// `mysql_execute_command`
    Execute,
    /// `Diagnostics_area::set_ok_status`
    OkStatus,
    /// `Protocol::send_error`
    SentError,
    /// `pgstat_report_activity`
    Activity,
    /// A function whose first argument is a statement.
    Query,
    /// `pq_getbyte`
    Message,
    /// `EndCommand`, with a struct.
    CommandDone,
    /// `EndCommand`, with a string.
    CommandDoneTag,
    /// `errstart`
    ReportStart,
    /// `errcode`
    ReportCode,
    /// `EmitErrorReport`
    ReportSent,
}

impl Role {
    /// The program at the entry, and the one at the return.
    fn programs(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::DispatchComData | Self::DispatchPacket => {
                ("mysql_dispatch", Some("mysql_dispatch_return"))
            }
            Self::Execute => ("mysql_execute", None),
            Self::OkStatus => ("mysql_ok", None),
            Self::SentError => ("mysql_error", None),
            Self::Activity => ("pg_activity", None),
            Self::Query => ("pg_query", None),
            Self::Message => ("pg_message", Some("pg_message_return")),
            Self::CommandDone | Self::CommandDoneTag => ("pg_done", None),
            Self::ReportStart => ("pg_report_start", None),
            Self::ReportCode => ("pg_report_code", None),
            Self::ReportSent => ("pg_report_sent", None),
        }
    }

    /// `enum role` of `query.h`
    fn number(self) -> u64 {
        match self {
            Self::DispatchComData => 1,
            Self::DispatchPacket => 2,
            Self::CommandDone => 3,
            Self::CommandDoneTag => 4,
            _ => 5,
        }
    }
}

/// One function to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// For reports.
    pub name: String,
    /// What a call means.
    pub role: Role,
    /// File offset of the site.
    pub entry: u64,
}

/// A server's file and where its probes go.
pub struct Placing<'a> {
    /// What it is called.
    pub library: Library,
    /// The open file.
    pub file: &'a File,
    /// Which server it is.
    pub system: DatabaseSystem,
    /// Where its sessions hold what.
    pub memory: Memory,
    /// What to probe.
    pub functions: &'a [Function],
}

impl Capture {
    /// Attaches to a server's file, and returns its number.
    ///
    /// The probes belong to the file: every process that has it mapped, or maps it later, is
    /// covered, unless the capture is limited to processes; then only those are touched.
    pub fn attach(&mut self, placing: &Placing<'_>) -> Result<usize, Error> {
        let whom = Place::pids(self.pids.as_deref(), self.follow_children);
        let mut probes = Vec::new();
        let number = self.place(placing, &whom, self.generation, &mut probes)?;
        self.probes.append(&mut probes);
        Ok(number)
    }

    /// Puts probes into these servers and no others, in processes `pids`; gives their numbers. If that fails, the
    /// probes are where they were. Each statement is captured once: see `include/overlap.h`.
    pub fn replace(
        &mut self,
        servers: &[Placing<'_>],
        pids: Option<Vec<u32>>,
    ) -> Result<Vec<usize>, Error> {
        // Whom the user names now is wanted without the children.
        let follow = self.follow_children && pids == self.pids;
        let whom = Place::pids(pids.as_deref(), follow);
        let generation = self.generation ^ 1;
        let filters = self.filters.as_mut().ok_or(Error::Missing("filters"))?;
        filters.begin_overlap(&self.object, generation)?;
        let mut probes = Vec::new();
        let placed: Result<Vec<usize>, Error> = servers
            .iter()
            .map(|placing| self.place(placing, &whom, generation, &mut probes))
            .collect();
        if placed.is_ok() {
            std::mem::swap(&mut self.probes, &mut probes);
            self.generation = generation;
            self.pids = pids;
            self.follow_children = follow;
        }
        close_all(&mut probes);
        let filters = self.filters.as_mut().ok_or(Error::Missing("filters"))?;
        filters.end_overlap(&self.object)?;
        if placed.is_ok() && !follow {
            forget(&self.object, "threads", self.pids.as_deref(), |key| {
                // bpf_get_current_pid_tgid()
                Some((u64::from_ne_bytes(key.try_into().ok()?) >> 32) as u32)
            })?;
        }
        placed
    }

    /// The number of a server that is known already, and that of its first function.
    fn known(&self, placing: &Placing<'_>, identity: (u64, u64)) -> Option<(usize, usize)> {
        let number = self.placed.iter().position(|known| *known == identity)?;
        let first = self.functions.iter().position(|(owner, _)| *owner == number)?;
        let known = self.functions[first..].iter().take_while(|(owner, _)| *owner == number);
        let names = placing.functions.iter().map(|function| &function.name);
        known.map(|(_, name)| name).eq(names).then_some((number, first))
    }

    fn place(
        &mut self,
        placing: &Placing<'_>,
        pids: &[i32],
        generation: u64,
        probes: &mut Vec<Probe>,
    ) -> Result<usize, Error> {
        let Placing { library, file, system, memory, functions } = placing;
        let metadata = file.metadata().map_err(|source| Error::Attach {
            what: "probes".to_owned(),
            path: library.path.clone(),
            source: source.into(),
        })?;
        let identity = (metadata.dev(), metadata.ino());
        let known = self.known(placing, identity);
        let (number, first) = known.unwrap_or((self.servers.len(), self.functions.len()));
        let full = |what, limit| Error::Full { path: library.path.clone(), what, limit };
        if number >= MAX_SERVERS {
            return Err(full("servers", MAX_SERVERS));
        }
        if first + functions.len() > MAX_FUNCTIONS {
            return Err(full("functions", MAX_FUNCTIONS));
        }
        object::map(&self.object, "servers")?
            .update(&(number as u32).to_ne_bytes(), &memory.to_bytes(&library.path)?, MapFlags::ANY)
            .map_err(|source| Error::Map { map: "servers", source })?;
        let place =
            Place { file, path: &library.path, pids: pids.to_vec(), features: self.features };
        // What ends a statement comes first, so that none is begun whose end is not seen.
        for (at, function) in functions.iter().enumerate().rev() {
            let index = first + at;
            // bits 0-15 server, 16-31 function, 32-39 role, 56-63 generation
            let cookie = number as u64
                | (index as u64) << 16
                | function.role.number() << 32
                | generation << 56;
            let mut sites = Sites::default();
            sites.push(function.entry, cookie);
            let (entry, exit) = function.role.programs();
            if let Some(exit) = exit {
                let program = object::program(&self.object, exit)?;
                place.attach(&program, &sites, true, probes)?;
            }
            let program = object::program(&self.object, entry)?;
            place.attach(&program, &sites, false, probes)?;
        }
        if known.is_none() {
            let names = functions.iter().map(|function| (number, function.name.clone()));
            self.functions.extend(names);
            self.servers.push(Attached { library: Arc::new(library.clone()), system: *system });
            self.placed.push(identity);
        }
        Ok(number)
    }
}
