//! A program whose TLS is not `crypto/tls` but a fork of it that it carries: uTLS, which greets as a
//! browser does.

use super::{capture, pids, whole};
use e2e::capture::run;
use e2e::go::{Client, Peer, Server, certificate};
use e2e::keylog::{assert_same, captured, own};
use e2e::needs_bpf;

const PACKAGE: &str = "github.com/refraction-networking/utls";

#[track_caller]
fn assert_exact(go: &str) {
    let peer = Peer::build_with_fork(go);
    let inspected = run(["inspect".as_ref(), peer.file.as_os_str()]).success();
    let plan = String::from_utf8(inspected.stdout).unwrap();
    assert!(plan.contains(&format!("{PACKAGE}.(*Conn).Read")), "{plan}");
    assert!(!plan.contains("crypto/tls."), "{plan}");
    for version in ["12", "13"] {
        let (scratch, certificate) = certificate();
        let (own_log, key_log) = (scratch.join("own.log"), scratch.join("captured.log"));
        let server = Server::start(&peer, &certificate, &[]);
        let flags = ["-version", version, "-workers", "20", "-calls", "6"];
        let flags = [&flags[..], &["-sizes", "1,20000,300,100000,16385"]].concat();
        let client = Client::start(&peer, &server, Some(&own_log), &flags);
        let (client_pid, server_pid) = (client.pid(), server.pid());
        let only = pids(&[client_pid, server_pid]);
        let log = key_log.to_str().unwrap();
        let running =
            capture(&scratch, &["--no-parse", "--pid", &only, "-m", "text,keylog", "-k", log]);
        let transfers = client.run();
        server.stop();
        let lines = running.stop().lines();
        assert!(!transfers.is_empty());
        assert_eq!(whole(&lines, client_pid, true), transfers, "TLS {version}: the client");
        assert_eq!(whole(&lines, server_pid, false), transfers, "TLS {version}: the server");
        assert_same(&captured(&key_log), &own(&own_log));
    }
}

#[test]
fn bytes_and_keys_are_those_of_the_program_itself() {
    needs_bpf!();
    for go in ["1.19", "1.27"] {
        assert_exact(go);
    }
}
