//! The HTTP interface: its replies, and what a body changes.

use super::Served;
use e2e::nginx::Nginx;
use e2e::peer::libssl;
use e2e::process::{command, run, run_with_input};
use e2e::{Scratch, needs_bpf};
use serde_json::json;

#[test]
fn a_bad_body_gets_its_code_and_changes_nothing() {
    needs_bpf!();
    let scratch = Scratch::new();
    let served = Served::start(&scratch, &[]);
    let before = served.config();
    let gone = run(&mut command("true")).pid;
    let no_process = format!(r#"{{"pid":{gone}}}"#);
    for (path, body, status, code) in [
        ("/tls", "{", 400, 4),
        ("/tls", "[]", 400, 4),
        ("/tls", "", 400, 4),
        ("/tls", r#"{"pid":"1"}"#, 400, 4),
        ("/tls", r#"{"uid":-1}"#, 400, 4),
        ("/tls", r#"{"nonsense":1}"#, 400, 4),
        ("/tls", r#"{"bashpath":"/bin/bash"}"#, 400, 4),
        ("/tls", r#"{"openssl":"/nonexistent/libssl.so"}"#, 400, 5),
        ("/tls", r#"{"uid":65534,"openssl":"/bin/true"}"#, 400, 5),
        ("/tls", r#"{"uid":65534,"cgroup_path":"/tmp"}"#, 400, 5),
        ("/tls", r#"{"is_hex":true}"#, 400, 5),
        ("/tls", r#"{"per_cpu_map_size":1234}"#, 400, 5),
        ("/tls", r#"{"logger_addr":"/tmp/elsewhere"}"#, 400, 5),
        ("/tls", no_process.as_str(), 400, 5),
        ("/bash", "{}", 400, 5),
        ("/tls", r#"{"pcapfilter":"port 443"}"#, 400, 5),
        ("/nonsense", "{}", 404, 3),
    ] {
        let answer = served.ask(path, &["--data-raw", body]);
        assert_eq!((answer.status, answer.code()), (status, code), "{path} {body}: {answer:?}");
        assert_ne!(answer.json()["msg"], "", "a reason");
    }
    assert_eq!(served.ask("/tls", &[]).status, 405, "GET");
    assert_eq!(served.config(), before);
    served.capture.stop().assert_whole();
}

#[test]
fn both_versions_of_the_keys_are_understood_in_any_case() {
    needs_bpf!();
    let scratch = Scratch::new();
    let served = Served::start(&scratch, &[]);
    let library = libssl();
    let library = library.to_str().unwrap();
    for path in ["/tls", "/openssl", "/boringssl"] {
        let answer = served.ask(path, &["--data-raw", r#"{"Truncate_Size":7}"#]);
        assert_eq!((answer.status, answer.code()), (200, 0), "{answer:?}");
        assert_eq!(answer.json()["module_type"], "EBPFProbeOPENSSL");
    }
    assert_eq!(served.config()["truncate_size"], 7);
    for key in ["openssl", "OpensslPath"] {
        let answer = served.configure(&json!({ key: library }).to_string());
        assert_eq!(answer.code(), 0, "{answer:?}");
        assert_eq!(served.config()["files"], json!([library]));
        assert_eq!(served.configure(&json!({ key: "" }).to_string()).code(), 0);
        assert_eq!(served.config()["files"], json!([]));
    }
    // What a client in Go sends when it wants user 65534 alone.
    let all = r#"{"pid":0,"uid":65534,"listen":"","truncate_size":0,"per_cpu_map_size":0,"is_hex":false,
        "debug":false,"btf_mode":0,"byte_code_file_mode":0,"logger_addr":"","logger_type":0,
        "event_collector_addr":"","ecapture_q":"","openssl":"","model":"","pcapfile":"","keylog":"",
        "ifname":"","pcapfilter":"","sslversion":"","cgrouppath":""}"#;
    let answer = served.configure(all);
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(served.config()["uid"], 65534);
    served.capture.stop();
}

#[test]
fn filters_take_effect() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let served = Served::start(&scratch, &[]);
    let fetch = || {
        let mut curl = e2e::curl::curl(e2e::curl::Http::V1, &nginx.certificate.certificate);
        run(curl.arg(nginx.url("small"))).success().pid
    };
    assert_eq!(served.configure(r#"{"uid":65534}"#).json()["data"]["probes"], "kept");
    let not_that_user = fetch();
    let worker = nginx.workers[0];
    let answer = served.configure(&json!({ "uid": 0, "pid": worker }).to_string());
    assert_eq!(answer.json()["data"]["probes"], "replaced", "{answer:?}");
    let only_the_server = fetch();
    assert_eq!(served.configure(r#"{"pid":0}"#).code(), 0);
    let everybody = fetch();
    nginx.stop();
    let captured = served.capture.stop();
    let lines = e2e::line::read(&captured.stdout);
    let has = |pid| lines.iter().any(|line| line.pid == pid);
    assert!(!has(not_that_user), "the client of another user");
    assert!(!has(only_the_server), "a client that is not the server");
    assert!(has(everybody), "a client when there is no filter");
    let requests = lines.iter().filter(|line| {
        line.pid == worker && line.data().is_some_and(|data| data.starts_with(b"GET /small"))
    });
    assert_eq!(requests.count(), 2, "requests that the server read under its two filters");
}

#[test]
fn prometheus_can_read_the_metrics() {
    needs_bpf!();
    let scratch = Scratch::new();
    let served = Served::start(&scratch, &[]);
    assert_eq!(served.configure(r#"{"nonsense":1}"#).code(), 4);
    assert_eq!(served.configure(r#"{"truncate_size":9}"#).code(), 0);
    assert_eq!(served.configure(r#"{"pid":4194304}"#).code(), 5);
    let metrics = served.ask("/metrics", &[]);
    assert_eq!(metrics.status, 200);
    let script = "
import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.type in ('counter', 'gauge'), family
    assert family.documentation, family
    for sample in family.samples:
        print(sample.name, sorted(sample.labels.items()), sample.value)
";
    let mut python = command("python3");
    let parsed = run_with_input(python.args(["-c", script]), metrics.body.as_bytes()).success();
    let parsed = String::from_utf8(parsed.stdout).unwrap();
    for expected in [
        "ecapture_configuration_changes_total [] 1.0\n",
        "ecapture_configuration_refusals_total [] 1.0\n",
        "ecapture_plaintext_bytes_total [('direction', 'send')] ",
        "ecapture_lost_events_total [] ",
    ] {
        assert!(parsed.contains(expected), "{expected:?} in {parsed}");
    }
    let stats = served.ask("/stats", &[]).json();
    assert!(stats["bytes"]["send"].is_u64(), "{stats}");
    assert_eq!(served.ask("/health", &[]).body, "ok\n");
    served.capture.stop();
}
