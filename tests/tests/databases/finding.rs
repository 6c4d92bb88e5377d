//! Which servers are captured: running ones, those that start later, those that are named, and only
//! some of their processes.

use super::{capture, only, statements};
use e2e::capture::run as ecapture;
use e2e::database::postgres::{Cluster, Server};
use e2e::database::{mysql, statement};
use e2e::{Scratch, needs_bpf};
use serde_json::Value;

fn marked(text: &str) -> String {
    format!("select '{text} {}'", fastrand::u64(..))
}

#[test]
fn a_running_server_is_found_and_so_is_one_that_starts_later() {
    needs_bpf!();
    let (first, second) = (Scratch::new(), Scratch::new());
    let running = Server::start(&first, "trixie");
    let later = Cluster::new(&second, "bullseye");
    let mut capture = capture(&first, "postgres", &[]);
    let later = {
        let later = later.start();
        capture.stderr().wait_for("\"attached to\" the second server", |line| {
            line.contains("attached to") && line.contains("PostgreSQL 13")
        });
        later
    };
    let (one, two) = (marked("running"), marked("later"));
    running.connect().query(&one).unwrap();
    later.connect().query(&two).unwrap();
    let statements = statements(capture);
    assert!(only(&statements, "query", &one).server.ends_with("/postgres"));
    only(&statements, "query", &two);
}

#[test]
fn a_session_that_is_older_than_the_capture_is_shown() {
    needs_bpf!();
    let scratch = Scratch::new();
    let server = Server::start(&scratch, "trixie");
    let mut client = server.connect();
    let (prepared, first) = (marked("prepared"), marked("first"));
    client.prepare("old", &prepared).unwrap();
    let file = server.file();
    let capture = capture(&scratch, "postgres", &["--postgres", file.to_str().unwrap()]);
    client.query(&first).unwrap();
    client.execute("old").unwrap();
    let statements = statements(capture);
    only(&statements, "query", &first);
    only(&statements, "execute", &prepared);
}

#[test]
fn only_the_processes_that_are_asked_for_are_captured() {
    needs_bpf!();
    let scratch = Scratch::new();
    let server = Server::start(&scratch, "trixie");
    let (mut wanted, mut other) = (server.connect(), server.connect());
    let capture = capture(&scratch, "postgres", &["--pid", &wanted.backend.to_string()]);
    let (one, two) = (marked("wanted"), marked("other"));
    wanted.query(&one).unwrap();
    other.query(&two).unwrap();
    let statements = statements(capture);
    only(&statements, "query", &one);
    assert!(statements.iter().all(|query| u64::from(query.pid) == wanted.backend));
}

#[test]
fn a_statement_that_has_not_ended_is_shown_as_unfinished() {
    needs_bpf!();
    let scratch = Scratch::new();
    let server = Server::start(&scratch, "trixie");
    let mut holder = server.connect();
    holder.query("create table held (i int)").unwrap();
    holder.query("begin; lock table held").unwrap();
    let file = server.file();
    let capture = capture(&scratch, "postgres", &["--postgres", file.to_str().unwrap()]);
    let waits = "select 'waits' from held";
    let mut waiter = server.connect();
    waiter.send(waits);
    // The lock is there once the statement has begun.
    while holder.ask("select count(*) from pg_locks where not granted") != "1" {}
    let captured = capture.stop();
    let statements = statement::read(&captured.stdout);
    let query = only(&statements, "query", waits);
    assert_eq!((query.outcome.as_str(), query.duration_ns), ("unfinished", None));
}

#[test]
fn the_function_of_a_server_can_be_named_or_its_place_given() {
    needs_bpf!();
    let scratch = Scratch::new();
    let server = mysql::Server::start(&scratch, "trixie");
    let file = server.file();
    let file = file.to_str().unwrap();
    let found = ecapture(["inspect", "--format", "json", file]).success();
    let plan: Value = serde_json::from_slice(&found.stdout).unwrap();
    let function = &plan["probes"][0];
    let name = function["name"].as_str().unwrap();
    assert!(name.contains("dispatch_command"), "{plan}");
    let offset = function["entry"]["file_offset"].to_string();
    for arguments in [["--funcname", name], ["--offset", &offset]] {
        let capture = capture(&scratch, "mysqld", &[&["--mysqld", file], &arguments[..]].concat());
        let text = marked(arguments[0]);
        server.connect().query(&text).unwrap();
        only(&statements(capture), "query", &text);
    }
}

#[test]
fn a_file_that_is_no_server_is_refused_with_a_reason() {
    needs_bpf!();
    for (module, flag) in [("mysqld", "--mysqld"), ("postgres", "--postgres")] {
        let refused = ecapture([module, flag, "/bin/sh"]);
        assert!(!refused.status.success());
        assert!(refused.stderr.contains("/bin/sh"), "{}", refused.stderr);
        assert!(refused.stderr.contains("defines no"), "{}", refused.stderr);
    }
}
