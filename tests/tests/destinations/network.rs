//! Network destinations that are there all the time.

use super::{Place, Reference, lines};
use e2e::nginx::Nginx;
use e2e::process::{command, run};
use e2e::{Capture, Scratch, needs_bpf};
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn a_hundred_thousand_events_arrive_everywhere_once_and_in_order() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let places = ["tcp", "tls", "unix", "ws", "wss"].map(|kind| Place::new(&scratch, &nginx, kind));
    let binary = Place::new(&scratch, &nginx, "wss");
    let _receivers: Vec<_> = places.iter().chain([&binary]).map(Place::receive).collect();
    let mut addresses: Vec<String> =
        places.iter().map(|place| place.address("format=json&queue=2G")).collect();
    addresses.push(binary.address("format=protobuf&queue=2G"));
    let arguments: Vec<&str> =
        addresses.iter().flat_map(|address| ["--eventaddr", address]).collect();
    let reference = Reference::start(&scratch, nginx, &arguments);
    reference.events(100_000);
    for place in &places {
        reference.wait_for(place);
    }
    let (captured, output) = reference.stop();
    captured.assert_whole();
    let events = lines(&output);
    assert!(events.len() >= 100_000, "{}", events.len());
    for place in &places {
        assert!(place.received() == output, "{}: {}", place.kind, captured.summary["destinations"]);
    }
    for destination in captured.summary["destinations"].as_array().unwrap() {
        assert_eq!(destination["delivered"], events.len() as u64, "{destination}");
        assert_eq!((&destination["lost"], &destination["resent"]), (&0.into(), &0.into()));
    }
    assert_same_events(&decoded("four", &binary.file), &events);
    // Standard output is not a destination then.
    assert_eq!(fs::read(&captured.stdout).unwrap(), b"");
}

/// What a reader makes of protobuf that shares nothing with the writer.
fn decoded(framing: &str, file: &Path) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/destinations/decode.py");
    let outcome = run(command("python3").arg(script).arg(framing).arg(file)).success();
    lines(&outcome.stdout).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_same_events(messages: &[Value], lines: &[&str]) {
    assert_eq!(messages.len(), lines.len());
    for (at, (message, line)) in messages.iter().zip(lines).enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(message["sequence"], at as u64 + 1);
        for name in ["pid", "tid", "uid", "comm", "conn", "dir", "offset"] {
            assert_eq!(message[name], line[name], "{name}");
        }
        assert_eq!(message["length"], line["len"]);
        let payload = data_encoding::BASE64.decode(message["payload"].as_str().unwrap().as_bytes());
        match line["data"].as_str() {
            Some(text) => assert_eq!(payload.unwrap(), text.as_bytes()),
            None => assert_eq!(message["payload"], line["data_b64"]),
        }
        let (from, to) =
            if line["dir"] == "send" { ("local", "remote") } else { ("remote", "local") };
        for (end, name) in [("src", from), ("dst", to)] {
            assert_eq!(message[end][0], line[name]["ip"], "{end}");
            assert_eq!(message[end][1], line[name]["port"], "{end}");
        }
    }
}

#[test]
fn a_certificate_that_is_not_trusted_gets_nothing() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let place = Place::new(&scratch, &nginx, "tls");
    let _receiver = place.receive();
    let address = format!("tls://127.0.0.1:{}?format=json", place.at);
    let reference = Reference::start(&scratch, nginx, &["--strict", "--eventaddr", &address]);
    reference.events(1);
    let (captured, output) = reference.stop();
    let events = lines(&output).len() as u64;
    assert_eq!(captured.status.code(), Some(3), "--strict: {:?}", captured.stderr);
    assert_eq!(captured.number("/lost/by/destination/events"), events);
    assert_eq!(place.received(), b"");
    assert!(
        captured.stderr.iter().any(|line| line.contains("certificate")),
        "{:?}",
        captured.stderr
    );
}

#[test]
fn events_go_where_the_log_goes_if_nothing_else_is_said() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let place = Place::new(&scratch, &nginx, "tcp");
    let _receiver = place.receive();
    let address = place.address("format=json");
    // It does not say on standard error that it is ready: what it sends tells.
    let (stdout, summary) = (scratch.join("out"), scratch.join("summary"));
    let pid = nginx.workers[0].to_string();
    let mut tool = e2e::capture::ecapture(["tls", "--no-parse", "--logaddr", &address]);
    tool.args(["--pid", &pid, "--count", "2", "--summary"]).arg(&summary);
    tool.stdin(std::process::Stdio::null()).stdout(fs::File::create_new(&stdout).unwrap());
    let mut process = e2e::Process::start(&mut tool);
    let is_ready = || place.lines().iter().any(|line| line.contains("ready: "));
    let start = std::time::Instant::now();
    while !is_ready() {
        assert!(start.elapsed() < e2e::process::LIMIT, "never ready: {:?}", place.lines());
        std::thread::yield_now();
    }
    super::super::output::request(&nginx, "small");
    assert!(process.wait().success());
    nginx.stop();
    let lines: Vec<Value> =
        place.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["kind"] == "data").count(), 2);
    assert!(lines.iter().any(|line| line["level"] == "info" && line["message"].is_string()));
    assert_eq!(fs::read(&stdout).unwrap(), b"");
}

#[test]
fn standard_output_is_used_too_if_it_is_asked_for() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let file = scratch.join("events.json").display().to_string();
    let pid = nginx.workers[0].to_string();
    let arguments = ["--eventaddr", &file, "--output", "-", "--pid", &pid];
    let capture = Capture::raw(&scratch, &arguments);
    super::super::output::request(&nginx, "small");
    nginx.stop();
    let captured = capture.stop();
    captured.assert_whole();
    let written = fs::read_to_string(&file).unwrap();
    assert!(!written.is_empty() && written == captured.text());
}
