//! Every Go, built in every way: bytes and keys are those of the program itself.

use super::{bodies, capture, capture_without, pids, whole};
use e2e::go::{Build, Client, Peer, Server, certificate};
use e2e::needs_bpf;
use std::collections::BTreeSet;
use std::path::Path;

const SIZES: &str = "1,200,20000,0,4096,100000,16385,300000";
/// Flags of the server, those of the client, and what to capture.
const PROTOCOLS: [(&[&str], &[&str]); 3] = [
    (&[], &["-workers", "8", "-calls", "8", "-sizes", SIZES]),
    (&["-http2"], &["-http2", "-workers", "8", "-calls", "8", "-sizes", SIZES]),
    // Each worker has a connection, and goroutines whose stacks grow in Read.
    (&["-raw"], &["-raw", "-workers", "200", "-calls", "3", "-sizes", "1,20000,300"]),
];

/// The lines of a key log.
fn keys(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[track_caller]
fn assert_exact(version: &str, build: Build, more: &[&str]) {
    let peer = Peer::build(version, build);
    for (server_flags, client_flags) in PROTOCOLS {
        let (scratch, certificate) = certificate();
        let raw = server_flags == ["-raw"];
        let (own_log, key_log) = (scratch.join("own.log"), scratch.join("captured.log"));
        let server = Server::start(&peer, &certificate, server_flags);
        let client = Client::start(&peer, &server, Some(&own_log), client_flags);
        let (client_pid, server_pid) = (client.pid(), server.pid());
        let only = pids(&[client_pid, server_pid]);
        let mut arguments = more.to_vec();
        arguments.extend(["--pid", &only, "-m", "text,keylog", "-k"]);
        arguments.push(key_log.to_str().unwrap());
        arguments.extend(raw.then_some("--no-parse"));
        let running = capture(&scratch, &arguments);
        let transfers = client.run();
        server.stop();
        let lines = running.stop().lines();
        let got = if raw { whole } else { bodies };
        assert_eq!(got(&lines, client_pid, true), transfers, "{client_flags:?}: the client");
        assert_eq!(got(&lines, server_pid, false), transfers, "{client_flags:?}: the server");
        assert!(!transfers.is_empty());
        assert_eq!(keys(&key_log), keys(&own_log), "{client_flags:?}: keys");
    }
}

macro_rules! every_build {
    ($($name:ident: $version:literal,)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn plain() {
                needs_bpf!();
                assert_exact($version, Build::Plain, &[]);
            }

            #[test]
            fn position_independent() {
                needs_bpf!();
                assert_exact($version, Build::Pie, &[]);
            }

            #[test]
            fn stripped() {
                needs_bpf!();
                assert_exact($version, Build::Stripped, &[]);
            }

            #[test]
            fn as_a_library_in_a_program_of_c() {
                needs_bpf!();
                assert_exact($version, Build::Shared, &[]);
            }
        }
    )*};
}

every_build! {
    go_1_15: "1.15",
    go_1_19: "1.19",
    go_1_24: "1.24",
    go_1_26: "1.26",
    go_1_27: "1.27",
}

/// Where the copy in Read is not found, as it may be in programs built in other ways.
#[test]
fn calls_are_exact_by_their_begin_and_end_too() {
    needs_bpf!();
    for version in ["1.15", "1.19", "1.27"] {
        assert_exact(version, Build::Plain, &["--placement", "entry"]);
    }
}

/// What older kernels lack: each is another object, or another way to attach.
#[test]
fn bodies_are_exact_without_what_older_kernels_lack() {
    needs_bpf!();
    for (version, features) in [
        ("1.15", "multi"),
        ("1.27", "cookie,multi"),
        ("1.15", "loop"),
        ("1.27", "ringbuf,loop"),
        ("1.19", "ringbuf,cookie,multi,loop,btf"),
    ] {
        let peer = Peer::build(version, Build::Plain);
        let (scratch, certificate) = certificate();
        let server = Server::start(&peer, &certificate, &[]);
        let flags = ["-workers", "4", "-calls", "8", "-sizes", SIZES];
        let client = Client::start(&peer, &server, None, &flags);
        let (client_pid, server_pid) = (client.pid(), server.pid());
        let only = pids(&[client_pid, server_pid]);
        let running = capture_without(&scratch, features, &["--pid", &only]);
        let transfers = client.run();
        server.stop();
        let lines = running.stop().lines();
        assert_eq!(bodies(&lines, client_pid, true), transfers, "without {features}: the client");
        assert_eq!(bodies(&lines, server_pid, false), transfers, "without {features}: the server");
    }
}
