//! curl and nginx over HTTP/2, unparsed: the same frames at both ends, with the bodies in them.

use super::SIZES;
use e2e::curl::{Http, Transfer, Transferred, curl};
use e2e::line::Line;
use e2e::nginx::Nginx;
use e2e::process::run;
use e2e::stream::{self, digests, streams};
use e2e::{Capture, Direction, Payload, Scratch, digest, http2, needs_bpf};
use std::collections::BTreeMap;

/// Every stream that was read is the beginning of one that was written, and each is used once. Only
/// the beginning, because an end that closes doesn't read what is still under way (SETTINGS, GOAWAY).
#[track_caller]
fn assert_read_is_written(lines: &[Line], readers: &[u32], writers: &[u32]) {
    let read = streams(lines, readers);
    let written = streams(lines, writers);
    let mut written = stream::of(&written, Direction::Send);
    for read in stream::of(&read, Direction::Recv) {
        let found = written.iter().position(|written| written.bytes.starts_with(&read.bytes));
        let found = found.unwrap_or_else(|| {
            panic!("{} read {}, which nobody wrote", read.pid, digest(&read.bytes))
        });
        let written = written.swap_remove(found);
        let unread = &written.bytes[read.bytes.len()..];
        assert!(http2::bodies(unread).is_empty(), "a body that was not read: {}", unread.len());
    }
    assert!(written.is_empty(), "{} streams that nobody read", written.len());
}

/// The bodies in what some processes read or wrote, as a set.
fn bodies(lines: &[Line], pids: &[u32], dir: Direction) -> BTreeMap<String, usize> {
    let all = streams(lines, pids);
    let bodies: Vec<Vec<u8>> = stream::of(&all, dir)
        .iter()
        .flat_map(|stream| http2::bodies(&stream.bytes).into_values())
        .filter(|body| !body.is_empty())
        .collect();
    digests(bodies.iter().map(Vec::as_slice))
}

fn transfers(upload: bool, contents: &[Vec<u8>]) {
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &[]);
    let started: Vec<Transfer> = contents
        .iter()
        .enumerate()
        .map(|(number, content)| {
            let name = format!("{number}-{}", Payload::marker());
            if upload {
                Transfer::put(&scratch, Http::V2, &nginx, &name, content.clone())
            } else {
                nginx.serve(&name, content);
                Transfer::get(&scratch, Http::V2, &nginx, &name)
            }
        })
        .collect();
    let clients: Vec<u32> =
        started.into_iter().map(Transfer::finish).map(|done: Transferred| done.pid).collect();
    let workers = nginx.workers.clone();
    nginx.stop();
    let lines = capture.stop().lines();
    assert_read_is_written(&lines, &clients, &workers);
    assert_read_is_written(&lines, &workers, &clients);
    let (sender, receiver) = if upload { (&clients, &workers) } else { (&workers, &clients) };
    let expected = digests(contents.iter().map(Vec::as_slice));
    assert_eq!(bodies(&lines, sender, Direction::Send), expected);
    assert_eq!(bodies(&lines, receiver, Direction::Recv), expected);
}

#[test]
fn downloads_of_every_size() {
    needs_bpf!();
    transfers(false, &SIZES.map(Payload::text));
}

#[test]
fn uploads_of_every_size() {
    needs_bpf!();
    transfers(true, &SIZES.map(Payload::text));
}

#[test]
fn sixty_four_connections_at_once() {
    needs_bpf!();
    transfers(false, &(0..64).map(|_| Payload::binary(50_000)).collect::<Vec<_>>());
}

#[test]
fn many_requests_on_one_connection() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let contents: Vec<_> = (0..30).map(|_| Payload::binary(60_000)).collect();
    let mut client = curl(Http::V2, &nginx.certificate.certificate);
    client.arg("--parallel");
    for (number, content) in contents.iter().enumerate() {
        let name = format!("file-{number}");
        nginx.serve(&name, content);
        client.arg("--output").arg(scratch.join(&name)).arg(nginx.url(&name));
    }
    let capture = Capture::raw(&scratch, &[]);
    let pid = run(&mut client).success().pid;
    nginx.stop();
    let lines = capture.stop().lines();
    let expected = digests(contents.iter().map(Vec::as_slice));
    assert_eq!(bodies(&lines, &[pid], Direction::Recv), expected);
    assert_eq!(streams(&lines, &[pid]).len(), 2, "one connection, two directions");
}
