//! `ecapture convert`: the same as if the capture had written it.

use e2e::curl::{Http, curl};
use e2e::database::postgres::Server;
use e2e::nginx::Nginx;
use e2e::process::run;
use e2e::shells::{self, Shell};
use e2e::{Capture, Captured, Payload, Scratch, capture, needs_bpf};
use serde_json::Value;
use std::fs;

/// The files that one capture writes, in every format that can be read back or compared.
struct Recording {
    scratch: Scratch,
}

impl Recording {
    fn new() -> Self {
        Self { scratch: Scratch::new() }
    }

    fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    fn written(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// What a capture needs to be told.
    fn destinations(&self) -> Vec<String> {
        let mut arguments = vec!["--output".to_owned(), self.path("e.json")];
        for (name, format) in [("e.txt", "text"), ("e.pb", "protobuf")] {
            let address = format!("{}?format={format}", self.path(name));
            arguments.extend(["--eventaddr".to_owned(), address]);
        }
        arguments
    }

    /// What a file becomes, and what is said about it.
    fn converted(&self, from: &str, to: &str) -> (Vec<u8>, String) {
        let (from, out) = (self.path(from), self.path("converted"));
        let outcome = capture::run(["convert", &from, "--to", to, "--output", &out]).success();
        (fs::read(out).unwrap(), outcome.stderr)
    }

    /// Both recordings become what the capture wrote itself.
    fn assert_equal(&self) {
        for from in ["e.json", "e.pb"] {
            for (to, name) in [("json", "e.json"), ("text", "e.txt")] {
                let (converted, said) = self.converted(from, to);
                assert!(converted == self.written(name), "{from} to {to}");
                assert_eq!(said, "", "{from} to {to}");
            }
        }
    }

    /// No HTTP: there is an empty HAR file, and it is said why.
    fn assert_no_har(&self, commands: usize, statements: usize) {
        for from in ["e.json", "e.pb"] {
            let (har, said) = self.converted(from, "har");
            let har: Value = serde_json::from_slice(&har).unwrap();
            assert_eq!(har["log"]["entries"], serde_json::json!([]));
            assert_eq!(said.lines().count(), 1, "{said}");
            let counts = format!("{commands} commands and {statements} statements");
            assert!(said.contains(&counts), "{said}");
        }
    }
}

fn records(captured: &Captured) -> usize {
    captured.assert_whole();
    captured.number("/records").try_into().unwrap()
}

#[test]
fn what_was_recorded_becomes_what_would_have_been_written() {
    needs_bpf!();
    let recording = Recording::new();
    let scratch = &recording.scratch;
    let nginx = Nginx::start(scratch);
    nginx.serve("binary", &Payload::binary(50_000));
    nginx.serve("large", &Payload::text(3 << 20));
    nginx.serve("gzip/text", &Payload::text(3000));
    let (har, pid) = (recording.path("e.har"), nginx.workers[0].to_string());
    let files = recording.destinations();
    let mut arguments: Vec<&str> = files.iter().map(String::as_str).collect();
    arguments.extend(["--har", &har, "--pid", &pid]);
    let capture = Capture::parsed(scratch, &arguments);
    for http in [Http::V1, Http::V2] {
        let mut client = curl(http, &nginx.certificate.certificate);
        client.args(["--compressed", "--output", "/dev/null"]);
        client.args(["small", "binary", "large", "gzip/text"].map(|name| nginx.url(name)));
        let _ = run(client.arg("--include")).success();
    }
    nginx.stop();
    capture.stop().assert_whole();
    recording.assert_equal();
    for from in ["e.json", "e.pb"] {
        let (converted, said) = recording.converted(from, "har");
        assert!(converted == recording.written("e.har"), "{from}");
        assert_eq!(said, "");
    }
    // And these say how long it took to receive them.
    let har: Value = serde_json::from_slice(&recording.written("e.har")).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 8);
    assert!(entries.iter().any(|entry| entry["timings"]["receive"].as_f64().unwrap() > 0.0));
}

#[test]
fn commands_become_what_would_have_been_written() {
    needs_bpf!();
    let recording = Recording::new();
    let shell = Shell::of("trixie", "bash");
    let files = recording.destinations();
    let arguments: Vec<&str> = files.iter().map(String::as_str).collect();
    let capture = shell.capture(&recording.scratch, &arguments);
    let mut terminal = shell.start(&recording.scratch);
    terminal.run(&format!("echo {}", Payload::marker()));
    terminal.run("false");
    terminal.run("for i in 1 2");
    terminal.run("do true; done");
    terminal.run("mkdir $'\\xff' && cd $'\\xff'");
    terminal.run("echo é");
    terminal.enter("exit 7");
    terminal.wait_for_end();
    let records = records(&capture.stop());
    assert!(records >= 6, "{records}");
    recording.assert_equal();
    recording.assert_no_har(records, 0);
}

#[test]
fn statements_become_what_would_have_been_written() {
    needs_bpf!();
    let recording = Recording::new();
    let server = Server::start(&recording.scratch, "trixie");
    let (file, files) = (server.file(), recording.destinations());
    let mut arguments = vec!["--postgres", file.to_str().unwrap()];
    arguments.extend(files.iter().map(String::as_str));
    let capture = shells::capture("postgres", &recording.scratch, &arguments);
    let mut client = server.connect();
    assert_eq!(client.query(&format!("select 'é {}'", Payload::marker())), Ok(()));
    assert_eq!(client.query("select * from gone"), Err("42P01".to_owned()));
    assert_eq!(client.prepare("s", "select 1"), Ok(()));
    assert_eq!(client.execute("s"), Ok(()));
    drop(client);
    let records = records(&capture.stop());
    assert!(records >= 5, "{records}");
    recording.assert_equal();
    recording.assert_no_har(0, records);
}

#[test]
fn what_is_no_event_is_named_and_left_out() {
    let scratch = Scratch::new();
    let odd = scratch.write("odd", "{\"kind\":\"data\"}\nnot json\n");
    let outcome = capture::run(["convert", odd.to_str().unwrap(), "--to", "text"]);
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.stdout.is_empty());
    for word in ["odd", "2 entries", "line 1"] {
        assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
    }
}
