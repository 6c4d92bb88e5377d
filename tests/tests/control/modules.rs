//! Changes under load of keys, packets, and TLS libraries other than OpenSSL: everything is captured once.

use super::Served;
use e2e::calls::{self, Call, Calls};
use e2e::certificate::Certificate;
use e2e::curl::{Http, curl};
use e2e::go::{Build, Client, Peer, Server, Transfers, certificate, transfer};
use e2e::line::Direction;
use e2e::nginx::Nginx;
use e2e::peer::libssl;
use e2e::process::run;
use e2e::stream::streams;
use e2e::suite::Suite;
use e2e::{Captured, Payload, Scratch, cgroup, keylog, line, needs_bpf};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Makes the changes of `cycle`, again and again, while `work` goes on; how often probes were replaced.
///
/// The work is done as often as it takes for so many changes.
pub(super) fn change_while(
    running: &Served,
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
            let answer = running.configure(&change.to_string());
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
    let running = Served::of("gotls", &scratch, &arguments);
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
    let replaced = change_while(&running, &cycle, 8, || {
        for (name, count) in Client::start(&peer, &server, None, &flags).run() {
            *transfers.entry(name).or_default() += count;
        }
    });
    assert_eq!(replaced, 8);
    server.stop();
    let captured = running.capture.stop();
    assert!(captured.status.success(), "{:?}", captured.stderr);
    // Clients are unwanted now and then, and what they are about at that moment counts as lost.
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

/// How often each number was found behind `marker`.
fn numbers(file: &Path, marker: &[u8]) -> BTreeMap<u32, usize> {
    let content = fs::read(file).unwrap();
    let mut found = BTreeMap::new();
    for bytes in content.windows(marker.len() + 4) {
        if let Some(number) = bytes.strip_prefix(marker) {
            *found.entry(u32::from_le_bytes(number.try_into().unwrap())).or_default() += 1;
        }
    }
    found
}

#[test]
fn changes_of_the_packet_filter_miss_no_packet_that_both_take() {
    needs_bpf!();
    let scratch = Scratch::new();
    // It takes packets, so that nobody is told that there is no such port; what it does with them is nothing.
    let receiver = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let to = receiver.local_addr().unwrap();
    let port = to.port();
    let file = scratch.join("packets.pcapng");
    let first = format!("udp port {port}");
    let path = file.to_str().unwrap();
    let arguments = ["-m", "pcapng", "-i", "lo", "-w", path, "--mapsize", "8192", &first];
    let running = Served::of("tls", &scratch, &arguments);
    assert_eq!(running.config()["pcap_filter"], first);

    let sender = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let marker = Payload::marker();
    let send = |marker: &str, number: u32| {
        let packet = [marker.as_bytes(), &number.to_le_bytes()].concat();
        sender.send_to(&packet, to).unwrap();
    };
    let cycle = [
        json!({ "pcapfilter": format!("port {port} and udp") }),
        json!({ "PcapFilter": format!("udp dst port {port} or tcp port 1") }),
        json!({ "pcap_filter": first }),
    ];
    let mut count = 0;
    let replaced = change_while(&running, &cycle, 60, || {
        for _ in 0..100 {
            send(&marker, count);
            count += 1;
        }
        // As fast as these come, no ring would hold them.
        thread::sleep(Duration::from_millis(1));
    });
    assert_eq!(replaced, 0, "no probe is touched");

    // What is wrong changes nothing.
    for (change, code) in [
        (json!({ "pcapfilter": "no such word" }), 5),
        (json!({ "pcapfilter": 5 }), 4),
        (json!({ "pcapfilter": "udp", "pid": std::process::id() }), 5),
        (json!({ "pcapfilter": "udp", "uid": 65534 }), 5),
    ] {
        let answer = running.configure(&change.to_string());
        assert_eq!(answer.code(), code, "{change}: {answer:?}");
        assert_eq!(running.config()["pcap_filter"], first);
    }
    let (still, not) = (Payload::marker(), Payload::marker());
    send(&still, 0);
    let other = json!({ "pcapfilter": format!("udp port {}", port ^ 1) });
    assert_eq!(running.configure(&other.to_string()).code(), 0);
    send(&not, 0);
    running.capture.stop().assert_whole();
    let found = numbers(&file, marker.as_bytes());
    assert_eq!(found, (0..count).map(|number| (number, 1)).collect());
    assert_eq!(numbers(&file, still.as_bytes()).len(), 1);
    assert_eq!(numbers(&file, not.as_bytes()).len(), 0);
}

/// What a program did that was run again and again while a capture changed.
fn assert_every_call(captured: &Captured, runs: &[(u32, Vec<Call>)]) {
    assert!(captured.status.success(), "{:?}", captured.stderr);
    let lines = line::read(&captured.stdout);
    assert!(!runs.is_empty());
    for (pid, calls) in runs {
        let mut expected: BTreeMap<(&str, bool), Vec<u8>> = BTreeMap::new();
        for call in calls.iter().filter(|call| !call.bytes.is_empty()) {
            let key = (call.connection.as_str(), call.dir == Direction::Send);
            expected.entry(key).or_default().extend_from_slice(&call.bytes);
        }
        // `streams` looks at every offset: no hole, and nothing twice.
        let mut seen: Vec<String> = streams(&lines, &[*pid])
            .iter()
            .map(|stream| transfer(stream.dir == Direction::Send, &stream.bytes))
            .collect();
        let mut wanted: Vec<String> =
            expected.iter().map(|((_, sent), bytes)| transfer(*sent, bytes)).collect();
        seen.sort_unstable();
        wanted.sort_unstable();
        let first = seen.iter().zip(&wanted).find(|(seen, wanted)| seen != wanted);
        assert_eq!((seen.len(), first), (wanted.len(), None), "process {pid}");
    }
}

/// The library of a program that makes every call that there is, over and over; every change leaves it captured.
fn assert_calls_miss_nothing(
    module: &'static str,
    (key, library): (&str, &Path),
    scratch: &Scratch,
    program: impl Fn() -> Command + Send + Sync,
) {
    let arguments = ["--format", "json", "--no-parse", "--mapsize", "8192"];
    let running = Served::of(module, scratch, &arguments);
    // It has the library mapped all the time: what searches for libraries finds this one.
    let _holder = Calls::start(program());
    let group = cgroup::root();
    let cycle = [
        json!({ key: library }),
        json!({ "cgroup_path": group }),
        json!({ key: "" }),
        json!({ "cgroup_path": "" }),
    ];
    let mut runs = Vec::new();
    let replaced = change_while(&running, &cycle, 8, || {
        let calls = Calls::start(program());
        runs.push((calls.pid(), calls.run()));
    });
    assert_eq!(replaced, 4);
    assert_every_call(&running.capture.stop(), &runs);
}

#[test]
fn changes_miss_nothing_of_gnutls() {
    needs_bpf!();
    let scratch = Scratch::new();
    let Certificate { certificate, key } = Certificate::new(&scratch);
    let file = scratch.write("file", Payload::binary(20_000));
    let program = calls::compile_for_gnutls(&scratch);
    let suite = Suite::named("trixie-gnutls");
    let library = suite.library("libgnutls.so.30");
    assert_calls_miss_nothing("gnutls", ("gnutls", &library), &scratch, || {
        let mut command = suite.command(&program);
        command.arg(&certificate).arg(&key).arg(&file);
        command
    });
}

#[test]
fn changes_miss_nothing_of_nss() {
    needs_bpf!();
    let scratch = Scratch::new();
    let (certificate, key) = crate::nspr::der(&scratch);
    let file = scratch.write("file", Payload::binary(20_000));
    let program = calls::compile_for_nss(&scratch);
    let suite = Suite::named("trixie-nss");
    let library = suite.library("libssl3.so");
    assert_calls_miss_nothing("nspr", ("nspr_path", &library), &scratch, || {
        let mut command = suite.command(&program);
        command.arg(&certificate).arg(&key).arg(&file);
        command
    });
}

#[test]
fn changes_miss_no_key() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let (log, own) = (scratch.join("captured.keys"), scratch.join("own.keys"));
    let arguments = ["-m", "keylog", "-k", log.to_str().unwrap()];
    let running = Served::of("tls", &scratch, &arguments);
    let worker = nginx.workers[0];
    // Every one leaves the server captured, which has the same secrets as its clients.
    let cycle = [
        json!({ "pid": worker }),
        json!({ "cgroup_path": cgroup::root() }),
        json!({ "pid": [worker, std::process::id()], "openssl": libssl() }),
        json!({ "cgroup_path": "", "openssl": "" }),
        json!({ "pid": 0 }),
    ];
    let (certificate, url) = (&nginx.certificate.certificate, nginx.url("small"));
    let replaced = change_while(&running, &cycle, 10, || {
        let mut client = curl(Http::V1, certificate);
        client.env("SSLKEYLOGFILE", &own).args(["--output", "/dev/null"]);
        let _ = run(client.arg(&url)).success();
    });
    assert_eq!(replaced, 8);
    nginx.stop();
    let captured = running.capture.stop();
    let keys = keylog::finished(&log, &captured);
    let own = keylog::own(&own);
    let missing: Vec<_> = own.difference(&keys).collect();
    assert!(!own.is_empty() && missing.is_empty(), "{} of {}", missing.len(), own.len());
}
