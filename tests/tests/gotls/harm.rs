//! The traced program goes on as if nothing were.

use super::{capture, pids};
use e2e::go::{Build, Client, Peer, Server, certificate};
use e2e::needs_bpf;

/// Fails if client or server crash, or get anything but what they should: they compare themselves.
#[track_caller]
fn assert_survives(version: &str) {
    let peer = Peer::build(version, Build::Plain);
    let (scratch, certificate) = certificate();
    let server = Server::start(&peer, &certificate, &[]);
    let flags = ["-quiet", "-workers", "50", "-calls", "2000", "-sizes", "200"];
    let client = Client::start(&peer, &server, None, &flags);
    let only = pids(&[client.pid(), server.pid()]);
    let running = capture(&scratch, &["--no-parse", "--pid", &only]);
    assert!(client.run().is_empty());
    server.stop();
    let captured = running.stop();
    captured.assert_whole();
    assert!(captured.number("/calls/send") >= 200_000, "{}", captured.summary);
}

#[test]
fn a_program_with_arguments_on_the_stack_makes_100_000_requests() {
    needs_bpf!();
    assert_survives("1.15");
}

#[test]
fn a_program_with_arguments_in_registers_makes_100_000_requests() {
    needs_bpf!();
    assert_survives("1.27");
}
