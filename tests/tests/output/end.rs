//! How a capture ends, and what it says then.

use super::request;
use e2e::capture::ecapture;
use e2e::nginx::Nginx;
use e2e::process::Process;
use e2e::{Capture, Direction, Scratch, needs_bpf};
use rustix::process::Signal;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn the_last_line_on_standard_error_is_the_balance() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    for signal in [Signal::INT, Signal::TERM] {
        let mut capture = Capture::raw(&scratch, &[]);
        request(&nginx, "small");
        capture.process().signal(signal);
        let captured = capture.finish();
        captured.assert_whole();
        let last = captured.stderr.last().expect("a last line");
        assert!(last.contains("lost"), "{signal:?}: {last}");
        for key in ["/bytes/send", "/bytes/recv"] {
            assert!(captured.number(key) > 0, "{key}");
        }
    }
    nginx.stop();
}

#[test]
fn the_summary_adds_up() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    // A large call of anybody else would have more lines than one.
    let capture = Capture::raw(&scratch, &["--pid", &nginx.workers[0].to_string()]);
    request(&nginx, "small?[1-100]");
    nginx.stop();
    let captured = capture.stop();
    let lines = captured.lines();
    for (dir, key) in [(Direction::Send, "send"), (Direction::Recv, "recv")] {
        let of_dir = || lines.iter().filter(|line| line.dir == dir);
        let bytes: u64 = of_dir().map(|line| line.len.unwrap()).sum();
        assert_eq!(captured.number(&format!("/bytes/{key}")), bytes, "{key}");
        assert_eq!(captured.number(&format!("/calls/{key}")), of_dir().count() as u64, "{key}");
    }
    let mut connections: Vec<u64> = lines.iter().map(|line| line.conn).collect();
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(captured.number("/connections"), connections.len() as u64);
    assert!(captured.number("/max_rss_kib") > 1000);
    assert!(captured.summary["cpu_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
}

#[test]
fn count_ends_after_so_many_records() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &["--count", "5"]);
    request(&nginx, "small?[1-100]");
    let captured = capture.finish();
    nginx.stop();
    assert!(captured.status.success(), "{:?}", captured.stderr);
    assert_eq!(captured.text().lines().count(), 5);
}

#[test]
fn duration_ends_by_itself() {
    needs_bpf!();
    let scratch = Scratch::new();
    let capture = Capture::raw(&scratch, &["--duration", "300ms"]);
    capture.finish().assert_whole();
}

#[test]
fn quiet_says_nothing_if_all_is_well() {
    needs_bpf!();
    // No line tells when it is ready, and none is needed: nothing is to be captured.
    let outcome = e2e::capture::run(["tls", "--quiet", "--duration", "300ms"]).success();
    assert_eq!(outcome.stderr, "");
}

#[test]
fn strict_is_content_if_nothing_is_lost() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &["--strict"]);
    request(&nginx, "small?[1-100]");
    nginx.stop();
    capture.stop().assert_whole();
}

#[test]
fn a_reader_that_has_had_enough_ends_it_quietly() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let mut command = ecapture(["tls", "--format", "json", "--no-parse"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(&mut command);
    let mut stdout = BufReader::new(process.stdout());
    let mut stderr = process.stderr_lines();
    stderr.wait_for("\"ecapture: ready\"", |line| line.contains("ecapture: ready"));
    request(&nginx, "small");
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert!(first.starts_with('{') && first.ends_with("}\n"), "{first}");
    // As `head -n 1` does.
    drop(stdout);
    request(&nginx, "small?[1-100]");
    let status = process.wait();
    nginx.stop();
    let stderr = stderr.finish().join("\n").to_lowercase();
    assert!(status.success(), "{status}: {stderr}");
    for word in ["panic", "broken pipe", "error"] {
        assert!(!stderr.contains(word), "{stderr}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let mut command = ecapture(["tls", "--format", "json", "--no-parse"]);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let mut process = Process::start(&mut command);
    let mut stderr = process.stderr_lines();
    stderr.wait_for("\"ecapture: ready\"", |line| line.contains("ecapture: ready"));
    request(&nginx, "small?[1-100]");
    let status = process.wait();
    nginx.stop();
    let stderr = stderr.finish().join("\n");
    assert!(!status.success(), "{stderr}");
    assert!(stderr.contains("No space left"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}
