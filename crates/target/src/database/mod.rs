//! Database servers: which functions every statement passes, and what their arguments lead to.
//!
//! - [`carries_mysqld`], [`carries_postgres`]: is a file worth analysing?
//! - [`plan_mysqld`], [`plan_postgres`]: the probes for it.
//!
//! Everything is found through symbols that the servers export for their plugins and extensions;
//! offsets are decoded from accessors that they export too. What cannot be had that way stays
//! unknown.

mod layout;
mod mysql;
mod postgres;
mod version;

use crate::Error;
use crate::elf::Machine;
use crate::image::Image;
use crate::site::{PlacementKind, Placer, Site, first_instruction};
use serde::Serialize;

pub use layout::{Place, SessionLayout};
pub use mysql::carries_mysqld;
pub use postgres::carries_postgres;

/// A database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// MySQL from 5.7 on, and what descends from it.
    MySql,
    /// MariaDB, and MySQL up to 5.6.
    MariaDb,
    /// PostgreSQL.
    Postgres,
}

/// What a call of a probed function means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// `dispatch_command(THD *, const COM_DATA *, enum_server_command)`: a client's command, until
    /// it returns.
    DispatchComData,
    /// `dispatch_command(enum_server_command, THD *, char *packet, uint length, …)`: the same.
    DispatchPacket,
    /// `mysql_execute_command(THD *, …)`: the statement that the session executes is known.
    Execute,
    /// `Diagnostics_area::set_ok_status(this, affected_rows, …)`.
    OkStatus,
    /// `Protocol::send_error(this, errno, …)`.
    SentError,
    /// `pgstat_report_activity(state, text)`: a message with a statement begins, or, without a text,
    /// the session has done with it.
    Activity,
    /// A function that the user named: its first argument is a statement.
    Query,
    /// `pq_getbyte()`: the server reads the type of the next message; at its return it has it.
    Message,
    /// `EndCommand(const QueryCompletion *, …)`: a statement was executed.
    CommandDone,
    /// `EndCommand(const char *tag, …)`: the same, before PostgreSQL 13.
    CommandDoneTag,
    /// `errstart(level, …)`: a report begins.
    ReportStart,
    /// `errcode(sqlstate)`: the code of the report at hand.
    ReportCode,
    /// `EmitErrorReport()`: the report at hand goes to the client.
    ReportSent,
}

/// A probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerProbe {
    /// The symbol.
    pub name: String,
    /// What a call means.
    pub role: Role,
    /// Where its entry is seen, with all arguments in place.
    pub entry: Site,
    /// Its return is seen too, by a return probe at the same place.
    pub returns: bool,
}

impl ServerProbe {
    /// Which kind of placement this is.
    pub fn placement(&self) -> PlacementKind {
        if self.returns { PlacementKind::EntryUretprobe } else { PlacementKind::EntryOnly }
    }
}

/// The probes of one server executable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerPlan {
    /// Which server.
    pub server: Server,
    /// Instruction set.
    pub machine: Machine,
    /// GNU build-id, lower-case hex.
    pub build_id: Option<String>,
    /// Version by the strings in the file.
    pub version: Option<String>,
    /// The probes.
    pub probes: Vec<ServerProbe>,
    /// Where a session keeps what is shown of it.
    pub layout: SessionLayout,
    /// PostgreSQL: reports from this level on are errors.
    pub error_level: u32,
    /// What could not be done, and why.
    pub notes: Vec<String>,
}

/// What the user, and the kernel, decide about the plan.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// The function that gets a statement, by its symbol.
    pub function: Option<String>,
    /// The same by its position in the file.
    pub offset: Option<u64>,
    /// Use no return probe.
    pub avoid_uretprobe: bool,
}

/// Plans the probes for the bytes of a MySQL or MariaDB server.
pub fn plan_mysqld(bytes: &[u8], options: &ServerOptions) -> Result<ServerPlan, Error> {
    mysql::plan(bytes, options)
}

/// Plans the probes for the bytes of a PostgreSQL server.
pub fn plan_postgres(bytes: &[u8], options: &ServerOptions) -> Result<ServerPlan, Error> {
    postgres::plan(bytes, options)
}

/// A function of interest: its symbols in the versions that there are, and what a call means.
struct Wanted {
    names: &'static [&'static str],
    role: Role,
    /// What is missing without it.
    without: &'static str,
}

/// The probe at the entry of the function that starts at `vaddr`.
fn probe(image: &Image<'_>, name: &str, role: Role, vaddr: u64) -> Option<ServerProbe> {
    let placer = Placer { image, options: crate::site::Options::default() };
    let at = match image.elf.machine {
        Machine::X86_64 => first_instruction(image, vaddr)?.0,
        Machine::Aarch64 => vaddr,
    };
    let returns = matches!(role, Role::DispatchComData | Role::DispatchPacket | Role::Message);
    Some(ServerProbe { name: name.to_owned(), role, entry: placer.site(at)?, returns })
}

/// The probes for `wanted`, and a note for each function that is not there.
fn probes(image: &Image<'_>, wanted: &[Wanted], notes: &mut Vec<String>) -> Vec<ServerProbe> {
    let mut probes = Vec::new();
    for Wanted { names, role, without } in wanted {
        let found = names.iter().find_map(|name| {
            let symbol = image.function(name)?;
            probe(image, name, *role, symbol.vaddr)
        });
        if let Some(probe) = found {
            probes.push(probe);
        } else {
            let name = names.first().copied().unwrap_or_default();
            notes.push(format!("{without}: no {name}"));
        }
    }
    probes
}
