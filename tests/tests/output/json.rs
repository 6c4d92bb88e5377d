//! `--format json`: valid by its schema, and whole.

use super::request;
use e2e::curl::{Http, curl};
use e2e::nginx::Nginx;
use e2e::peer::{Exchange, Language, Side};
use e2e::process::run;
use e2e::{Capture, Captured, Direction, Payload, Scratch, needs_bpf};
use serde_json::Value;
use std::path::Path;

/// Every line of a capture is as the published schema says.
fn assert_valid(captured: &Captured) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.schema.json");
    let schema = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = captured.text();
    assert!(!text.is_empty());
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{line}");
    }
}

#[test]
fn parsed_lines_are_valid() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    nginx.serve("text", &Payload::text(3000));
    nginx.serve("binary", &Payload::binary(3000));
    nginx.serve("large", &Payload::text(3 << 20));
    nginx.serve("gzip/text", &Payload::text(3000));
    let capture = Capture::parsed(&scratch, &[]);
    for http in [Http::V1, Http::V2] {
        let mut client = curl(http, &nginx.certificate.certificate);
        client.args(["--compressed", "--output", "/dev/null", "-H", "X-Odd: \u{e9}\u{7f}"]);
        client.args(["text", "binary", "large", "gzip/text"].map(|name| nginx.url(name)));
        // Only the first URL has an --output.
        let _ = run(client.arg("--include")).success();
    }
    let side = |sends| Side { language: Language::Python, sends };
    Exchange::prepare(&scratch, &side(Payload::binary(100)), &side(Payload::text(100)), 1).run();
    let captured = capture.stop();
    captured.assert_whole();
    assert_valid(&captured);
}

#[test]
fn unparsed_lines_are_valid() {
    needs_bpf!();
    let scratch = Scratch::new();
    let capture = Capture::raw(&scratch, &[]);
    let side = |sends| Side { language: Language::Python, sends };
    Exchange::prepare(&scratch, &side(Payload::binary(100_000)), &side(Payload::text(100_000)), 2)
        .run();
    let captured = capture.stop();
    captured.assert_whole();
    assert_valid(&captured);
}

#[test]
fn a_line_says_who() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &[]);
    let client = request(&nginx, "small");
    let workers = nginx.workers.clone();
    nginx.stop();
    let lines = capture.stop().lines();
    let of = |pid: u32| lines.iter().find(|line| line.pid == pid).unwrap();
    let (client, server) = (of(client), of(workers[0]));
    assert_eq!((client.comm.as_str(), server.comm.as_str()), ("curl", "nginx"));
    // curl has ended before anybody could ask for its path.
    assert!(client.exe.as_ref().is_none_or(|exe| exe == "/usr/bin/curl"), "{:?}", client.exe);
    assert_eq!(server.exe.as_deref(), Some("/usr/sbin/nginx"));
    assert_eq!((client.uid, client.tid), (0, client.pid));
    assert!(client.lib.contains("libssl.so"), "{}", client.lib);
    assert!(client.ts.contains('T') && client.ts.len() > "2026-01-01T00:00:00Z".len());
}

#[test]
fn the_times_of_a_process_never_go_back() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &[]);
    let client = request(&nginx, "small?[1-200]");
    nginx.stop();
    let lines = capture.stop().lines();
    let times: Vec<&str> =
        lines.iter().filter(|line| line.pid == client).map(|line| line.ts.as_str()).collect();
    assert!(times.len() >= 400);
    // All in one zone and of one width: so the order of the text is the order of the times.
    assert!(times.is_sorted());
}

#[test]
fn tsize_cuts_and_says_so() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let content = Payload::text(5000);
    nginx.serve("file", &content);
    let capture = Capture::parsed(&scratch, &["--tsize", "10"]);
    let client = request(&nginx, "file");
    nginx.stop();
    let captured = capture.stop();
    let lines = captured.lines();
    let response = lines
        .iter()
        .find(|line| line.pid == client && line.dir == Direction::Recv)
        .expect("the response");
    assert_eq!(response.body().unwrap(), content[..10]);
    assert_eq!(response.len, Some(5000), "the true length");
    assert_eq!(captured.text().lines().filter(|line| line.contains("\"cut\":true")).count(), 2);
}
