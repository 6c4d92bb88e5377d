//! Destinations that go away, come back, or never listen.

use super::{Place, Reference, lines, missing};
use e2e::load::Load;
use e2e::nginx::Nginx;
use e2e::process::LIMIT;
use e2e::{Scratch, needs_bpf};
use rustix::process::Signal;
use std::collections::HashMap;
use std::time::{Duration, Instant};

fn size(place: &Place) -> u64 {
    place.file.metadata().map_or(0, |file| file.len())
}

fn wait_until_received(place: &Place, bytes: u64) {
    let start = Instant::now();
    while size(place) < bytes {
        assert!(start.elapsed() < LIMIT, "{}: nothing arrives", place.kind);
        std::thread::yield_now();
    }
}

/// Kills the receiver under load, several times; what is missing in the end is what was counted.
fn assert_missing_is_counted(kind: &'static str, queue: &str, away: u64) {
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let place = Place::new(&scratch, &nginx, kind);
    let mut receiver = place.receive();
    let address = place.address(&format!("format=json&queue={queue}"));
    let reference = Reference::start(&scratch, nginx, &["--eventaddr", &address]);
    let mut lives = Vec::new();
    for _ in 0..2 {
        let load = Load::start(&reference.nginx, "small", 8, Duration::from_secs(1));
        wait_until_received(&place, size(&place) + 500_000);
        receiver.process.signal(Signal::KILL);
        receiver.process.wait();
        lives.push(size(&place));
        load.finish();
        // Nobody listens meanwhile.
        reference.events(away);
        // What was cut off in the middle is no line of what comes next.
        append(&place, b"\n");
        receiver = place.receive();
        wait_until_received(&place, size(&place) + 1);
        reference.events(3_000);
    }
    let (captured, output) = reference.stop();
    drop(receiver);
    let arrived = place.lines();
    let missing = missing(&output, &arrived);
    let lost = captured.summary["lost"]["by"]["destination"]["events"].as_u64().unwrap_or(0);
    let report = &captured.summary["destinations"][0];
    assert_eq!(missing, lost, "{report}");
    assert_eq!(report["connections"], 3, "{report}");
    assert_in_order(&output, &place.received(), &lives);
    // Nothing is made up, and what came twice was sent twice.
    let mut count: HashMap<&str, u64> = HashMap::new();
    for line in &arrived {
        *count.entry(line).or_default() += 1;
    }
    let twice: u64 =
        lines(&output).iter().map(|line| count.get(line).map_or(0, |count| count - 1)).sum();
    assert!(twice <= report["resent"].as_u64().unwrap(), "{twice} twice: {report}");
    if away > 0 {
        assert!(lost > 0, "{report}");
    } else {
        assert_eq!(lost, 0, "{report}");
    }
}

/// What came by one connection to the receiver, which lived until it had so many bytes, is in the order of the
/// stream, and each line is there once.
fn assert_in_order(output: &[u8], received: &[u8], lives: &[u64]) {
    let place: HashMap<&str, usize> =
        lines(output).into_iter().enumerate().map(|(at, line)| (line, at)).collect();
    let mut ends: Vec<usize> = lives.iter().map(|end| usize::try_from(*end).unwrap()).collect();
    ends.push(received.len());
    let mut begin = 0;
    for end in ends {
        let text = String::from_utf8_lossy(&received[begin..end]);
        // The last line may be cut off.
        let places: Vec<usize> = text.lines().filter_map(|line| place.get(line).copied()).collect();
        assert!(places.len() > 500, "{} lines by one connection", places.len());
        assert!(
            places.is_sorted_by(|one, next| one < next),
            "by the connection that ended at {end}"
        );
        begin = end;
    }
}

fn append(place: &Place, bytes: &[u8]) {
    use std::io::Write as _;
    std::fs::File::options().append(true).open(&place.file).unwrap().write_all(bytes).unwrap();
}

#[test]
fn nothing_is_missing_if_a_tcp_receiver_is_killed_and_returns() {
    needs_bpf!();
    assert_missing_is_counted("tcp", "1G", 0);
}

#[test]
fn nothing_is_missing_if_a_tls_receiver_is_killed_and_returns() {
    needs_bpf!();
    assert_missing_is_counted("tls", "1G", 0);
}

#[test]
fn what_does_not_fit_into_the_queue_of_a_tls_receiver_meanwhile_is_counted() {
    needs_bpf!();
    assert_missing_is_counted("tls", "1M", 20_000);
}

#[test]
fn nothing_is_missing_if_a_websocket_receiver_is_killed_and_returns() {
    needs_bpf!();
    assert_missing_is_counted("ws", "1G", 0);
}

#[test]
fn nothing_is_missing_if_a_unix_receiver_is_killed_and_returns() {
    needs_bpf!();
    assert_missing_is_counted("unix", "1G", 0);
}

#[test]
fn what_does_not_fit_into_the_queue_meanwhile_is_counted() {
    needs_bpf!();
    assert_missing_is_counted("ws", "1M", 20_000);
}

#[test]
fn a_receiver_that_never_reads_slows_nothing_and_is_counted() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let place = Place::new(&scratch, &nginx, "deaf");
    let _receiver = place.receive();
    let address = place.address("format=json&queue=1M");
    let reference = Reference::start(&scratch, nginx, &["--strict", "--eventaddr", &address]);
    reference.events(50_000);
    let (captured, output) = reference.stop();
    let events = lines(&output).len() as u64;
    assert_eq!(captured.status.code(), Some(3), "--strict: {:?}", captured.stderr);
    let by = captured.summary["lost"]["by"].as_object().unwrap();
    assert_eq!(by.keys().collect::<Vec<_>>(), ["destination"], "the capture itself lost nothing");
    let report = &captured.summary["destinations"][0];
    let number = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(number("records"), events);
    assert_eq!(number("delivered") + number("lost"), events);
    assert!(number("dropped") > 0, "{report}");
}

#[test]
fn what_exceeds_memory_waits_on_disk() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let place = Place::new(&scratch, &nginx, "tcp");
    let spill = scratch.join("spill");
    let address =
        place.address(&format!("format=json&queue=16M&spill={}&spill_max=1G", spill.display()));
    let reference = Reference::start(&scratch, nginx, &["--eventaddr", &address]);
    reference.events(100_000);
    assert!(!spill.exists(), "it has no name once it is open");
    let _receiver = place.receive();
    wait_until_received(&place, 1);
    reference.events(20_000);
    reference.wait_for(&place);
    let (captured, output) = reference.stop();
    captured.assert_whole();
    assert!(place.received() == output, "{}", captured.summary["destinations"]);
    assert!(captured.number("/destinations/0/spilled") > 0);
}
