//! A capture that begins when an HTTP/2 connection has been in use for a while: what both ends
//! refer to by number was said before.

use e2e::certificate::Certificate;
use e2e::message::{Message, messages, requests, responses};
use e2e::peer::{Waiting, source};
use e2e::process::{Process, command};
use e2e::{Capture, Payload, Scratch, digest, needs_bpf};
use std::fs;
use std::process::{Command, Stdio};

const REQUESTS: usize = 3;

fn node(role: &str) -> Command {
    let mut node = command("node");
    node.arg(source("http2.js")).arg(role);
    node.stdout(Stdio::piped());
    node
}

/// The fields that the capture can't know are marked as such.
#[track_caller]
fn assert_marked(message: &Message, least: usize) {
    let fields = message.head.headers.as_ref().unwrap();
    let unknown = fields.iter().filter(|field| field.name == "?" && field.value == "?");
    assert!(unknown.count() >= least, "{fields:?}");
    assert!(fields.iter().all(|field| (field.name == "?") == (field.value == "?")), "{fields:?}");
}

#[test]
fn a_connection_in_use_shows_its_next_requests_whole() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let (sent, answered) = (Payload::text(150_000), Payload::binary(200_000));
    let (before, after) = (Payload::marker(), Payload::marker());
    let folder = |name: &str| {
        let folder = scratch.join(name);
        fs::create_dir(&folder).unwrap();
        folder
    };
    let (at_server, at_client) = (folder("at-server"), folder("at-client"));

    let mut server = node("server");
    server.arg(&certificate.certificate).arg(&certificate.key);
    server.arg(scratch.write("response", &answered)).arg(&at_server).stdin(Stdio::null());
    let mut server = Process::start(&mut server);
    let line = server.stdout_lines().wait_for("port", |line| line.starts_with("port "));

    let mut client = node("client");
    client.arg(&certificate.certificate).arg(&line["port ".len()..]);
    client.arg(scratch.write("request", &sent)).arg(&at_client);
    client.args([&before, &after, &REQUESTS.to_string()]).stdin(Stdio::piped());
    let client = Waiting::start(client);

    let pids = [client.pid(), server.pid()];
    let capture = Capture::parsed(&scratch, &["--pid", &format!("{},{}", pids[0], pids[1])]);
    client.run();
    assert!(server.wait().success());
    let lines = capture.stop().lines();

    for number in 0..REQUESTS {
        let saved = |folder: &std::path::Path| fs::read(folder.join(format!("after-{number}")));
        assert_eq!(digest(&saved(&at_server).unwrap()), digest(&sent));
        assert_eq!(digest(&saved(&at_client).unwrap()), digest(&answered));
    }
    for pid in pids {
        // Nothing but whole messages.
        let all = messages(&lines, &[pid]);
        let (requests, responses) = (requests(&all), responses(&all));
        assert_eq!((requests.len(), responses.len()), (REQUESTS, REQUESTS));
        for (number, request) in requests.iter().enumerate() {
            assert!(request.complete);
            assert_eq!(request.head.method.as_deref(), Some("POST"));
            assert_eq!(request.head.path, Some(format!("/after-{number}")));
            assert_eq!(digest(&request.body), digest(&sent));
            assert_eq!(request.head.header("x-after"), Some(after.as_str()), "said in time");
            assert_eq!(request.head.header("x-before"), None, "was the table in use at all?");
            assert_marked(request, 1);
            let answers = |response: &&&Message| response.head.exchange == request.head.exchange;
            let response = responses.iter().find(answers).expect("its response");
            assert!(response.complete);
            assert_eq!(response.head.status, Some(200));
            assert_eq!(digest(&response.body), digest(&answered));
            assert_eq!(response.head.header("x-served"), None, "was the table in use at all?");
            assert_marked(response, 1);
        }
    }
}
