//! Changes under load: every call is captured once.

use super::Served;
use e2e::line::{self, Direction};
use e2e::load::Load;
use e2e::nginx::Nginx;
use e2e::peer::libssl;
use e2e::stream::{self, streams};
use e2e::{Scratch, cgroup, digest, needs_bpf};
use serde_json::json;
use std::time::Duration;

const CHANGES: usize = 100;
/// More than the changes take on a machine that is busy with other things.
const SECONDS: u64 = 300;

#[test]
fn a_hundred_changes_under_load_miss_nothing() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let served = Served::start(&scratch, &[]);
    // Moderate: a capture of everything while others use this machine too must keep up.
    let mut load = Load::start(&nginx, "small", 4, Duration::from_secs(SECONDS));
    let (wrk, worker) = (load.pid(), nginx.workers[0]);
    let group = cgroup::root();
    // Every one leaves both ends of the load captured.
    let cycle = [
        json!({ "pid": [wrk, worker] }),
        json!({ "truncate_size": 1 << 20 }),
        json!({ "pid": 0 }),
        json!({ "cgroup_path": group }),
        json!({ "openssl": libssl() }),
        json!({ "cgroup_path": "", "pid": [worker, wrk, std::process::id()] }),
        json!({ "truncate_size": 0 }),
        json!({ "openssl": "" }),
        json!({ "cgroup_path": group, "pid": 0 }),
        json!({ "cgroup_path": "" }),
    ];
    let mut replaced = 0;
    for change in cycle.iter().cycle().take(CHANGES) {
        let answer = served.configure(&change.to_string());
        assert_eq!(answer.code(), 0, "{change}: {answer:?}");
        replaced += u32::from(answer.json()["data"]["probes"] == "replaced");
    }
    assert!(load.is_running(), "there was load during all changes");
    let report = load.stop();
    assert_eq!(report.failures, Vec::<String>::new());
    nginx.stop();
    let captured = served.capture.stop();
    assert!(captured.status.success(), "{:?}", captured.stderr);
    assert_eq!(replaced, CHANGES as u32 * 6 / 10);

    // No hole and nothing twice: `streams` looks at every offset.
    let lines = line::read(&captured.stdout);
    let (reader, writer) = (streams(&lines, &[wrk]), streams(&lines, &[worker]));
    let written = stream::of(&writer, Direction::Send);
    let mut responses = 0;
    for read in stream::of(&reader, Direction::Recv) {
        let write =
            written.iter().find(|write| write.local == read.remote && write.remote == read.local);
        let write = write.expect("the server's end of the connection");
        assert_eq!(digest(&read.bytes), digest(&write.bytes[..read.bytes.len()]));
        let head = b"HTTP/1.1 200 OK\r\n";
        responses += read.bytes.windows(head.len()).filter(|bytes| bytes == head).count() as u64;
    }
    let counted = report.requests..=report.requests + 8;
    assert!(counted.contains(&responses), "{responses} responses, wrk says {}", report.requests);
}
