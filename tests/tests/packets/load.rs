//! More than can be written: what is missing is counted.

use super::readers::Blocks;
use super::scene::{Scene, command};
use e2e::load::Load;
use e2e::process::Process;
use rustix::process::Signal;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn packets_written_and_packets_lost_are_those_that_were_seen() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    std::fs::File::create(scene.nginx.files.join("large")).unwrap().set_len(1 << 20).unwrap();
    // The whole of loopback, into a reader that does not keep up.
    let arguments = ["--strict", "--duration", "1m"];
    let mut command = command(&scene.scratch, Path::new("-"), "", &arguments);
    let mut capture = Process::start(command.stdout(Stdio::piped()));
    let mut stderr = capture.stderr_lines();
    let stdout = capture.stdout();
    let reader = std::thread::spawn(move || Blocks::read_from(stdout));
    stderr.wait_for("\"ready\"", |line| line.contains("ecapture: ready"));
    let report = Load::start(&scene.nginx, "large", 4, Duration::from_secs(2)).finish();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    capture.signal(Signal::INT);
    let status = capture.wait();
    let blocks = reader.join().unwrap();

    let summary = std::fs::read(scene.scratch.join("summary")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    let packets = |name: &str| summary["packets"][name].as_u64().unwrap();
    assert_eq!(packets("seen"), packets("written") + packets("lost"), "{summary}");
    assert_eq!(packets("written"), blocks.packets as u64);
    assert_eq!(blocks.received, [Some(packets("seen"))]);
    assert_eq!(blocks.dropped, [Some(packets("lost"))]);
    // All that wrk got went through.
    assert!(packets("seen_bytes") > report.requests << 20, "{summary}");
    let expected = if packets("lost") == 0 { 0 } else { 3 };
    assert_eq!(status.code(), Some(expected), "{}", stderr.finish().join("\n"));
}
