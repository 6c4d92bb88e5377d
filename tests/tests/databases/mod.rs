//! Statements of database servers: each suite's servers, whole texts, many connections at once,
//! outcomes, and how servers are found.

mod finding;
mod mysql;
mod postgres;

use e2e::database::statement::{self, Query};
use e2e::{Capture, Captured, Scratch};

/// Clients at once.
const CLIENTS: usize = 50;

/// Starts `ecapture MODULE --format json`, and waits until it is ready.
fn capture(scratch: &Scratch, module: &str, arguments: &[&str]) -> Capture {
    // Rings that hold all of it: what is lost on a busy host is not what is tested here.
    let format = ["--format", "json", "--mapsize", "32768"];
    Capture::of(module, scratch, &[&format, arguments].concat())
}

/// Ends the capture; every statement that it saw. Fails if anything was lost.
fn statements(capture: Capture) -> Vec<Query> {
    let captured = capture.stop();
    captured.assert_whole();
    assert_balance(&captured);
    let statements = statement::read(&captured.stdout);
    assert!(statements.iter().all(|query| query.kind == "query"));
    statements
}

/// What was begun was written.
fn assert_balance(captured: &Captured) {
    assert_eq!(captured.number("/queries"), captured.number("/records"), "{}", captured.summary);
}

/// The statement with this text and operation; there is to be one.
fn only<'q>(statements: &'q [Query], op: &str, text: &str) -> &'q Query {
    let found: Vec<&Query> = statements
        .iter()
        .filter(|query| query.op.as_deref() == Some(op) && query.query.as_deref() == Some(text))
        .collect();
    assert_eq!(found.len(), 1, "{op} {text}: {found:#?} of {statements:#?}");
    found[0]
}
