//! Which files are captured, and what is said of those that are not.

use super::{bodies, capture};
use e2e::capture::run;
use e2e::go::{Build, Client, Peer, Server, certificate};
use e2e::needs_bpf;

#[test]
fn elfpath_limits_the_capture_to_one_file() {
    needs_bpf!();
    let (client_peer, server_peer) =
        (Peer::build("1.19", Build::Plain), Peer::build("1.24", Build::Plain));
    let (scratch, certificate) = certificate();
    let server = Server::start(&server_peer, &certificate, &[]);
    let client = Client::start(&client_peer, &server, None, &["-calls", "4"]);
    let running = capture(&scratch, &["--elfpath", client_peer.file.to_str().unwrap()]);
    let (client_pid, server_pid) = (client.pid(), server.pid());
    let transfers = client.run();
    server.stop();
    let lines = running.stop().lines();
    assert_eq!(bodies(&lines, client_pid, true), transfers);
    assert!(lines.iter().all(|line| line.pid != server_pid));
}

#[test]
fn a_file_without_tls_is_refused_if_it_was_named() {
    needs_bpf!();
    let refused = run(["gotls", "--elfpath", "/bin/true"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("not built by Go"), "{}", refused.stderr);
}

#[test]
fn inspect_says_what_is_probed_in_a_stripped_program() {
    let peer = Peer::build("1.15", Build::Stripped);
    let inspected = run(["inspect".as_ref(), peer.file.as_os_str()]).success();
    let text = String::from_utf8(inspected.stdout).unwrap();
    for part in ["go1.15", "(*Conn).Read", "(*Conn).writeRecordLocked", "memmove", "writeKeyLog"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}
