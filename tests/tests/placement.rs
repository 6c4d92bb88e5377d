//! The planned probe sites see exactly the calls that moved plaintext, whatever path the library took,
//! and so do the plain ones.

use e2e::calls::{self, Call, Calls, through_a_bio, with_libraries};
use e2e::certificate::Certificate;
use e2e::process::command;
use e2e::{Capture, Captured, Direction, Line, Scratch, digest, needs_bpf};
use std::collections::BTreeMap;
use std::process::Command;

/// A chunk holds at least so much of a call, if the call moved as much.
const UNDIVIDED: usize = 1024;

/// Runs `program` under a capture and compares call for call.
#[track_caller]
pub(crate) fn assert_calls(scratch: &Scratch, program: Command, placement: &str) {
    assert_calls_of("tls", scratch, program, placement);
}

/// The same for any module, with the planned sites and with the plain ones. `program` is the command
/// that runs it.
#[track_caller]
pub(crate) fn assert_every_call(module: &str, scratch: &Scratch, program: impl Fn() -> Command) {
    for placement in ["auto", "entry"] {
        assert_calls_of(module, scratch, program(), placement);
    }
}

#[track_caller]
fn assert_calls_of(module: &str, scratch: &Scratch, program: Command, placement: &str) {
    let calls = Calls::start(program);
    let pid = calls.pid();
    let pid_argument = pid.to_string();
    let arguments =
        ["--format", "json", "--no-parse", "--placement", placement, "--pid", &pid_argument];
    let capture = Capture::of(module, scratch, &arguments);
    let expected = calls.run();
    compare(&expected, &capture.stop(), pid);
}

/// A test for each version of a library, named after it, with the suite that has it: `$every_call` is
/// given what makes the command that runs a program with it.
macro_rules! every_call_of_suites {
    ($every_call:ident: $($test:ident = $suite:literal,)*) => {
        $(#[test]
        fn $test() {
            e2e::needs_bpf!();
            let suite = e2e::suite::Suite::named($suite);
            $every_call(&|program| suite.command(program));
        })*
    };
}

pub(crate) use every_call_of_suites;

#[track_caller]
fn compare(expected: &[Call], captured: &Captured, pid: u32) {
    let lines = captured.lines();
    assert!(lines.iter().all(|line| line.pid == pid), "--pid lets nothing else through");
    // Neither side has a name for a connection that the other knows: they are compared in order of
    // their first data.
    let moved = || expected.iter().filter(|call| !call.bytes.is_empty());
    let expected_order = in_order(moved().map(|call| call.connection.clone()));
    let captured_order = in_order(lines.iter().map(|line| line.conn));
    for (connection, conn) in expected_order.iter().zip(&captured_order) {
        for dir in [Direction::Send, Direction::Recv] {
            let calls: Vec<&Call> =
                moved().filter(|call| call.connection == *connection && call.dir == dir).collect();
            let chunks: Vec<&Line> =
                lines.iter().filter(|line| line.conn == *conn && line.dir == dir).collect();
            assert_same(&calls, &chunks, &format!("{connection} {dir:?}"));
        }
    }
    assert_eq!(captured_order.len(), expected_order.len(), "connections");
    for (name, dir) in [("send", Direction::Send), ("recv", Direction::Recv)] {
        let calls = moved().filter(|call| call.dir == dir);
        let (count, bytes) =
            calls.fold((0, 0), |(count, bytes), call| (count + 1, bytes + call.bytes.len()));
        assert_eq!(captured.number(&format!("/bytes/{name}")), bytes as u64, "bytes of {name}");
        assert_eq!(captured.number(&format!("/calls/{name}")), count, "calls of {name}");
    }
}

/// Each value once, in the order of its first occurrence.
fn in_order<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeMap::new();
    for value in values {
        let next = seen.len();
        seen.entry(value).or_insert(next);
    }
    let mut order: Vec<_> = seen.into_iter().collect();
    order.sort_by_key(|(_, at)| *at);
    order.into_iter().map(|(value, _)| value).collect()
}

/// Each call is a whole number of chunks: one, unless it is large.
#[track_caller]
fn assert_same(calls: &[&Call], chunks: &[&Line], what: &str) {
    let mut chunks = chunks.iter();
    for call in calls {
        let mut bytes = Vec::new();
        while bytes.len() < call.bytes.len() {
            let chunk = chunks
                .next()
                .unwrap_or_else(|| panic!("{what}: {} is missing or short", call.function));
            assert_eq!(chunk.kind, "data");
            bytes.extend(chunk.data().unwrap());
            assert!(
                bytes.len() >= call.bytes.len().min(UNDIVIDED),
                "{what}: {} is in pieces",
                call.function
            );
        }
        assert_eq!(digest(&bytes), digest(&call.bytes), "{what}: {}", call.function);
    }
    assert_eq!(chunks.len(), 0, "{what}: calls that moved nothing were captured");
}

fn distribution(placement: &str) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let program = Command::new(calls::compile(&scratch));
    let program = with_libraries(program, "libcrypto.so.3", "libssl.so.3", &certificate);
    assert_calls(&scratch, program, placement);
}

#[test]
fn planned_sites_see_every_call() {
    needs_bpf!();
    distribution("auto");
}

#[test]
fn planned_sites_see_every_call_through_a_bio() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let program = Command::new(calls::compile(&scratch));
    let program = with_libraries(program, "libcrypto.so.3", "libssl.so.3", &certificate);
    assert_calls(&scratch, through_a_bio(program), "auto");
}

#[test]
fn plain_sites_see_every_call() {
    needs_bpf!();
    distribution("entry");
}

fn linked_in(placement: &str, stripped: bool) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let program = calls::compile_static(&scratch);
    if stripped {
        // As a distribution ships it: the names of exported functions stay.
        let _ = e2e::process::run(command("strip").arg("--strip-debug").arg(&program)).success();
    }
    let program = with_libraries(Command::new(program), "-", "-", &certificate);
    assert_calls(&scratch, program, placement);
}

#[test]
fn planned_sites_see_every_call_of_a_linked_in_library() {
    needs_bpf!();
    linked_in("auto", false);
    linked_in("auto", true);
}

#[test]
fn plain_sites_see_every_call_of_a_linked_in_library() {
    needs_bpf!();
    linked_in("entry", false);
}
