//! Puts probes on one server's file.

use super::Capture;
use super::assemble::Attached;
use super::record::{MAX_SERVERS, Memory};
use crate::attach::{Place, Sites};
use crate::error::Error;
use crate::object;
use crate::record::MAX_FUNCTIONS;
use event::{DatabaseSystem, Library};
use libbpf_rs::{MapCore, MapFlags};
use std::fs::File;
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

impl Capture {
    /// Attaches to `functions` of the open `file`, and returns the server's number.
    ///
    /// The probes belong to the file: every process that has it mapped, or maps it later, is
    /// covered, unless the capture is limited to processes; then only those are touched.
    pub fn attach(
        &mut self,
        library: Library,
        file: &File,
        system: DatabaseSystem,
        memory: Memory,
        functions: &[Function],
    ) -> Result<usize, Error> {
        let number = self.servers.len();
        let full = |what, limit| Error::Full { path: library.path.clone(), what, limit };
        if number >= MAX_SERVERS {
            return Err(full("servers", MAX_SERVERS));
        }
        if self.functions.len() + functions.len() > MAX_FUNCTIONS {
            return Err(full("functions", MAX_FUNCTIONS));
        }
        object::map(&self.object, "servers")?
            .update(&(number as u32).to_ne_bytes(), &memory.to_bytes(&library.path)?, MapFlags::ANY)
            .map_err(|source| Error::Map { map: "servers", source })?;
        let place = Place {
            file,
            path: &library.path,
            pids: Place::pids(self.pids.as_deref(), self.follow_children),
            features: self.features,
        };
        let mut probes = Vec::new();
        // What ends a statement comes first, so that none is begun whose end is not seen.
        for (at, function) in functions.iter().enumerate().rev() {
            let index = self.functions.len() + at;
            // bits 0-15 server, 16-31 function, 32-39 role
            let cookie = number as u64 | (index as u64) << 16 | function.role.number() << 32;
            let mut sites = Sites::default();
            sites.push(function.entry, cookie);
            let (entry, exit) = function.role.programs();
            if let Some(exit) = exit {
                let program = object::program(&self.object, exit)?;
                place.attach(&program, &sites, true, &mut probes)?;
            }
            let program = object::program(&self.object, entry)?;
            place.attach(&program, &sites, false, &mut probes)?;
        }
        self.probes.append(&mut probes);
        self.functions.extend(functions.iter().map(|function| (number, function.name.clone())));
        self.servers.push(Attached { library: Arc::new(library), system });
        Ok(number)
    }
}
