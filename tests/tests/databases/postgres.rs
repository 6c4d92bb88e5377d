//! PostgreSQL.

use super::{CLIENTS, capture, only, statements};
use e2e::database::postgres::Server;
use e2e::database::statement::{assert_same, lengths, of_length};
use e2e::database::{Query, Sent};
use e2e::process::run;
use e2e::{Scratch, needs_bpf};
use std::collections::BTreeMap;
use std::thread;

/// Each client sends so many statements: simple ones, and prepared ones that it executes.
fn exchange(server: &Server, each: usize) -> Sent {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = server.connect();
                    let mut sent = Vec::new();
                    let mut note =
                        |op: &str, text: &str| sent.push((op.to_owned(), text.to_owned()));
                    for (number, len) in lengths(each).into_iter().enumerate() {
                        let text = of_length(len);
                        if number % 3 > 0 {
                            let _ = client.query(&text);
                            note("query", &text);
                            continue;
                        }
                        let name = format!("s{number}");
                        note("prepare", &text);
                        if client.prepare(&name, &text).is_ok() {
                            for _ in 0..2 {
                                client.execute(&name).unwrap();
                                note("bind", &text);
                                note("execute", &text);
                            }
                        }
                    }
                    (client.backend, sent)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

/// Every statement of 50 clients at once, of each connection; how some end; and real clients.
fn assert_captured(suite: &str, each: usize) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch, suite);
    let file = server.file();
    let capture = capture(&scratch, "postgres", &["--postgres", file.to_str().unwrap()]);
    let sent = exchange(&server, each);
    let backend = outcomes(&server);
    let marker = format!("m{}", fastrand::u64(..));
    psql(&server, &marker);
    for protocol in ["simple", "extended", "prepared"] {
        pgbench(&scratch, &server, protocol, &marker);
    }
    let statements = statements(capture);
    assert_same(sent, &statements, |query| Some(query.pid.into()));
    let mine: Vec<Query> =
        statements.iter().filter(|query| u64::from(query.pid) == backend).cloned().collect();
    assert_outcomes(&mine);
    assert_psql(&statements, &marker);
    assert_pgbench(&statements, &marker);
}

/// Statements that end in various ways; the process that executed them.
fn outcomes(server: &Server) -> u64 {
    let mut client = server.connect();
    let failed = |state: &str| Err(state.to_owned());
    assert_eq!(client.query("create table t (i int)"), Ok(()));
    assert_eq!(client.query("insert into t values (1),(2),(3)"), Ok(()));
    assert_eq!(client.query("select 1; select * from t"), Ok(()));
    assert_eq!(client.query("select * from gone"), failed("42P01"));
    assert_eq!(client.query("selec"), failed("42601"));
    assert_eq!(client.query("select 1; select 1/0; select 2"), failed("22012"));
    // An error that the client is not told of, and a notice that is none.
    assert_eq!(client.query(CAUGHT), Ok(()));
    assert_eq!(client.prepare("a", "select * from nowhere"), failed("42P01"));
    assert_eq!(client.prepare("b", "delete from t where i = 2"), Ok(()));
    assert_eq!(client.execute("b"), Ok(()));
    assert_eq!(client.prepare("c", "select 7/i from t where i = 1 or i/0 = 1"), Ok(()));
    assert_eq!(client.execute("c"), failed("22012"));
    client.backend
}

const CAUGHT: &str = "do $$ begin begin perform 1/0; exception when others then \
                      raise notice 'caught'; end; end $$";

