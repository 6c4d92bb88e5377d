//! MySQL and MariaDB: `dispatch_command` gets every command of a client and returns when it is
//! answered; `mysql_execute_command` is where the statement of a prepared one is known.

use super::layout::{SessionLayout, number, number_if, pointer, pointer_of, stored_field};
use super::version::version;
use super::{Place, Role, Server, ServerOptions, ServerPlan, Wanted, probe, probes};
use crate::Error;
use crate::elf::{Dynamic, Elf, StaticSymbols};
use crate::image::Image;

/// `dispatch_command` in all versions.
const DISPATCH: [(&str, Role); 4] = [
    // MySQL 5.7 to 9.x
    ("_Z16dispatch_commandP3THDPK8COM_DATA19enum_server_command", Role::DispatchComData),
    // MariaDB from 10.6 on
    ("_Z16dispatch_command19enum_server_commandP3THDPcjb", Role::DispatchPacket),
    // MariaDB 10.2 to 10.5
    ("_Z16dispatch_command19enum_server_commandP3THDPcjbb", Role::DispatchPacket),
    // MySQL up to 5.6, MariaDB up to 10.1
    ("_Z16dispatch_command19enum_server_commandP3THDPcj", Role::DispatchPacket),
];

const COMMON: [Wanted; 2] = [
    Wanted {
        names: &["_Z21mysql_execute_commandP3THDb", "_Z21mysql_execute_commandP3THD"],
        role: Role::Execute,
        without: "the text of prepared statements is unknown when they are executed",
    },
    Wanted {
        names: &[
            "_ZN16Diagnostics_area13set_ok_statusEyyPKc",
            "_ZN16Diagnostics_area13set_ok_statusEyPKc",
        ],
        role: Role::OkStatus,
        without: "numbers of rows are unknown",
    },
];

/// Where no accessor tells the error: a virtual function that is called for each answer.
const SENT_ERROR: [Wanted; 1] =
    [Wanted { names: &[MYSQL_ONLY], role: Role::SentError, without: "error codes are unknown" }];

/// Of MySQL from 5.7 on, not of MariaDB.
const MYSQL_ONLY: &str = "_ZN16Protocol_classic10send_errorEjPKcS1_";

const CONNECTION: [&str; 2] = ["thd_get_thread_id", "_Z13thd_thread_idPK3THD"];
const STATEMENT: [&str; 4] =
    ["thd_query_string", "_Z16thd_query_unsafeP3THD", "thd_query_unsafe", "thd_query"];
const SCHEMA: [&str; 1] = ["thd_current_db"];
/// MySQL tells the schema of a session of a plugin, which leads to its `THD`.
const SESSION_SCHEMA: &str = "_Z31srv_session_info_get_current_dbP11Srv_session";
const SESSION: &str = "_Z24srv_session_info_get_thdP11Srv_session";
const USER: [&str; 1] = ["thd_user_name"];
/// MariaDB's; MySQL keeps no such thing.
const ERROR: &str = "thd_current_status";
const SECURITY_CONTEXT: &str = "_Z24thd_get_security_contextP3THDPP16Security_context";
const CONTEXT_USER: [&str; 1] = ["_ZNK16Security_context4userEv"];

/// True if the file defines the function that gets a client's commands.
pub fn carries_mysqld(bytes: &[u8]) -> bool {
    let Ok(elf) = Elf::parse(bytes) else { return false };
    let dynamic = Dynamic::read(&elf);
    if DISPATCH.iter().any(|(name, _)| !dynamic.lookup(&elf, name).is_empty()) {
        return true;
    }
    StaticSymbols::of(&elf)
        .is_some_and(|table| DISPATCH.iter().any(|(name, _)| table.may_define(name)))
}

