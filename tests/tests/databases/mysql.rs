//! MySQL and MariaDB.

use super::{CLIENTS, capture, only, statements};
use e2e::Scratch;
use e2e::database::mysql::Server;
use e2e::database::statement::{assert_same, lengths, of_length};
use e2e::database::{Query, Sent};
use std::thread;

/// Each client sends so many statements at once, and prepares and executes some.
fn exchange(server: &Server, each: usize) -> Sent {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = server.connect();
                    let mut sent = Vec::new();
                    for (number, len) in lengths(each).into_iter().enumerate() {
                        let text = of_length(len);
                        if number % 3 > 0 {
                            let _ = client.query(&text);
                            sent.push(("query".to_owned(), text));
                            continue;
                        }
                        if let Ok(statement) = client.prepare(&text) {
                            for _ in 0..2 {
                                client.execute(statement).unwrap();
                                sent.push(("execute".to_owned(), text.clone()));
                            }
                        }
                        sent.push(("prepare".to_owned(), text));
                    }
                    (client.connection, sent)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

/// Every statement of 50 clients at once, of each connection; and how some end.
fn assert_captured(suite: &str, each: usize) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch, suite);
    let file = server.file();
    let capture = capture(&scratch, "mysqld", &["--mysqld", file.to_str().unwrap()]);
    let mut sent = exchange(&server, each);
    let outcomes = outcomes(&server);
    let mut statements = statements(capture);
    statements.retain(|query| query.pid == server.pid());
    assert_outcomes(&server, outcomes, &statements);
    sent.remove(&outcomes);
    assert_same(sent, &statements, |query| query.connection);
}

/// Statements that end in various ways; the connection's number.
fn outcomes(server: &Server) -> u64 {
    let mut client = server.connect();
    assert!(client.query("create database shop").is_ok());
    assert!(client.query("use shop").is_ok());
    assert_eq!(client.query("create table t (i int)"), Ok(Some(0)));
    assert_eq!(client.query("insert into t values (1),(2),(3)"), Ok(Some(3)));
    assert_eq!(client.query("select * from t"), Ok(None));
    assert_eq!(client.query("select * from gone"), Err(1146));
    assert_eq!(client.query("selec"), Err(1064));
    assert_eq!(client.query("select 1; delete from t where i = 2"), Ok(Some(1)));
    assert_eq!(client.query("select 2; select * from gone; select 3"), Err(1146));
    assert_eq!(client.prepare("select * from nowhere"), Err(1146));
    let statement = client.prepare("insert into t select i from t").unwrap();
    assert_eq!(client.execute(statement), Ok(Some(2)));
    assert_eq!(client.query("drop table t"), Ok(Some(0)));
    assert_eq!(client.execute(statement), Err(1146));
    // A statement ends after its answer went out: surely when the next one is answered.
    assert_eq!(client.query("do 0"), Ok(Some(0)));
    client.connection
}

fn assert_outcomes(server: &Server, connection: u64, statements: &[Query]) {
    let mine: Vec<Query> =
        statements.iter().filter(|query| query.connection == Some(connection)).cloned().collect();
    for query in &mine {
        assert_eq!(query.system, server.system());
        assert_eq!(query.user.as_deref(), Some("root"), "{query:?}");
        assert_eq!((query.uid, query.client.as_ref()), (65534, None));
        assert_eq!(query.outcome == "failed", query.error.is_some(), "{query:?}");
    }
    let check = |op: &str, text: &str, schema: Option<&str>, error: Option<&str>, rows| {
        let query = only(&mine, op, text);
        let seen = (query.schema.as_deref(), query.error.as_deref(), query.rows);
        assert_eq!(seen, (schema, error, rows), "{query:?}");
    };
    let shop = Some("shop");
    check("query", "use shop", None, None, Some(0));
    check("query", "create table t (i int)", shop, None, Some(0));
    check("query", "insert into t values (1),(2),(3)", shop, None, Some(3));
    check("query", "select * from t", shop, None, None);
    check("query", "select * from gone", shop, Some("1146"), None);
    check("query", "selec", shop, Some("1064"), None);
    check("query", "select 1; delete from t where i = 2", shop, None, Some(1));
    check("query", "select 2; select * from gone; select 3", shop, Some("1146"), None);
    check("prepare", "select * from nowhere", shop, Some("1146"), None);
    check("prepare", "insert into t select i from t", shop, None, None);
    let executed: Vec<_> = mine
        .iter()
        .filter(|query| query.op.as_deref() == Some("execute"))
        .map(|query| (query.query.as_deref(), query.error.as_deref()))
        .collect();
    assert_eq!(executed.len(), 2);
    assert_eq!(executed[0], (Some("insert into t select i from t"), None));
    assert_eq!(executed[1].1, Some("1146"));
}

#[test]
fn mariadb_10_5() {
    e2e::needs_bpf!();
    assert_captured("bullseye", 200);
}

#[test]
fn mariadb_10_11() {
    e2e::needs_bpf!();
    assert_captured("bookworm", 20);
}

#[test]
fn mariadb_11_8() {
    e2e::needs_bpf!();
    assert_captured("trixie", 20);
}

#[test]
fn mysql_9_7() {
    e2e::needs_bpf!();
    assert_captured("sid", 20);
}