fn assert_outcomes(mine: &[Query]) {
    for query in mine {
        assert_eq!(query.system, "postgresql");
        let session = [&query.user, &query.schema, &query.client].map(Option::as_deref);
        assert_eq!(session, [Some("postgres"), Some("postgres"), Some("[local]")]);
        assert_eq!((query.uid, query.connection), (65534, None));
        assert_eq!(query.outcome == "failed", query.error.is_some(), "{query:?}");
    }
    let check = |op: &str, text: &str, error: Option<&str>, rows: Option<u64>| {
        let query = only(mine, op, text);
        assert_eq!((query.error.as_deref(), query.rows), (error, rows), "{query:?}");
    };
    check("query", "create table t (i int)", None, Some(0));
    check("query", "insert into t values (1),(2),(3)", None, Some(3));
    check("query", "select 1; select * from t", None, Some(4));
    check("query", "select * from gone", Some("42P01"), None);
    check("query", "selec", Some("42601"), None);
    check("query", "select 1; select 1/0; select 2", Some("22012"), Some(1));
    check("query", CAUGHT, None, Some(0));
    check("prepare", "select * from nowhere", Some("42P01"), None);
    check("prepare", "delete from t where i = 2", None, None);
    check("bind", "delete from t where i = 2", None, None);
    check("execute", "delete from t where i = 2", None, Some(1));
    check("execute", "select 7/i from t where i = 1 or i/0 = 1", Some("22012"), None);
}

/// A script through `psql`, with data for COPY.
fn psql(server: &Server, marker: &str) {
    let script = server.cluster().write(
        "script.sql",
        &format!(
            "create table {marker} (i int);\n\
             copy {marker} from stdin;\n1\n2\n3\n4\n\\.\n\
             select count(*) from {marker};\n"
        ),
    );
    let _ = run(server.psql().arg("-f").arg(script)).success();
}

fn assert_psql(statements: &[Query], marker: &str) {
    let rows = |text: &str| only(statements, "query", text).rows;
    assert_eq!(rows(&format!("create table {marker} (i int);")), Some(0));
    assert_eq!(rows(&format!("copy {marker} from stdin;")), Some(4));
    assert_eq!(rows(&format!("select count(*) from {marker};")), Some(1));
}

const PGBENCH_CLIENTS: usize = 4;
const TRANSACTIONS: usize = 25;

fn pgbench(scratch: &Scratch, server: &Server, protocol: &str, marker: &str) {
    let statement = format!("select '{marker} {protocol}';");
    let _ = scratch;
    server.cluster().write("pgbench.sql", &statement);
    let mut pgbench = server.pgbench();
    pgbench.args(["--no-vacuum", "--protocol", protocol, "--file", "/tmp/pgbench.sql"]);
    pgbench.args(["--client", &PGBENCH_CLIENTS.to_string()]);
    pgbench.args(["--transactions", &TRANSACTIONS.to_string(), "postgres"]);
    let _ = run(&mut pgbench).success();
}

fn assert_pgbench(statements: &[Query], marker: &str) {
    let all = PGBENCH_CLIENTS * TRANSACTIONS;
    let expected: [(&str, &[(&str, usize)]); 3] = [
        ("simple", &[("query", all)]),
        ("extended", &[("bind", all), ("execute", all), ("prepare", all)]),
        ("prepared", &[("bind", all), ("execute", all), ("prepare", PGBENCH_CLIENTS)]),
    ];
    for (protocol, expected) in expected {
        let text = format!("select '{marker} {protocol}';");
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for query in statements.iter().filter(|query| query.query.as_deref() == Some(&text)) {
            assert_eq!(query.outcome, "done");
            *seen.entry(query.op.as_deref().unwrap()).or_default() += 1;
        }
        assert_eq!(seen, expected.iter().copied().collect(), "{protocol}");
    }
}

#[test]
fn postgresql_13() {
    needs_bpf!();
    assert_captured("bullseye", 20);
}

#[test]
fn postgresql_15() {
    needs_bpf!();
    assert_captured("bookworm", 20);
}

#[test]
fn postgresql_17() {
    needs_bpf!();
    assert_captured("trixie", 200);
}

#[test]
fn postgresql_18() {
    needs_bpf!();
    assert_captured("sid", 20);
}
