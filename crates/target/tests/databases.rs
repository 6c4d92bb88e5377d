//! The plans for the database servers of every suite, as tables. They hold what a security update of a
//! server should not change: no addresses, no build-ids. Where a session keeps what is shown of it may
//! change with any update, so that is compared for the very file that it was noted for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod matrix;

use std::fmt::Write;
use target::{
    Error, Place, PlacementKind, Role, ServerOptions, ServerPlan, Site, carries_mysqld,
    carries_postgres, plan_mysqld, plan_postgres,
};

type Plan = fn(&[u8], &ServerOptions) -> Result<ServerPlan, Error>;

/// A server, and the release that its table was made for.
struct Server {
    suite: &'static str,
    file: &'static str,
    release: &'static str,
}

const MARIADB_10_5: Server =
    Server { suite: "bullseye", file: "usr/sbin/mariadbd", release: "MariaDB 10.5." };
const MARIADB_10_11: Server =
    Server { suite: "bookworm", file: "usr/sbin/mariadbd", release: "MariaDB 10.11." };
const MARIADB_11_8: Server =
    Server { suite: "trixie", file: "usr/sbin/mariadbd", release: "MariaDB 11.8." };
const MYSQL_9_7: Server = Server { suite: "sid", file: "usr/sbin/mysqld", release: "MySQL 9.7" };
const POSTGRES: [Server; 4] = [
    Server {
        suite: "bullseye",
        file: "usr/lib/postgresql/13/bin/postgres",
        release: "PostgreSQL 13.",
    },
    Server {
        suite: "bookworm",
        file: "usr/lib/postgresql/15/bin/postgres",
        release: "PostgreSQL 15.",
    },
    Server {
        suite: "trixie",
        file: "usr/lib/postgresql/17/bin/postgres",
        release: "PostgreSQL 17.",
    },
    Server { suite: "sid", file: "usr/lib/postgresql/18/bin/postgres", release: "PostgreSQL 18." },
];

impl Server {
    fn bytes(&self) -> Option<Vec<u8>> {
        let folder = matrix::folder(&format!("{}-databases", self.suite))?;
        let (place, name) = self.file.rsplit_once('/').unwrap();
        Some(matrix::file(&folder.join(place), name))
    }
}

fn golden(server: &Server, plan: Plan) -> Option<ServerPlan> {
    let bytes = server.bytes()?;
    let plan = plan(&bytes, &ServerOptions::default()).unwrap();
    check(&bytes, &plan);
    let version = plan.version.clone().expect("the server names its version");
    if version.starts_with(server.release) {
        let name = server.release.trim_end_matches('.').to_lowercase().replace(' ', "-");
        insta::assert_snapshot!(name, table(&plan));
    } else {
        // Suites move on to new releases; what must hold in any plan has been checked above.
        eprintln!("{} has {version}: its table is for {}", server.suite, server.release);
    }
    Some(plan)
}

fn table(plan: &ServerPlan) -> String {
    let mut table = format!("{:?} {:?}\n", plan.server, plan.machine);
    for probe in &plan.probes {
        let placement = format!("{:?}", probe.placement());
        let role = format!("{:?}", probe.role);
        writeln!(table, "{:58} {role:15} {placement:15} {}", probe.name, mnemonic(&probe.entry))
            .unwrap();
    }
    for line in &plan.layout.derivation {
        writeln!(table, "{line}").unwrap();
    }
    if plan.error_level > 0 {
        writeln!(table, "errors from level {}", plan.error_level).unwrap();
    }
    for note in &plan.notes {
        writeln!(table, "note: {note}").unwrap();
    }
    table
}

fn mnemonic(site: &Site) -> String {
    let name = site.instruction.split(' ').next().unwrap_or_default();
    if site.emulated { format!("{name} (emulated)") } else { name.to_owned() }
}

/// What must hold in every plan.
fn check(bytes: &[u8], plan: &ServerPlan) {
    let mut entries = Vec::new();
    for probe in &plan.probes {
        assert!(!entries.contains(&probe.entry.file_offset), "{} has another's entry", probe.name);
        entries.push(probe.entry.file_offset);
        let at = usize::try_from(probe.entry.file_offset).unwrap();
        assert!(at < bytes.len(), "{} lies in the file", probe.name);
        assert_ne!(&bytes[at..at + 5], &[0x0f, 0x1f, 0x44, 0, 0], "{}", probe.name);
        if probe.returns {
            // There the return address is on top of the stack.
            assert_eq!(probe.placement(), PlacementKind::EntryUretprobe);
            let before = bytes[..at].ends_with(&[0xf3, 0x0f, 0x1e, 0xfa]);
            let aligned = probe.entry.vaddr.is_multiple_of(16);
            assert!(before || aligned, "{} is at the function's begin", probe.name);
        }
    }
}

/// Offsets of connection, statement, schema, user (through, offset) and error (through, offset).
type Offsets = (u32, u32, u32, (u32, u32), Option<(u32, u32)>);

