//! `gnutls-cli` and `gnutls-serv` against each other over TLS and DTLS, and a `wget` that is linked
//! with `GnuTLS`, all of each suite.

use crate::exactness::assert_streams;
use e2e::certificate::Certificate;
use e2e::nginx::{Nginx, free_port};
use e2e::process::{Lines, Process, run, run_with_input};
use e2e::suite::Suite;
use e2e::{Capture, Direction, Payload, Scratch, digest, needs_bpf};
use std::fs;
use std::process::Stdio;

fn capture(scratch: &Scratch, suite: &Suite) -> Capture {
    Capture::of_library("gnutls", scratch, &suite.library("libgnutls.so.30"))
}

/// A `gnutls-serv` that sends back what it gets.
struct Echo {
    process: Process,
    said: Lines,
    port: u16,
}

impl Echo {
    fn start(suite: &Suite, certificate: &Certificate, arguments: &[&str]) -> Self {
        let port = free_port();
        let mut serving = suite.program("gnutls-serv");
        serving.args(["--echo", "--port", &port.to_string()]).args(arguments);
        serving.arg("--x509certfile").arg(&certificate.certificate);
        serving.arg("--x509keyfile").arg(&certificate.key);
        serving.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(&mut serving);
        let mut said = process.stderr_lines();
        // One line for IPv4, one for IPv6; the order is the resolver's.
        for _ in 0..2 {
            said.wait_for("\"...done\"", |line| line.ends_with("...done"));
        }
        Self { process, said, port }
    }
}

/// Both ends of one exchange of lines that come back.
fn echo(name: &str, arguments: &[&str], lines: usize) {
    let suite = Suite::named(name);
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let marker = Payload::marker();
    let all: Vec<String> = (0..lines).map(|line| format!("{marker} {line}")).collect();
    let payload = all.join("\n") + "\n";
    let capture = capture(&scratch, &suite);
    let Echo { mut process, said, port } = Echo::start(&suite, &certificate, arguments);
    let server = process.pid();
    let mut client = suite.program("gnutls-cli");
    client.arg("--port").arg(port.to_string()).args(arguments);
    client.arg("--x509cafile").arg(&certificate.certificate).arg("localhost");
    let done = run_with_input(&mut client, payload.as_bytes()).success();
    let output = String::from_utf8_lossy(&done.stdout).into_owned();
    let echoed: Vec<&str> = output.lines().filter(|line| line.starts_with(&marker)).collect();
    assert_eq!(echoed, all, "what came back");
    process.signal(rustix::process::Signal::TERM);
    process.wait();
    drop(said);
    let lines = capture.stop().lines();
    let payload = [payload.into_bytes()];
    for dir in [Direction::Send, Direction::Recv] {
        assert_streams(&lines, &[done.pid], dir, &payload);
        assert_streams(&lines, &[server], dir, &payload);
    }
}

/// A `wget` gets a file from an nginx with OpenSSL.
fn wget(name: &str) {
    let suite = Suite::named(name);
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let file = Payload::binary(700_000);
    nginx.serve("file", &file);
    let capture = capture(&scratch, &suite);
    let received = scratch.join("received");
    let mut wget = suite.program("wget");
    wget.args(["--debug", "--save-headers", "--no-hsts", "--no-config", "--tries=1", "-4"]);
    wget.arg("--ca-certificate").arg(&nginx.certificate.certificate);
    wget.arg("--output-document").arg(&received).arg(nginx.url("file"));
    let done = run(&mut wget).success();
    nginx.stop();
    let response = fs::read(received).unwrap();
    assert!(response.ends_with(&file));
    // It shows the request with the line ends as they are.
    let request = done
        .stderr
        .split_once("---request begin---\n")
        .and_then(|(_, rest)| rest.split_once("---request end---"))
        .map(|(request, _)| request.trim_end().to_owned() + "\r\n\r\n")
        .expect("wget --debug shows its request");
    let lines = capture.stop().lines();
    assert_streams(&lines, &[done.pid], Direction::Send, &[request.into_bytes()]);
    assert_streams(&lines, &[done.pid], Direction::Recv, &[response]);
}

macro_rules! suites {
    ($($suite:ident = $name:literal,)*) => {
        $(mod $suite {
            #[test]
            fn cli_and_serv() {
                e2e::needs_bpf!();
                super::echo($name, &[], 5000);
            }

            #[test]
            fn cli_and_serv_over_datagrams() {
                e2e::needs_bpf!();
                super::echo($name, &["--udp"], 1);
            }

            #[test]
            fn wget() {
                e2e::needs_bpf!();
                super::wget($name);
            }
        })*
    };
}

suites! {
    bullseye = "bullseye-gnutls",
    bookworm = "bookworm-gnutls",
    trixie = "trixie-gnutls",
    sid = "sid-gnutls",
}

/// The distribution's, found by itself, with HTTP parsed.
#[test]
fn the_distributions_wget_is_found_and_parsed() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let marker = Payload::marker();
    let file = Payload::text(10_000);
    nginx.serve(&marker, &file);
    let capture = Capture::of("gnutls", &scratch, &["--format", "json"]);
    let mut wget = e2e::process::command("wget");
    wget.args(["--no-hsts", "--no-config", "--tries=1", "-4", "--output-document", "/dev/null"]);
    wget.arg("--ca-certificate").arg(&nginx.certificate.certificate).arg(nginx.url(&marker));
    let done = run(&mut wget).success();
    nginx.stop();
    let lines = capture.stop().lines();
    let messages = e2e::message::messages(&lines, &[done.pid]);
    let [request, response] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(request.head.path.as_deref(), Some(&*format!("/{marker}")));
    assert_eq!(digest(&response.body), digest(&file));
    let remote = request.head.remote.as_ref().expect("the address is known");
    assert_eq!(request.head.header("Host"), Some(&*format!("localhost:{}", remote.port)));
    assert!(remote.ip.is_loopback());
}
