//! PostgreSQL: each message of a client that holds or names a statement is reported to the
//! statistics with its text before anything is done with it, and the session is reported idle when
//! it is done. The functions that handle messages are local, and not in the symbols of a
//! distribution's build; those that they call for this have been exported, with the same arguments,
//! from version 10 to 18 at least.

use super::layout::SessionLayout;
use super::version::version;
use super::{Role, Server, ServerOptions, ServerPlan, Wanted, probe, probes};
use crate::Error;
use crate::elf::{Dynamic, Elf};
use crate::image::Image;

const ACTIVITY: &str = "pgstat_report_activity";
const BOTH: [&str; 2] = [ACTIVITY, "PostgresMain"];
/// Where an executed statement's row count is: since PostgreSQL 13 in a struct, which came with this
/// function.
const QUERY_COMPLETION: &str = "GetCommandTagName";
/// In PostgreSQL 14 `WARNING_CLIENT_ONLY` took the number of `ERROR`, and this came.
const ERRSTART_COLD: &str = "errstart_cold";
const CLIENT: &str = "MyProcPort";

const WANTED: [Wanted; 4] = [
    Wanted {
        names: &["pq_getbyte"],
        role: Role::Message,
        without: "kinds of statements are unknown, and those of the extended protocol have no end",
    },
    Wanted { names: &["errstart"], role: Role::ReportStart, without: "errors are unknown" },
    Wanted { names: &["errcode"], role: Role::ReportCode, without: "error codes are unknown" },
    Wanted { names: &["EmitErrorReport"], role: Role::ReportSent, without: "errors are unknown" },
];

/// True if the file defines what every server since PostgreSQL 9.2 has.
pub fn carries_postgres(bytes: &[u8]) -> bool {
    let Ok(elf) = Elf::parse(bytes) else { return false };
    let dynamic = Dynamic::read(&elf);
    BOTH.iter().all(|name| !dynamic.lookup(&elf, name).is_empty())
}

pub(super) fn plan(bytes: &[u8], options: &ServerOptions) -> Result<ServerPlan, Error> {
    let mut names = vec![ACTIVITY, "EndCommand", QUERY_COMPLETION, ERRSTART_COLD];
    names.extend(WANTED.iter().flat_map(|wanted| wanted.names));
    names.extend(options.function.as_deref());
    let image = Image::new(bytes, &names)?;
    let mut notes = Vec::new();
    let missing = |name: &str| Error::NoServerFunction { function: name.to_owned() };
    let symbol = image.function(ACTIVITY).ok_or_else(|| missing(ACTIVITY))?;
    if options.avoid_uretprobe {
        return Err(Error::ReturnProbes);
    }
    let activity =
        probe(&image, ACTIVITY, Role::Activity, symbol.vaddr).ok_or_else(|| missing(ACTIVITY))?;
    let mut all = vec![activity];
    if let Some(name) = &options.function {
        let symbol = image.function(name).ok_or_else(|| missing(name))?;
        if name != ACTIVITY {
            let vaddr = symbol.vaddr;
            all.push(probe(&image, name, Role::Query, vaddr).ok_or_else(|| missing(name))?);
        }
    }
    all.extend(probes(&image, &WANTED, &mut notes));
    let role = if image.function(QUERY_COMPLETION).is_some() {
        Role::CommandDone
    } else {
        Role::CommandDoneTag
    };
    let done = Wanted { names: &["EndCommand"], role, without: "numbers of rows are unknown" };
    all.extend(probes(&image, &[done], &mut notes));
    let client = variable(&image, CLIENT);
    if client.is_none() {
        notes.push(format!("what background processes do is shown too: no {CLIENT}"));
    }
    let derivation = client.iter().map(|_| format!("clients by {CLIENT}")).collect();
    Ok(ServerPlan {
        server: Server::Postgres,
        machine: image.elf.machine,
        build_id: image.elf.build_id(),
        version: version(&image.elf, Server::Postgres),
        probes: all,
        layout: SessionLayout { client, derivation, ..SessionLayout::default() },
        error_level: if image.function(ERRSTART_COLD).is_some() { 21 } else { 20 },
        notes,
    })
}

/// The address of an exported variable.
fn variable(image: &Image<'_>, name: &str) -> Option<u64> {
    /// A server has some 15 000.
    const MOST_SYMBOLS: u32 = 1 << 20;
    (0..MOST_SYMBOLS)
        .map_while(|index| image.dynamic.by_index(&image.elf, index))
        .find_map(|(found, vaddr)| vaddr.filter(|_| found == name))
}
