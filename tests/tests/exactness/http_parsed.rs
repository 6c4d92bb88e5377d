//! curl and nginx, parsed: whole messages with whole bodies, from both ends, request with response.

use super::SIZES;
use e2e::curl::{Http, Transfer, curl};
use e2e::message::{Message, messages, requests, responses};
use e2e::nginx::Nginx;
use e2e::process::run;
use e2e::stream::digests;
use e2e::{Capture, Direction, Payload, Scratch, digest, needs_bpf};

/// The two messages of an exchange belong together and were timed.
#[track_caller]
fn assert_paired(all: &[Message]) {
    let key = |message: &Message| (message.head.conn, message.head.exchange);
    let requests = requests(all);
    for response in responses(all) {
        let matching = requests.iter().filter(|request| key(request) == key(response));
        assert_eq!(matching.count(), 1, "a response belongs to one request");
        assert!(response.head.latency_ns.is_some_and(|time| time > 0), "the time it took");
    }
}

fn assert_both_ends(http: Http, upload: bool) {
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::parsed(&scratch, &[]);
    let bodies = SIZES.map(Payload::text);
    let started: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(number, body)| {
            let name = format!("{number}-{}", Payload::marker());
            let transfer = if upload {
                Transfer::put(&scratch, http, &nginx, &name, body.clone())
            } else {
                nginx.serve(&name, body);
                Transfer::get(&scratch, http, &nginx, &name)
            };
            (name, transfer)
        })
        .collect();
    let done: Vec<_> =
        started.into_iter().map(|(name, transfer)| (name, transfer.finish())).collect();
    let workers = nginx.workers.clone();
    nginx.stop();
    let lines = capture.stop().lines();

    let check = |all: &[Message], name: &str, body: &[u8], client: bool| {
        let path = format!("/{name}");
        let request = requests(all)
            .into_iter()
            .find(|request| request.head.path.as_deref() == Some(&path))
            .unwrap_or_else(|| panic!("no request for {path}"));
        let response = responses(all)
            .into_iter()
            .find(|response| {
                response.head.conn == request.head.conn
                    && response.head.exchange == request.head.exchange
            })
            .unwrap_or_else(|| panic!("no response for {path}"));
        let sends = |client| if client { Direction::Send } else { Direction::Recv };
        assert_eq!(request.head.dir, sends(client));
        assert_eq!(response.head.dir, sends(!client));
        assert_eq!(request.head.method.as_deref(), Some(if upload { "PUT" } else { "GET" }));
        assert_eq!(response.head.status, Some(if upload { 201 } else { 200 }));
        assert!(request.complete && response.complete, "both are whole");
        let (full, empty) = if upload { (request, response) } else { (response, request) };
        assert_eq!(digest(&full.body), digest(body));
        assert_eq!(digest(&empty.body), digest(b""));
    };
    let server = messages(&lines, &workers);
    assert_paired(&server);
    for ((name, done), body) in done.iter().zip(&bodies) {
        let client = messages(&lines, &[done.pid]);
        assert_paired(&client);
        assert_eq!(client.len(), 2, "one request and one response");
        check(&client, name, body, true);
        check(&server, name, body, false);
    }
}

#[test]
fn http1_downloads() {
    needs_bpf!();
    assert_both_ends(Http::V1, false);
}

#[test]
fn http1_uploads() {
    needs_bpf!();
    assert_both_ends(Http::V1, true);
}

#[test]
fn http2_downloads() {
    needs_bpf!();
    assert_both_ends(Http::V2, false);
}

#[test]
fn http2_uploads() {
    needs_bpf!();
    assert_both_ends(Http::V2, true);
}

#[test]
fn http2_streams_of_one_connection_are_told_apart() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let contents: Vec<_> = (0..30).map(|_| Payload::text(60_000)).collect();
    let mut client = curl(Http::V2, &nginx.certificate.certificate);
    client.arg("--parallel");
    for (number, content) in contents.iter().enumerate() {
        let name = format!("file-{number}");
        nginx.serve(&name, content);
        client.arg("--output").arg(scratch.join(&name)).arg(nginx.url(&name));
    }
    let capture = Capture::parsed(&scratch, &[]);
    let pid = run(&mut client).success().pid;
    nginx.stop();
    let all = messages(&capture.stop().lines(), &[pid]);
    assert_paired(&all);
    let responses = responses(&all);
    assert_eq!(
        digests(responses.iter().map(|response| &response.body[..])),
        digests(contents.iter().map(Vec::as_slice))
    );
    for request in requests(&all) {
        let number = request.head.path.as_ref().unwrap().strip_prefix("/file-").unwrap();
        let number: usize = number.parse().unwrap();
        let response = responses.iter().find(|response| {
            response.head.exchange == request.head.exchange
                && response.head.stream == request.head.stream
        });
        assert_eq!(digest(&response.unwrap().body), digest(&contents[number]));
    }
}

#[test]
fn compressed_bodies_are_decoded() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let content = Payload::text(50_000);
    nginx.serve("gzip/file", &content);
    for http in [Http::V1, Http::V2] {
        let capture = Capture::parsed(&scratch, &[]);
        let mut client = curl(http, &nginx.certificate.certificate);
        client.args(["--compressed"]).arg(nginx.url("gzip/file"));
        let done = run(&mut client).success();
        assert_eq!(digest(&done.stdout), digest(&content));
        let all = messages(&capture.stop().lines(), &[done.pid]);
        let response = responses(&all)[0];
        assert_eq!(response.head.header("content-encoding"), Some("gzip"), "really compressed");
        assert_eq!(digest(&response.body), digest(&content), "{http:?}");
    }
}
