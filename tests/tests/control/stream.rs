//! The event stream for eCaptureQ.

use super::{TOKEN, token_file};
use e2e::curl::{Http, curl};
use e2e::load::Load;
use e2e::nginx::{Nginx, free_port};
use e2e::process::{Lines, command, run};
use e2e::{Capture, Payload, Process, Scratch, needs_bpf};
use serde_json::Value;
use std::cell::RefCell;
use std::io::Write as _;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

/// A client in python.
struct Client {
    _process: Process,
    stdin: ChildStdin,
    lines: Lines,
    status: u64,
}

impl Client {
    fn connect(port: u16, target: &str, headers: &[&str]) -> Self {
        let mut python = command("python3");
        python.args(["-c", include_str!("ecaptureq.py"), &port.to_string(), target]).args(headers);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = Process::start(&mut python);
        let (stdin, mut lines) = (process.stdin(), process.stdout_lines());
        let status = lines.wait_for("a status", |line| line.contains("status"));
        let status = serde_json::from_str::<Value>(&status).unwrap()["status"].as_u64().unwrap();
        Self { _process: process, stdin, lines, status }
    }

    fn with_token(port: u16) -> Self {
        let client = Self::connect(port, "/", &[&format!("Authorization: Bearer {TOKEN}")]);
        assert_eq!(client.status, 101);
        client
    }

    /// Reads until a message contains `what`; gives all up to it.
    fn read_until(&mut self, what: &str) -> Vec<Value> {
        writeln!(self.stdin, "read {what}").unwrap();
        let read = RefCell::new(Vec::new());
        self.lines.wait_for(what, |line| {
            read.borrow_mut().push(serde_json::from_str(line).unwrap());
            line.contains(what)
        });
        read.into_inner()
    }
}

fn serve(scratch: &Scratch, arguments: &[&str]) -> (Capture, u16) {
    let port = free_port();
    let token = token_file(scratch);
    let url = format!("ws://127.0.0.1:{port}/");
    let flags = ["--ecaptureq", &url, "--token-file", token.to_str().unwrap()];
    (Capture::parsed(scratch, &[&flags, arguments].concat()), port)
}

#[test]
fn a_client_gets_a_heartbeat_the_log_and_then_events_with_everything_known() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let (capture, port) = serve(&scratch, &[]);
    let mut client = Client::with_token(port);
    let begin = client.read_until("ready: ");
    assert_eq!(begin[0]["heartbeat"], 1);
    assert_eq!(begin[0]["message"], "heartbeat:1");
    assert!(begin[1..].iter().all(|line| line["log"].is_string()), "{begin:?}");

    let marker = Payload::marker();
    nginx.serve(&marker, marker.as_bytes());
    let mut fetch = curl(Http::V1, &nginx.certificate.certificate);
    let fetched = run(fetch.arg(nginx.url(&marker))).success();
    // The server's request, its response, the client's request, its response: in the order of time.
    let mut events: Vec<Value> = Vec::new();
    while events.iter().filter(|event| is_of(event, fetched.pid)).count() < 2 {
        events.extend(client.read_until(&marker));
    }
    let event = |kind| {
        let mut those = events.iter().filter(|event| is_of(event, fetched.pid));
        those.find(|event| event["type"] == kind).unwrap_or_else(|| panic!("{kind} in {events:?}"))
    };
    let (request, response) = (event(1), event(3));
    for (event, server) in [(request, "dst"), (response, "src")] {
        assert_eq!(event["pname"], "curl");
        assert_eq!(event[server][0], "127.0.0.1");
        assert_eq!(event[server][1], nginx.port);
        assert!(event["time"].as_u64().unwrap() > 1_600_000_000_000_000_000);
        assert_eq!(event["length"], event["payload"].as_str().unwrap().len());
    }
    assert!(request["payload"].as_str().unwrap().starts_with(&format!("GET /{marker} HTTP/1.1")));
    assert!(response["payload"].as_str().unwrap().ends_with(&marker));
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["sequence"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] > pair[0]), "{numbers:?}");
    nginx.stop();
    capture.stop().assert_whole();
}

fn is_of(event: &Value, pid: u32) -> bool {
    event["pid"] == pid
}

#[test]
fn who_may_not_gets_nothing() {
    needs_bpf!();
    let scratch = Scratch::new();
    let (capture, port) = serve(&scratch, &[]);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let status = |target: &str, headers: &[&str]| Client::connect(port, target, headers).status;
    assert_eq!(status("/", &[]), 401);
    assert_eq!(status("/?token=wrong", &[]), 401);
    assert_eq!(status("/", &["Authorization: Bearer wrong"]), 401);
    assert_eq!(status("/", &[&bearer, "Origin: http://evil.example"]), 403);
    assert_eq!(status("/", &[&bearer, "Host: evil.example"]), 403);
    assert_eq!(status(&format!("/?token={TOKEN}"), &[]), 101, "a browser's way");
    capture.stop().assert_whole();

    let port = free_port();
    let url = format!("ws://127.0.0.1:{port}/");
    let flags = ["--ecaptureq", &url, "--no-token", "--allow-origin", "tauri://localhost"];
    let capture = Capture::parsed(&scratch, &flags);
    let status = |headers: &[&str]| Client::connect(port, "/", headers).status;
    assert_eq!(status(&[]), 101);
    assert_eq!(status(&["Origin: tauri://localhost"]), 101);
    assert_eq!(status(&["Origin: http://evil.example"]), 403, "without a token, too");
    assert_eq!(status(&["Host: evil.example"]), 403, "without a token, too");
    let captured = capture.stop();
    assert!(captured.stderr.iter().any(|line| line.contains("WARNING: --no-token")));
    assert!(!captured.stderr.iter().any(|line| line.starts_with("ecapture: token")));
}

#[test]
fn a_slow_client_misses_what_is_counted_and_stays() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let listen = free_port();
    let address = format!("127.0.0.1:{listen}");
    let worker = nginx.workers[0].to_string();
    let (capture, port) = serve(&scratch, &["--listen", &address, "--pid", &worker]);
    let served = super::Served { module: "tls", capture, port: listen };
    let mut client = Client::with_token(port);
    client.read_until("ready: ");
    // It does not read while this goes on.
    let report = Load::start(&nginx, "small", 4, Duration::from_secs(2)).finish();
    assert!(report.requests > 1000);
    assert!(served.metric("ecapture_stream_dropped_total") > 0);
    let marker = Payload::marker();
    nginx.serve(&marker, marker.as_bytes());
    writeln!(client.stdin, "read {marker}").unwrap();
    // What waits for the client goes first; while it reads, there comes room for one of these.
    for _ in 0..20 {
        let mut fetch = curl(Http::V1, &nginx.certificate.certificate);
        let _ = run(fetch.arg(nginx.url(&marker))).success();
    }
    let seen = RefCell::new(Vec::new());
    client.lines.wait_for(&marker, |line| {
        seen.borrow_mut().push(serde_json::from_str::<Value>(line).unwrap());
        line.contains(&marker)
    });
    let read = seen.into_inner();
    let numbers: Vec<u64> = read.iter().filter_map(|event| event["sequence"].as_u64()).collect();
    let before: u64 = numbers[0] - 1;
    let missing: u64 = numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).sum();
    // Lines of the log may be dropped as well; there is none under way.
    let dropped = served.metric("ecapture_stream_dropped_total");
    assert_eq!(before + missing, dropped, "{} read", read.len());
    nginx.stop();
    served.capture.stop();
}
