//! Changes under load of modules other than `tls`: every call is captured once.

use super::Served;
use e2e::go::{Build, Client, Peer, Server, Transfers, certificate, transfer};
use e2e::line::Direction;
use e2e::stream::streams;
use e2e::{line, needs_bpf};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Makes the changes of `cycle`, again and again, while `work` goes on; how often probes were replaced.
///
/// The work is done as often as it takes for so many changes.
fn change_while(
    served: &Served,
    cycle: &[Value],
    changes: usize,
    mut work: impl FnMut() + Send,
) -> usize {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                work();
            }
        });
        let mut replaced = 0;
        for change in cycle.iter().cycle().take(changes) {
            assert!(!working.is_finished(), "the work failed");
            let answer = served.configure(&change.to_string());
            // Not before the work was told to end, which would go on for ever.
            done.store(answer.code() != 0, Ordering::Relaxed);
            assert_eq!(answer.code(), 0, "{change}: {answer:?}");
            replaced += usize::from(answer.json()["data"]["probes"] == "replaced");
        }
        done.store(true, Ordering::Relaxed);
        working.join().unwrap();
        replaced
    })
}

/// Go programs with arguments in registers and on the stack, whose received bytes are seen at one place or at
/// two.
#[track_caller]
fn assert_go_misses_nothing(version: &str) {
    let peer = Peer::build(version, Build::Plain);
    let (scratch, certificate) = certificate();
    let server = Server::start(&peer, &certificate, &["-raw"]);
    let arguments = ["--format", "json", "--no-parse", "--mapsize", "8192"];
    let served = Served::of("gotls", &scratch, &arguments);
    let pid = server.pid();
    // Every one leaves the server captured.
    let cycle = [
        json!({ "elf_path": peer.file }),
        json!({ "pid": [pid, std::process::id()] }),
        json!({ "pid": pid, "elf_path": "" }),
        json!({ "pid": 0 }),
    ];
    let mut transfers = Transfers::new();
    let flags = ["-raw", "-workers", "8", "-calls", "40", "-sizes", "1,20000,300,100000"];
    let replaced = change_while(&served, &cycle, 16, || {
        for (name, count) in Client::start(&peer, &server, None, &flags).run() {
            *transfers.entry(name).or_default() += count;
        }
    });
    assert_eq!(replaced, 16);
    server.stop();
    let captured = served.capture.stop();
    captured.assert_whole();
    let mut seen = Transfers::new();
    for stream in streams(&line::read(&captured.stdout), &[pid]) {
        *seen.entry(transfer(stream.dir == Direction::Recv, &stream.bytes)).or_default() += 1;
    }
    assert_eq!(seen, transfers);
}

#[test]
fn changes_miss_nothing_of_go_programs() {
    needs_bpf!();
    assert_go_misses_nothing("1.27");
}

#[test]
fn changes_miss_nothing_of_go_programs_with_arguments_on_the_stack() {
    needs_bpf!();
    assert_go_misses_nothing("1.15");
}
