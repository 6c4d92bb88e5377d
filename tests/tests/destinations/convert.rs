//! `ecapture convert`: the same as if the capture had written it.

use e2e::curl::{Http, curl};
use e2e::nginx::Nginx;
use e2e::process::run;
use e2e::{Capture, Payload, Scratch, capture, needs_bpf};
use std::fs;

#[test]
fn what_was_recorded_becomes_what_would_have_been_written() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    nginx.serve("binary", &Payload::binary(50_000));
    nginx.serve("large", &Payload::text(3 << 20));
    nginx.serve("gzip/text", &Payload::text(3000));
    let path = |name: &str| scratch.join(name).display().to_string();
    let (json, text, binary) = (path("e.json"), path("e.txt"), path("e.pb"));
    let (har, pid) = (path("e.har"), nginx.workers[0].to_string());
    let files = [format!("{text}?format=text"), format!("{binary}?format=protobuf")];
    let arguments =
        ["--output", &json, "--eventaddr", &files[0], "--eventaddr", &files[1], "--har", &har];
    let capture = Capture::parsed(&scratch, &[&arguments[..], &["--pid", &pid]].concat());
    for http in [Http::V1, Http::V2] {
        let mut client = curl(http, &nginx.certificate.certificate);
        client.args(["--compressed", "--output", "/dev/null"]);
        client.args(["small", "binary", "large", "gzip/text"].map(|name| nginx.url(name)));
        let _ = run(client.arg("--include")).success();
    }
    nginx.stop();
    capture.stop().assert_whole();
    let converted = |from: &str, to: &str| {
        let out = path("converted");
        let outcome = capture::run(["convert", from, "--to", to, "--output", &out]).success();
        assert_eq!(outcome.stderr, "");
        fs::read(&out).unwrap()
    };
    for from in [&json, &binary] {
        assert!(converted(from, "json") == fs::read(&json).unwrap(), "{from}");
        assert!(converted(from, "text") == fs::read(&text).unwrap(), "{from}");
    }
    assert!(converted(&binary, "har") == fs::read(&har).unwrap());
    // Lines do not say when a message ended; all else is there.
    assert!(converted(&json, "har").len() > 3 << 20);
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
