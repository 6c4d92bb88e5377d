//! Under as much load as the machine gives, nothing is lost, and the balance adds up.

use e2e::line::{self, Direction, Line};
use e2e::load::Load;
use e2e::nginx::Nginx;
use e2e::stream::{self, Stream, streams};
use e2e::{Capture, Captured, Payload, Scratch, digest, needs_bpf};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

/// Every stream that was read is the beginning of one that was written on the same connection. Only
/// the beginning: at the end of its time wrk closes its connections with requests under way.
#[track_caller]
fn assert_read_is_written(readers: &[Stream], writers: &[Stream]) {
    let writers = stream::of(writers, Direction::Send);
    for reader in stream::of(readers, Direction::Recv) {
        assert!(reader.local.is_some() && reader.remote.is_some(), "the connection's addresses");
        let writer = writers
            .iter()
            .find(|writer| writer.local == reader.remote && writer.remote == reader.local)
            .unwrap_or_else(|| panic!("nobody writes what {:?} reads", reader.local));
        let len = reader.bytes.len();
        assert!(writer.bytes.len() >= len, "read {len} of {} bytes", writer.bytes.len());
        assert_eq!(digest(&reader.bytes), digest(&writer.bytes[..len]));
    }
}

fn occurrences(streams: &[Stream], dir: Direction, what: &str) -> u64 {
    let count = |stream: &&Stream| {
        stream.bytes.windows(what.len()).filter(|window| *window == what.as_bytes()).count() as u64
    };
    stream::of(streams, dir).iter().map(count).sum()
}

fn assert_nothing_lost(name: &str, connections: u32, seconds: u64) {
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &[]);
    let load = Load::start(&nginx, name, connections, Duration::from_secs(seconds));
    let report = load.finish();
    let workers = nginx.workers.clone();
    nginx.stop();
    let captured = capture.stop();
    let lines = captured.lines();
    assert_eq!(report.failures, Vec::<String>::new());

    // What the summary counted is what was written out, for the whole host.
    for (dir, key) in [(Direction::Send, "send"), (Direction::Recv, "recv")] {
        let written: u64 =
            lines.iter().filter(|line| line.dir == dir).map(|line| line.len.unwrap()).sum();
        assert_eq!(captured.number(&format!("/bytes/{key}")), written, "bytes of {key}");
    }

    let client = streams(&lines, &[report.pid]);
    let server = streams(&lines, &workers);
    assert_read_is_written(&client, &server);
    assert_read_is_written(&server, &client);

    // wrk counts whole responses; those under way at its end were read in part, or not counted.
    let open = u64::from(connections);
    let requests = occurrences(&client, Direction::Send, "GET /");
    let responses = occurrences(&client, Direction::Recv, "HTTP/1.1 200 OK\r\n");
    let counted = report.requests..=report.requests + 2 * open;
    assert!(counted.contains(&requests), "{requests} requests, wrk says {}", report.requests);
    assert!(counted.contains(&responses), "{responses} responses, wrk says {}", report.requests);
}

#[test]
fn many_small_responses() {
    needs_bpf!();
    assert_nothing_lost("small", 16, 10);
}

/// Bytes written out and bytes said to be missing, by direction. Fails if they do not follow upon
/// one another on each connection.
fn accounted(lines: &[Line], dir: Direction) -> (u64, u64) {
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut written, mut missing) = (0, 0);
    for line in lines.iter().filter(|line| line.dir == dir) {
        let len = line.len.unwrap();
        let next = next.entry(line.conn).or_default();
        assert_eq!(line.offset, Some(*next), "{}: {dir:?} of {}", line.kind, line.conn);
        *next += len;
        match line.kind.as_str() {
            "data" => written += len,
            "hole" => missing += len,
            other => panic!("a line of kind {other} with --no-parse"),
        }
    }
    (written, missing)
}

/// Runs a load under a capture with these flags that may lose something, and requires that it knows
/// exactly what. `stalled`: the capture does not get to run while there is load.
fn assert_balanced(name: &str, connections: u32, arguments: &[&str], stalled: bool) -> Captured {
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    nginx.serve("mib", &Payload::text(1 << 20));
    let mut capture = Capture::raw(&scratch, arguments);
    if stalled {
        capture.process().signal(Signal::STOP);
    }
    // A second of large responses is a gigabyte.
    let report = Load::start(&nginx, name, connections, Duration::from_secs(1)).finish();
    if stalled {
        capture.process().signal(Signal::CONT);
    }
    nginx.stop();
    let captured = capture.stop();
    assert_eq!(report.failures, Vec::<String>::new());
    let lines = line::read(&captured.stdout);
    let (mut all_seen, mut all_written) = (0, 0);
    for (dir, key) in [(Direction::Send, "send"), (Direction::Recv, "recv")] {
        let (written, missing) = accounted(&lines, dir);
        let seen = captured.number(&format!("/bytes/{key}"));
        // A hole shows when something comes after it: not at the end.
        assert!(written + missing <= seen, "{key}: {written} and {missing} of {seen}");
        all_seen += seen;
        all_written += written;
    }
    let lost = captured.number("/lost/bytes");
    assert_eq!(all_written + lost, all_seen, "{}", captured.summary["lost"]);
    captured
}

#[test]
fn large_responses_are_all_accounted_for() {
    needs_bpf!();
    let captured = assert_balanced("mib", 4, &[], false);
    assert!(captured.status.success());
}

#[test]
fn what_does_not_fit_into_the_buffers_is_counted() {
    needs_bpf!();
    // A buffer that nobody empties, so that something must be lost.
    let captured = assert_balanced("mib", 16, &["--mapsize", "16", "--strict"], true);
    assert!(captured.number("/lost/bytes") > 0);
    assert!(captured.number("/lost/events") > 0);
    assert_eq!(captured.status.code(), Some(3), "--strict: {:?}", captured.stderr);
}
