//! curl and nginx over HTTP/1.1, unparsed: the very bytes, heads included.

use super::{SIZES, assert_http1};
use e2e::curl::{Http, Transfer, Transferred, curl};
use e2e::nginx::Nginx;
use e2e::process::run;
use e2e::stream::{self, digests, streams};
use e2e::{Capture, Direction, Payload, Scratch, digest, needs_bpf};

/// Runs transfers of these bodies, all at once, and compares.
fn transfers(upload: bool, bodies: &[Vec<u8>]) {
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &[]);
    let started: Vec<Transfer> = bodies
        .iter()
        .enumerate()
        .map(|(number, body)| {
            let name = format!("{number}-{}", Payload::marker());
            if upload {
                Transfer::put(&scratch, Http::V1, &nginx, &name, body.clone())
            } else {
                nginx.serve(&name, body);
                Transfer::get(&scratch, Http::V1, &nginx, &name)
            }
        })
        .collect();
    let done: Vec<Transferred> = started.into_iter().map(Transfer::finish).collect();
    let workers = nginx.workers.clone();
    nginx.stop();
    let lines = capture.stop().lines();
    for (body, done) in bodies.iter().zip(&done) {
        let arrived = if upload { &done.sent } else { &done.received };
        assert_eq!(digest(arrived), digest(body), "the transfer itself");
    }
    assert_http1(&lines, &workers, &done);
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
fn binary_bodies() {
    needs_bpf!();
    transfers(false, &[Payload::binary(100_000)]);
    transfers(true, &[Payload::binary(100_000)]);
}

#[test]
fn characters_cut_in_the_middle() {
    needs_bpf!();
    transfers(false, &[Payload::multibyte(300_001)]);
    transfers(true, &[Payload::multibyte(300_001)]);
}

#[test]
fn eight_connections_at_once() {
    needs_bpf!();
    transfers(false, &(0..8).map(|_| Payload::text(200_000)).collect::<Vec<_>>());
}

#[test]
fn sixty_four_connections_at_once() {
    needs_bpf!();
    transfers(false, &(0..64).map(|_| Payload::text(50_000)).collect::<Vec<_>>());
}

#[test]
fn sixty_four_uploads_at_once() {
    needs_bpf!();
    transfers(true, &(0..64).map(|_| Payload::text(50_000)).collect::<Vec<_>>());
}

#[test]
fn sixty_four_connections_of_one_process() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::with_workers(&scratch, 2);
    let mut client = curl(Http::V1, &nginx.certificate.certificate);
    client.args(["--parallel", "--parallel-immediate", "--parallel-max", "64"]);
    let bodies: Vec<_> = (0..64).map(|_| Payload::text(50_000)).collect();
    for (number, body) in bodies.iter().enumerate() {
        let name = format!("file-{number}");
        nginx.serve(&name, body);
        client.arg("--output").arg(scratch.join(&name)).arg(nginx.url(&name));
    }
    let capture = Capture::raw(&scratch, &[]);
    let pid = run(&mut client).success().pid;
    let workers = nginx.workers.clone();
    nginx.stop();
    let lines = capture.stop().lines();
    let ours = streams(&lines, &[pid]);
    let theirs = streams(&lines, &workers);
    let content = |streams: &[stream::Stream], dir| {
        let streams = stream::of(streams, dir);
        digests(streams.iter().map(|stream| &stream.bytes[..]))
    };
    assert_eq!(content(&ours, Direction::Send), content(&theirs, Direction::Recv));
    assert_eq!(content(&ours, Direction::Recv), content(&theirs, Direction::Send));
    // curl may use a connection again: so count bodies, not connections.
    let received: Vec<u8> = stream::of(&ours, Direction::Recv)
        .iter()
        .flat_map(|stream| stream.bytes.iter().copied())
        .collect();
    let received = String::from_utf8(received).unwrap();
    for body in &bodies {
        let body = std::str::from_utf8(body).unwrap();
        assert_eq!(received.matches(body).count(), 1, "each body arrives once");
    }
}

#[test]
fn requests_that_share_a_connection_are_one_stream() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &[]);
    let mut client = curl(Http::V1, &nginx.certificate.certificate);
    let mut bodies = Vec::new();
    for number in 0..5 {
        let name = format!("file-{number}");
        bodies.push(Payload::text(3_000));
        nginx.serve(&name, &bodies[number]);
        client.arg(nginx.url(&name));
    }
    let done = run(client.arg("--include")).success();
    assert!(bodies.iter().all(|body| done.stdout.windows(body.len()).any(|part| part == body)));
    nginx.stop();
    let lines = capture.stop().lines();
    // With --include curl prints exactly what the server sent.
    super::assert_streams(&lines, &[done.pid], Direction::Recv, &[done.stdout]);
}
