//! `openssl s_client` and `s_server`: what goes through their pipes goes through the connection.

use super::assert_streams;
use e2e::certificate::Certificate;
use e2e::openssl::{FileServer, client, distribution};
use e2e::peer::{Language, Server};
use e2e::process::run_with_input;
use e2e::{Capture, Direction, Payload, Scratch, digest, needs_bpf};
use std::process::Command;

#[test]
fn distribution_s_client() {
    needs_bpf!();
    s_client_sends_and_receives(&distribution, &[]);
}

#[test]
fn distribution_s_server() {
    needs_bpf!();
    s_server_serves_a_file_to_s_client(&distribution, &[]);
}

/// Any `openssl` against a server in Python.
pub(crate) fn s_client_sends_and_receives(openssl: &dyn Fn() -> Command, arguments: &[&str]) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let (request, response) = (Payload::text(500_000), Payload::binary(700_000));
    let capture = Capture::raw(&scratch, arguments);
    let server =
        Server::start(&scratch, &certificate, Language::Python, 1, request.len(), &response);
    let done = run_with_input(&mut client(openssl(), &certificate, server.port), &request);
    let done = done.success();
    assert_eq!(digest(&done.stdout), digest(&response));
    server.finish();
    let lines = capture.stop().lines();
    assert_streams(&lines, &[done.pid], Direction::Send, &[request]);
    assert_streams(&lines, &[done.pid], Direction::Recv, &[response]);
}

/// Any `openssl` against itself.
pub(crate) fn s_server_serves_a_file_to_s_client(
    openssl: &dyn Fn() -> Command,
    arguments: &[&str],
) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let file = Payload::text(300_000);
    scratch.write("file.txt", &file);
    let capture = Capture::raw(&scratch, arguments);
    let mut serving = openssl();
    serving.current_dir(scratch.path());
    let server = FileServer::start(serving, &certificate);
    let request = b"GET /file.txt HTTP/1.0\r\n\r\n".to_vec();
    let done = run_with_input(&mut client(openssl(), &certificate, server.port), &request);
    let done = done.success();
    assert!(done.stdout.ends_with(&file));
    let serving = server.pid();
    server.finish();
    let lines = capture.stop().lines();
    let response = done.stdout;
    assert_streams(&lines, &[serving], Direction::Recv, std::slice::from_ref(&request));
    assert_streams(&lines, &[serving], Direction::Send, std::slice::from_ref(&response));
    assert_streams(&lines, &[done.pid], Direction::Send, &[request]);
    assert_streams(&lines, &[done.pid], Direction::Recv, &[response]);
}
