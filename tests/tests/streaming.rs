//! What streams is shown as it comes, what ends is shown when it ends, and what is no HTTP as it is.

use e2e::capture::ecapture;
use e2e::certificate::Certificate;
use e2e::curl::{Http, curl};
use e2e::nginx::Nginx;
use e2e::openssl::{client, distribution};
use e2e::peer::{Exchange, Language, Side, source};
use e2e::process::{Lines, Process, command};
use e2e::stream::digests;
use e2e::{Capture, Direction, Line, Payload, Scratch, needs_bpf};
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Stdio};

/// A capture whose lines are read while it goes on, of one process.
struct Live {
    _process: Process,
    lines: Lines,
}

impl Live {
    fn of(pid: u32) -> Self {
        let mut command = ecapture(["tls", "--format", "json", "--pid", &pid.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start(&mut command);
        let mut stderr = process.stderr_lines();
        stderr.wait_for("\"ecapture: ready\"", |line| line.contains("ecapture: ready"));
        let lines = process.stdout_lines();
        Self { _process: process, lines }
    }

    /// Waits for the next line and requires its kind.
    fn next(&mut self, kind: &str) -> Line {
        let text = self.lines.wait_for(kind, |_| true);
        let line: Line = serde_json::from_str(&text).unwrap();
        assert_eq!(line.kind, kind, "{text}");
        line
    }
}

/// A program of streaming.py.
fn streaming(arguments: &[&str], certificate: &Path, last: &Path) -> (Process, ChildStdin) {
    let mut python = command("python3");
    python.arg(source("streaming.py")).args(arguments).arg(certificate).arg(last);
    python.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::start(&mut python);
    let stdin = process.stdin();
    (process, stdin)
}

fn server(certificate: &Certificate) -> (Process, ChildStdin, String) {
    let (mut process, stdin) = streaming(&["server"], &certificate.certificate, &certificate.key);
    let line = process.stdout_lines().wait_for("port", |line| line.starts_with("port "));
    (process, stdin, line["port ".len()..].to_owned())
}

fn say(stdin: &mut ChildStdin, what: &str) {
    writeln!(stdin, "{what}").unwrap();
}

#[test]
fn server_sent_events_are_shown_one_by_one() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let (mut server, mut stdin, port) = server(&certificate);
    let mut shown = Live::of(server.pid());
    let mut curl = curl(Http::V1, &certificate.certificate);
    curl.args(["--no-buffer", "--output", "/dev/null"]);
    let curl = Process::start(curl.arg(format!("https://localhost:{port}/events")));
    shown.next("http_request");
    let head = shown.next("http_response");
    assert_eq!(head.body_follows, Some(true));
    // Each is shown before the server is told of the next.
    for event in ["first", "second", "third"] {
        say(&mut stdin, event);
        assert_eq!(shown.next("sse").data.as_deref(), Some(event));
    }
    drop(stdin);
    assert!(server.wait().success());
    let _ = curl.finish().success();
}

#[test]
fn websocket_messages_are_shown_one_by_one() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let (mut server, mut server_says, port) = server(&certificate);
    let mut shown = Live::of(server.pid());
    let (mut client, mut client_says) =
        streaming(&["websocket"], &certificate.certificate, Path::new(&port));
    say(&mut client_says, "go");
    shown.next("http_request");
    assert_eq!(shown.next("http_response").status, Some(101));
    for message in ["one", "two"] {
        say(&mut server_says, message);
        let line = shown.next("websocket");
        assert_eq!((line.dir, line.data.as_deref()), (Direction::Send, Some(message)));
    }
    drop(client_says);
    drop(server_says);
    assert_eq!(shown.next("websocket").dir, Direction::Send, "the server closes");
    assert!(server.wait().success());
    assert!(client.wait().success());
}

#[test]
fn masked_websocket_messages_are_unmasked() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let (_server, _server_says, port) = server(&certificate);
    let (mut client, mut client_says) =
        streaming(&["websocket"], &certificate.certificate, Path::new(&port));
    client.stdout_lines().wait_for("waiting", |line| line == "waiting");
    let mut shown = Live::of(client.pid());
    say(&mut client_says, "go");
    say(&mut client_says, "hello from the client");
    shown.next("http_request");
    shown.next("http_response");
    let message = shown.next("websocket");
    assert_eq!(message.dir, Direction::Send);
    assert_eq!(message.data.as_deref(), Some("hello from the client"));
}

#[test]
fn a_connection_that_was_open_before_is_parsed_from_its_next_request() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let mut openssl = client(distribution(), &nginx.certificate, nginx.port);
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process::start(&mut openssl);
    let mut stdin = process.stdin();
    let mut stdout = process.stdout_lines();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stdin.write_all(request("/small?before").as_bytes()).unwrap();
    stdout.wait_for("the response's body", |line| line.starts_with("xxx"));
    let mut shown = Live::of(process.pid());
    stdin.write_all(request("/small?after").as_bytes()).unwrap();
    assert_eq!(shown.next("http_request").path.as_deref(), Some("/small?after"));
    let response = shown.next("http_response");
    assert_eq!(response.status, Some(200));
    assert_eq!(response.body().unwrap().len(), 200);
}

#[test]
fn what_is_no_http_is_shown_raw_and_whole() {
    needs_bpf!();
    let scratch = Scratch::new();
    let side = |sends: &[u8]| Side { language: Language::Python, sends: sends.to_vec() };
    let (request, response) = (Payload::binary(70_000), Payload::text(50_000));
    let exchange = Exchange::prepare(&scratch, &side(&request), &side(&response), 1);
    let capture = Capture::parsed(&scratch, &[]);
    let pids = exchange.run();
    let captured = capture.stop();
    let lines = captured.lines();
    for pid in [pids.client, pids.server] {
        let of = |dir| -> Vec<u8> {
            let lines = lines.iter().filter(|line| line.pid == pid && line.dir == dir);
            lines.flat_map(|line| line.data().expect("data")).collect()
        };
        let (send, recv) = (of(Direction::Send), of(Direction::Recv));
        let (ours, theirs) =
            if pid == pids.client { (&request, &response) } else { (&response, &request) };
        assert_eq!(digests([&send[..]]), digests([&ours[..]]));
        assert_eq!(digests([&recv[..]]), digests([&theirs[..]]));
    }
    let text = captured.text();
    let marked = text.lines().filter(|line| line.contains("\"unparsed\":\"")).count();
    assert_eq!(marked, text.lines().count(), "every line says that it is not parsed");
}
