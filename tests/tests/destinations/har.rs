//! `--har`: 200 exchanges of a real client, by the format's own schema.

use e2e::curl::{Http, curl};
use e2e::nginx::Nginx;
use e2e::process::{command, run};
use e2e::{Capture, Payload, Scratch, needs_bpf};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The reader that others use: `har-validator`, which has the schema of HAR 1.2. `None` if it can't be had.
fn validator() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("har-validator-5");
    if !folder.join("node_modules/har-validator/package.json").exists() {
        fs::create_dir_all(&folder).unwrap();
        let outcome = run(command("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .arg("har-validator@5.1.5"));
        if !outcome.status.success() {
            eprintln!("skipped: npm cannot fetch har-validator: {}", outcome.stderr);
            return None;
        }
    }
    Some(folder)
}

#[test]
fn two_hundred_exchanges_are_valid_and_whole() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let bodies: Vec<Vec<u8>> = (0..200).map(|number| Payload::text(100 + 37 * number)).collect();
    for (number, body) in bodies.iter().enumerate() {
        nginx.serve(&format!("page-{number}"), body);
    }
    let (har, pid) = (scratch.join("session.har"), nginx.workers[0].to_string());
    let path = har.display().to_string();
    let capture = Capture::parsed(&scratch, &["--har", &path, "--pid", &pid]);
    for (http, range) in [(Http::V1, "0-99"), (Http::V2, "100-199")] {
        let mut client = curl(http, &nginx.certificate.certificate);
        client.args(["--output", "/dev/null", "-H", "X-Odd: \u{e9}"]);
        let _ = run(client.arg(nginx.url(&format!("page-[{range}]")))).success();
    }
    nginx.stop();
    capture.stop().assert_whole();

    let document: Value = serde_json::from_slice(&fs::read(&har).unwrap()).unwrap();
    let entries = document["log"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 200);
    for (number, (entry, body)) in entries.iter().zip(&bodies).enumerate() {
        let url = entry["request"]["url"].as_str().unwrap();
        assert!(url.ends_with(&format!("/page-{number}")), "{url}");
        assert_eq!(entry["response"]["status"], 200);
        let content = &entry["response"]["content"];
        assert_eq!(content["text"].as_str().unwrap().as_bytes(), body, "{url}");
        assert_eq!(content["size"], body.len() as u64);
    }
    let Some(folder) = validator() else { return };
    let script =
        "require('har-validator').har(JSON.parse(require('fs').readFileSync(process.argv[1])))
        .then(() => console.log('valid'), error => { console.error(error); process.exit(1) })";
    let mut node = command("node");
    let outcome = run(node.current_dir(&folder).args(["-e", script]).arg(&har)).success();
    assert_eq!(outcome.stdout, b"valid\n", "{}", outcome.stderr);
}
