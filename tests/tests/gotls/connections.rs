//! Who talks to whom, from when on, and in which order.

use super::{capture, pids, whole};
use e2e::go::{Build, Client, Peer, Server, certificate};
use e2e::{Capture, Direction, Line, Scratch, needs_bpf};

/// Runs client and server under a capture.
fn run(
    version: &str,
    server: &[&str],
    client: &[&str],
    arguments: &[&str],
) -> (Vec<Line>, [u32; 2], u16) {
    let peer = Peer::build(version, Build::Plain);
    let (scratch, certificate) = certificate();
    let server = Server::start(&peer, &certificate, server);
    let client = Client::start(&peer, &server, None, client);
    let processes = [client.pid(), server.pid()];
    let only = pids(&processes);
    let running: Capture = capture(&scratch, &[&["--pid", &only], arguments].concat());
    client.run();
    let port = server.port;
    server.stop();
    (running.stop().lines(), processes, port)
}

/// Every line of the client has the server's port on its other end, and the other way round.
#[track_caller]
fn assert_addresses(lines: &[Line], [client, server]: [u32; 2], port: u16) {
    assert!(lines.iter().any(|line| line.pid == client));
    assert!(lines.iter().any(|line| line.pid == server));
    for line in lines {
        let (local, remote) = (line.local.as_ref().unwrap(), line.remote.as_ref().unwrap());
        assert!(local.ip.is_loopback() && remote.ip.is_loopback(), "{line:?}");
        let of_server = if line.pid == server { local } else { remote };
        assert_eq!(of_server.port, port, "{line:?}");
    }
}

#[test]
fn addresses_are_those_of_the_socket() {
    needs_bpf!();
    for version in ["1.15", "1.27"] {
        let (lines, processes, port) = run(version, &[], &["-calls", "2"], &[]);
        assert_addresses(&lines, processes, port);
    }
}

#[test]
fn addresses_are_found_under_a_connection_of_the_programs_own() {
    needs_bpf!();
    for version in ["1.15", "1.27"] {
        let (lines, processes, port) = run(version, &["-raw"], &["-raw", "-wrap"], &["--no-parse"]);
        assert_addresses(&lines, processes, port);
    }
}

/// Another goroutine, on another thread, reads the answer before the one that wrote has returned.
#[test]
fn a_request_comes_before_its_response() {
    needs_bpf!();
    let client = ["-workers", "16", "-calls", "100", "-sizes", "10"];
    let (lines, [client, server], _) = run("1.27", &[], &client, &[]);
    for pid in [client, server] {
        let mut open = std::collections::BTreeSet::new();
        let mut responses = 0;
        for line in lines.iter().filter(|line| line.pid == pid) {
            let exchange = (line.conn, line.exchange.unwrap());
            match line.kind.as_str() {
                "http_request" => assert!(open.insert(exchange), "{line:?}"),
                "http_response" => {
                    assert!(open.remove(&exchange), "a response without a request: {line:?}");
                    responses += 1;
                }
                other => panic!("unexpected kind {other}: {line:?}"),
            }
        }
        assert_eq!((responses, open.len()), (1600, 0));
    }
}

/// The server waits in Read, which it entered before the probes were there.
#[test]
fn a_call_that_began_before_the_capture_is_seen() {
    needs_bpf!();
    for (version, placement) in [
        ("1.15", "auto"),
        ("1.15", "entry"),
        ("1.19", "entry"),
        ("1.24", "auto"),
        ("1.27", "auto"),
        ("1.27", "entry"),
    ] {
        let peer = Peer::build(version, Build::Stripped);
        let (scratch, certificate) = certificate();
        let server = Server::start(&peer, &certificate, &["-raw"]);
        let flags = ["-raw", "-early", "-calls", "3", "-sizes", "1,20000,300"];
        let client = Client::start(&peer, &server, None, &flags);
        let (client_pid, server_pid) = (client.pid(), server.pid());
        let only = pids(&[client_pid, server_pid]);
        let running = capture(&scratch, &["--no-parse", "--placement", placement, "--pid", &only]);
        let transfers = client.run();
        server.stop();
        let lines = running.stop().lines();
        assert_eq!(whole(&lines, client_pid, true), transfers, "{version}: the client");
        assert_eq!(whole(&lines, server_pid, false), transfers, "{version}: the server");
    }
}

#[test]
fn a_connection_ends_when_it_is_closed() {
    needs_bpf!();
    // One after the other: the garbage collector gives the memory of one to the next.
    let (scratch, certificate) = certificate();
    let peer = Peer::build("1.27", Build::Plain);
    let server = Server::start(&peer, &certificate, &["-raw"]);
    let clients: Vec<Client> =
        (0..8).map(|_| Client::start(&peer, &server, None, &["-raw"])).collect();
    let only = pids(&[server.pid()]);
    let running = capture(&scratch, &["--no-parse", "--pid", &only]);
    let count = clients.len();
    for client in clients {
        client.run();
    }
    let pid = server.pid();
    server.stop();
    let captured = running.stop();
    let streams = e2e::stream::streams(&captured.lines(), &[pid]);
    assert_eq!(e2e::stream::of(&streams, Direction::Recv).len(), count);
    assert_eq!(captured.number("/connections"), count as u64);
}

#[test]
fn a_program_that_starts_later_is_captured() {
    needs_bpf!();
    let peer = Peer::build("1.24", Build::Pie);
    let (scratch, certificate) = certificate();
    // A copy, so that no other test has made it known.
    let copy = scratch.join("later");
    std::fs::copy(&peer.file, &copy).unwrap();
    let server = Server::start(&peer, &certificate, &[]);
    let mut running = start_everywhere(&scratch);
    let mut later = peer.clone();
    later.file.clone_from(&copy);
    let client = Client::start(&later, &server, None, &["-calls", "5"]);
    let path = copy.to_str().unwrap().to_owned();
    running.stderr().wait_for("an attachment", |line| line.contains(&path));
    let pid = client.pid();
    let transfers = client.run();
    server.stop();
    let lines = running.stop().lines();
    assert_eq!(super::bodies(&lines, pid, true), transfers);
}

fn start_everywhere(scratch: &Scratch) -> Capture {
    capture(scratch, &[])
}