pub(super) fn plan(bytes: &[u8], options: &ServerOptions) -> Result<ServerPlan, Error> {
    let mut names: Vec<&str> = DISPATCH.iter().map(|(name, _)| *name).collect();
    names.extend(COMMON.iter().chain(&SENT_ERROR).flat_map(|wanted| wanted.names));
    names.extend(CONNECTION.iter().chain(&STATEMENT).chain(&SCHEMA).chain(&USER));
    names.extend([SECURITY_CONTEXT, ERROR, SESSION_SCHEMA, SESSION]);
    names.extend(CONTEXT_USER);
    names.extend(options.function.as_deref());
    let image = Image::new(bytes, &names)?;
    let mut notes = Vec::new();
    let dispatch = dispatch(&image, options)?;
    let server = match dispatch.role {
        Role::DispatchComData => Server::MySql,
        _ => Server::MariaDb,
    };
    if options.avoid_uretprobe {
        return Err(Error::ReturnProbes);
    }
    let layout = layout(&image, &mut notes);
    let mut all = vec![dispatch];
    all.extend(probes(&image, &COMMON, &mut notes));
    if layout.error.is_none() {
        all.extend(probes(&image, &SENT_ERROR, &mut notes));
    }
    Ok(ServerPlan {
        server,
        machine: image.elf.machine,
        build_id: image.elf.build_id(),
        version: version(&image.elf, server),
        probes: all,
        layout,
        error_level: 0,
        notes,
    })
}

/// The probe for `dispatch_command`, or for what the user says it is.
fn dispatch(image: &Image<'_>, options: &ServerOptions) -> Result<super::ServerProbe, Error> {
    let missing = |name: &str| Error::NoServerFunction { function: name.to_owned() };
    let known = || {
        DISPATCH.iter().find_map(|(name, role)| {
            image.function(name).map(|symbol| (*name, *role, symbol.vaddr))
        })
    };
    if let Some(offset) = options.offset {
        let vaddr = image
            .elf
            .code_vaddr(offset)
            .ok_or_else(|| missing(&format!("code at offset {offset:#x}")))?;
        // The order of its arguments is that of the rest of the file.
        let is_mysql = image.function(MYSQL_ONLY).is_some();
        let role = known().map_or(
            if is_mysql { Role::DispatchComData } else { Role::DispatchPacket },
            |(_, role, _)| role,
        );
        let name = format!("offset {offset:#x}");
        return probe(image, &name, role, vaddr).ok_or_else(|| missing(&name));
    }
    if let Some(name) = &options.function {
        let symbol = image.function(name).ok_or_else(|| missing(name))?;
        let role =
            if name.contains("COM_DATA") { Role::DispatchComData } else { Role::DispatchPacket };
        return probe(image, name, role, symbol.vaddr).ok_or_else(|| missing(name));
    }
    let (name, role, vaddr) = known().ok_or_else(|| missing("dispatch_command"))?;
    probe(image, name, role, vaddr).ok_or_else(|| missing(name))
}

fn layout(image: &Image<'_>, notes: &mut Vec<String>) -> SessionLayout {
    let mut derivation = Vec::new();
    let mut take = |what: &str, found: Option<(Place, String)>| {
        if let Some((_, name)) = &found {
            derivation.push(format!("{what} by {name}"));
        } else {
            notes.push(format!("{what}: no accessor that could be decoded"));
        }
        found.map(|(place, _)| place)
    };
    let user = pointer(image, &USER).or_else(|| {
        let context = stored_field(image, SECURITY_CONTEXT)?;
        let (place, name) = pointer(image, &CONTEXT_USER)?;
        let through = place.through.is_none().then_some(context);
        through.map(|_| (Place { through, ..place }, format!("thd_get_security_context, {name}")))
    });
    let (error, error_tag) =
        number_if(image, ERROR).map(|(error, tag, value)| (error, (tag, value))).unzip();
    let connection = take("connection", number(image, &CONNECTION));
    let statement = take("statement", pointer(image, &STATEMENT));
    let schema = pointer(image, &SCHEMA).or_else(|| {
        pointer_of(image, SESSION_SCHEMA, SESSION).map(|place| (place, SESSION_SCHEMA.to_owned()))
    });
    let schema = take("schema", schema);
    let user = take("user", user);
    if error.is_some() {
        derivation.push(format!("error by {ERROR}"));
    }
    SessionLayout {
        connection,
        statement,
        schema,
        user,
        error,
        error_tag,
        client: None,
        derivation,
    }
}