fn assert_session(plan: Option<ServerPlan>, build_id: &str, expected: Offsets) {
    let Some(plan) = plan else { return };
    let layout = &plan.layout;
    let known = |place: Option<Place>| place.expect("every part of a session is known");
    let direct = |place: Option<Place>| match known(place) {
        Place { through: None, offset, .. } => offset,
        place => panic!("through a pointer: {place:?}"),
    };
    let through = |place: Place| (place.through.expect("through a pointer"), place.offset);
    assert_eq!(layout.client, None);
    let user = known(layout.user);
    let user = (user.through.unwrap_or(0), user.offset);
    let found = (
        direct(layout.connection),
        direct(layout.statement),
        direct(layout.schema),
        user,
        layout.error.map(through),
    );
    assert_eq!(layout.error.is_some(), layout.error_tag.is_some());
    if plan.build_id.as_deref() == Some(build_id) {
        assert_eq!(found, expected);
    } else {
        eprintln!("{:?}: another build than the one whose offsets are known", plan.version);
    }
}

#[test]
fn mariadb_10_5_has_an_argument_more_in_dispatch_command() {
    let plan = golden(&MARIADB_10_5, plan_mysqld);
    let build_id = "d2901cea35863dcf5a88fce923c5eb149836cabb";
    let user = (0x2380, 8);
    assert_session(plan, build_id, (0x3c38, 0x68, 0xa0, user, Some((0x5e70, 8))));
}

#[test]
fn mariadb_10_11() {
    let plan = golden(&MARIADB_10_11, plan_mysqld);
    let build_id = "7a14d39cfbfbf90a1d0deaf338d76b741ca05e3b";
    assert_session(plan, build_id, (0x3f18, 0x68, 0xa0, (0x25f8, 8), Some((0x62a0, 8))));
}

#[test]
fn mariadb_11_8() {
    let plan = golden(&MARIADB_11_8, plan_mysqld);
    let build_id = "2709f499a097a419b25142742f24e79f0a243149";
    assert_session(plan, build_id, (0x4058, 0x68, 0xa0, (0x2720, 8), Some((0x6378, 8))));
}

#[test]
fn mysql_9_7_tells_errors_by_a_function() {
    let plan = golden(&MYSQL_9_7, plan_mysqld);
    let build_id = "cc8a18826385d7182761a4a8f41044748267244d";
    assert_session(plan, build_id, (0x25d0, 0x510, 0x558, (0x1800, 0), None));
}

#[test]
fn postgres_of_each_suite() {
    for server in &POSTGRES {
        let Some(plan) = golden(server, plan_postgres) else { continue };
        // In PostgreSQL 14 an error's number changed (ERRSTART_COLD in postgres.rs).
        let is_13 = server.release == "PostgreSQL 13.";
        assert_eq!(plan.error_level, if is_13 { 20 } else { 21 }, "{}", server.release);
        assert!(plan.layout.client.is_some(), "{}", server.release);
    }
}

#[test]
fn a_server_is_not_another_one() {
    for server in [MARIADB_10_5, MARIADB_10_11, MARIADB_11_8, MYSQL_9_7] {
        let Some(bytes) = server.bytes() else { continue };
        assert!(carries_mysqld(&bytes) && !carries_postgres(&bytes), "{}", server.release);
        let error = plan_postgres(&bytes, &ServerOptions::default()).unwrap_err();
        assert!(error.to_string().contains("pgstat_report_activity"), "{error}");
    }
    for server in POSTGRES {
        let Some(bytes) = server.bytes() else { continue };
        assert!(carries_postgres(&bytes) && !carries_mysqld(&bytes), "{}", server.release);
        let error = plan_mysqld(&bytes, &ServerOptions::default()).unwrap_err();
        assert!(error.to_string().contains("dispatch_command"), "{error}");
    }
}

#[test]
fn without_return_probes_no_end_of_a_command_is_seen_and_so_nothing_is_planned() {
    let options = ServerOptions { avoid_uretprobe: true, ..ServerOptions::default() };
    if let Some(bytes) = MYSQL_9_7.bytes() {
        assert_eq!(plan_mysqld(&bytes, &options).unwrap_err(), Error::ReturnProbes);
    }
    if let Some(bytes) = POSTGRES[3].bytes() {
        assert_eq!(plan_postgres(&bytes, &options).unwrap_err(), Error::ReturnProbes);
    }
}

#[test]
fn a_function_by_its_name_or_position_is_the_one_that_is_found_without() {
    for (server, role) in
        [(MARIADB_10_11, Role::DispatchPacket), (MYSQL_9_7, Role::DispatchComData)]
    {
        let Some(bytes) = server.bytes() else { continue };
        let found = plan_mysqld(&bytes, &ServerOptions::default()).unwrap();
        let dispatch = &found.probes[0];
        let by_name =
            ServerOptions { function: Some(dispatch.name.clone()), ..ServerOptions::default() };
        assert_eq!(plan_mysqld(&bytes, &by_name).unwrap(), found);
        let by_offset =
            ServerOptions { offset: Some(dispatch.entry.file_offset), ..ServerOptions::default() };
        let named = plan_mysqld(&bytes, &by_offset).unwrap();
        assert_eq!(named.probes[0].entry, dispatch.entry);
        assert_eq!(named.probes[0].role, role);
        assert_eq!(named.probes[1..], found.probes[1..]);
    }
}

#[test]
fn a_function_that_is_not_there_is_refused_by_its_name() {
    let options =
        ServerOptions { function: Some("no_such_one".into()), ..ServerOptions::default() };
    if let Some(bytes) = MARIADB_11_8.bytes() {
        let error = plan_mysqld(&bytes, &options).unwrap_err().to_string();
        assert!(error.contains("no_such_one"), "{error}");
    }
    if let Some(bytes) = POSTGRES[2].bytes() {
        let error = plan_postgres(&bytes, &options).unwrap_err().to_string();
        assert!(error.contains("no_such_one"), "{error}");
    }
}
