//! What people type into shells: on real terminals, into the shells of every suite.

mod around;
mod sessions;

use e2e::capture::Captured;
use e2e::shells::{Typed, commands};
use e2e::terminal::Terminal;

/// What is to be seen of a command: its line, its status, and how it ended.
type Expected = (String, Option<i32>, &'static str);

fn returned(line: &str, status: i32) -> Expected {
    (line.to_owned(), Some(status), "returned")
}

/// Lines too long to read in a failure message are shown by their beginning and length.
fn short(line: &str) -> String {
    match line.char_indices().nth(60) {
        Some((at, _)) => format!("{}… of {} bytes", &line[..at], line.len()),
        None => line.to_owned(),
    }
}

/// Fails unless exactly these commands were seen in the shell on `terminal`, whole and in order.
fn assert_typed(captured: &Captured, terminal: &Terminal, expected: &[Expected]) -> Vec<Typed> {
    let typed = commands(&captured.stdout, terminal.pid());
    let shown = |line: &str, status, ended: &str| format!("{} {status:?} {ended}", short(line));
    let seen: Vec<String> = typed
        .iter()
        .map(|typed| shown(typed.line.as_deref().unwrap(), typed.status, &typed.ended))
        .collect();
    let wanted: Vec<String> =
        expected.iter().map(|(line, status, ended)| shown(line, *status, ended)).collect();
    assert_eq!(seen, wanted, "{}", captured.stderr.join("\n"));
    for (typed, (line, ..)) in typed.iter().zip(expected) {
        assert!(typed.line.as_ref() == Some(line), "{} is not what was typed", short(line));
        assert_eq!((typed.len, typed.incomplete.as_ref()), (line.len(), None), "{}", short(line));
    }
    typed
}
