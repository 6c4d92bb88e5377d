//! Where the program's data lies when it goes out.

use super::{capture, pids, whole};
use e2e::go::{Build, Client, Peer, Server, certificate};
use e2e::{Payload, needs_bpf};

#[track_caller]
fn assert_sent(version: &str, flags: &[&str]) {
    let peer = Peer::build(version, Build::Plain);
    let (scratch, certificate) = certificate();
    let file = scratch.write("data", Payload::binary(3_000_001));
    let server = Server::start(&peer, &certificate, &["-raw"]);
    let flags = [flags, &["-file", file.to_str().unwrap()]].concat();
    let client = Client::start(&peer, &server, None, &flags);
    let (client_pid, server_pid) = (client.pid(), server.pid());
    let running = capture(&scratch, &["--no-parse", "--pid", &pids(&[client_pid, server_pid])]);
    let transfers = client.run();
    server.stop();
    let lines = running.stop().lines();
    assert_eq!(whole(&lines, client_pid, true), transfers, "{version}: the client");
    assert_eq!(whole(&lines, server_pid, false), transfers, "{version}: the server");
}

/// As the data of `//go:embed` is when it is served for the first time.
#[test]
fn pages_that_were_never_touched_are_seen_when_they_go_out() {
    needs_bpf!();
    for version in ["1.15", "1.27"] {
        assert_sent(version, &["-raw"]);
    }
}

#[test]
fn small_pieces_of_such_pages_are_seen_too() {
    needs_bpf!();
    assert_sent("1.27", &["-raw", "-pieces", "1000"]);
}

#[test]
fn calls_of_megabytes_are_whole() {
    needs_bpf!();
    let peer = Peer::build("1.26", Build::Plain);
    let (scratch, certificate) = certificate();
    let server = Server::start(&peer, &certificate, &["-raw"]);
    let flags = ["-raw", "-workers", "3", "-calls", "3", "-sizes", "1000000,5000000,65537"];
    let client = Client::start(&peer, &server, None, &flags);
    let (client_pid, server_pid) = (client.pid(), server.pid());
    let running = capture(&scratch, &["--no-parse", "--pid", &pids(&[client_pid, server_pid])]);
    let transfers = client.run();
    server.stop();
    let lines = running.stop().lines();
    assert_eq!(whole(&lines, client_pid, true), transfers);
    assert_eq!(whole(&lines, server_pid, false), transfers);
}
