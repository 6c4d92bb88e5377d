//! Where packets are written, how much of each, and in how many files.

use super::readers::{Blocks, capinfos};
use super::scene::{PacketCapture, Scene, assert_balance, command};
use super::tshark::{OUT_OF_ORDER, assert_silent, follow, plaintexts};
use e2e::process::{self, Process, run};
use e2e::{Capture, Payload};
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

/// One exchange with the server; gives the response's body.
fn exchange(scene: &Scene, len: usize) -> Vec<u8> {
    let body = Payload::text(len);
    scene.nginx.serve("body", &body);
    assert_eq!(run(scene.curl().arg(scene.nginx.url("body"))).success().stdout, body);
    body
}

/// tshark that follows the first connection of a stream of packets.
fn reader() -> std::process::Command {
    let mut tshark = process::command("tshark");
    tshark
        .env("HOME", "/nonexistent")
        .args(["-n", "-q", "-z", "follow,tls,raw,0"])
        .args(OUT_OF_ORDER);
    tshark.stdout(Stdio::piped()).stderr(Stdio::piped());
    tshark
}

#[test]
fn standard_output_streams_into_tshark() {
    e2e::needs_bpf!();
    // What reads from a pipe as it grows, and what captures from one live.
    for input in [&["-r", "-"][..], &["-i", "-"]] {
        let scene = Scene::new();
        let mut command = command(&scene.scratch, Path::new("-"), &scene.filter(), &[]);
        let mut capture = Process::start(command.stdout(Stdio::piped()));
        let mut stderr = capture.stderr_lines();
        let mut reader = reader();
        reader.args(input).stdin(capture.stdout());
        let reader = Process::start(&mut reader);
        stderr.wait_for("\"ready\"", |line| line.contains("ecapture: ready"));
        let body = exchange(&scene, 100_000);
        capture.signal(Signal::INT);
        assert!(capture.wait().success(), "{}", stderr.finish().join("\n"));
        let read = reader.finish().success();
        if input == ["-r", "-"] {
            assert_silent(&read.stderr);
        }
        let plaintext = follow(std::str::from_utf8(&read.stdout).unwrap(), |_| scene.nginx.port);
        let got = plaintext[0].server.len();
        assert!(plaintext[0].server.ends_with(&body), "{input:?}: {got} bytes\n{}", read.stderr);
    }
}

#[test]
fn a_fifo_is_written_to() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let fifo = scene.scratch.join("fifo");
    let _ = run(process::command("mkfifo").arg(&fifo)).success();
    let reader = Process::start(reader().arg("-r").arg(&fifo).stdin(Stdio::null()));
    let mut command = command(&scene.scratch, &fifo, &scene.filter(), &[]);
    let (stdout, summary) = (scene.scratch.join("stdout"), scene.scratch.join("summary"));
    let capture = Capture::start(&mut command, stdout, summary);
    let body = exchange(&scene, 100_000);
    assert_balance(&capture.stop());
    let read = reader.finish().success();
    let plaintext = follow(std::str::from_utf8(&read.stdout).unwrap(), |_| scene.nginx.port);
    assert!(plaintext[0].server.ends_with(&body), "{}", read.stderr);
}

#[test]
fn only_the_start_of_each_packet_is_kept_and_its_true_length() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let capture = PacketCapture::start(&scene, &["--snaplen", "96"]);
    exchange(&scene, 100_000);
    let file = capture.stop();
    let blocks = Blocks::read(&file);
    assert!(blocks.truncated > 0 && blocks.longest == 96, "{blocks:?}");
    let printed = capinfos(&file);
    assert!(printed.contains("Capture length = 96"), "{printed}");
}

#[test]
fn the_file_is_its_owners_alone() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let capture = PacketCapture::start(&scene, &[]);
    exchange(&scene, 100);
    let file = capture.stop();
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn each_of_several_files_is_readable_alone_and_old_ones_go() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let capture = PacketCapture::start(&scene, &["--pcap-rotate-size", "1", "--pcap-keep", "3"]);
    // A connection each; four files in all.
    let bodies: Vec<_> = (0..20).map(|_| exchange(&scene, 200_000)).collect();
    capture.stop();
    let mut files: Vec<_> = std::fs::read_dir(scene.scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcapng"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 3, "{files:?}");
    let mut found = 0;
    for file in &files {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(std::fs::metadata(file).unwrap().len() <= (1 << 20) + 1000);
        assert!(capinfos(file).contains("Strict time order:   True"));
        for plaintext in plaintexts(file) {
            found += bodies.iter().filter(|body| plaintext.server.ends_with(body)).count();
        }
    }
    // Those whose handshake is in another file cannot be told: one for each file, and the last is short.
    assert!((6..20).contains(&found), "{found}");
}
