//! However the tool ends, the programs it watched go on as if nothing had been.

use e2e::curl::{Http, curl};
use e2e::load::Load;
use e2e::memory::{assert_unwatched, patched_offsets};
use e2e::nginx::Nginx;
use e2e::process::{command, run};
use e2e::{Capture, Scratch, needs_bpf};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// The ids of the BPF programs, maps and links that a process holds open.
fn bpf_objects(pid: u32) -> BTreeSet<(&'static str, String)> {
    let mut objects = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap() {
        let info = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        for (key, kind) in [("prog_id:", "prog"), ("map_id:", "map"), ("link_id:", "link")] {
            let id = info.lines().find_map(|line| line.strip_prefix(key));
            objects.extend(id.map(|id| (kind, id.trim().to_owned())));
        }
    }
    objects
}

/// Those of them that the kernel still has.
fn still_there(objects: &BTreeSet<(&'static str, String)>) -> BTreeSet<(&'static str, String)> {
    let exists = |kind: &str, id: &str| {
        run(command("bpftool").args([kind, "show", "id", id])).status.success()
    };
    objects.iter().filter(|(kind, id)| exists(kind, id)).cloned().collect()
}

/// Waits until the kernel has freed them: it does so some time after their holder's death, and no
/// event says when.
#[track_caller]
fn assert_freed(objects: &BTreeSet<(&'static str, String)>) {
    let end = Instant::now() + Duration::from_secs(10);
    let mut left = still_there(objects);
    while !left.is_empty() && Instant::now() < end {
        left = still_there(&left);
    }
    assert_eq!(left, BTreeSet::new(), "still in the kernel");
}

/// Puts nginx and wrk under load, ends a capture by this signal in the midst of it, and requires that
/// nobody notices.
fn end_under_load(signal: Signal) {
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let worker = nginx.workers[0];
    assert_unwatched(worker, "libssl.so.3");
    let load = Load::start(&nginx, "small", 16, Duration::from_secs(6));
    let mut capture = Capture::raw(&scratch, &[]);
    let objects = bpf_objects(capture.pid());
    assert!(objects.iter().any(|(kind, _)| *kind == "prog"), "it has programs loaded");
    assert_ne!(patched_offsets(worker, "libssl.so.3"), Vec::<u64>::new(), "it has breakpoints");
    capture.process().signal(signal);
    capture.process().wait();

    // The next 10 000 requests, on one connection and on many, while the load goes on.
    let mut client = curl(Http::V1, &nginx.certificate.certificate);
    client.args(["--output", "/dev/null", "--write-out", "%{http_code}\\n"]);
    let done = run(client.arg(nginx.url("small?[1-10000]"))).success();
    let statuses = String::from_utf8(done.stdout).unwrap();
    assert_eq!(statuses.lines().filter(|status| *status == "200").count(), 10_000);
    let report = load.finish();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert!(report.requests > 0);
    assert_eq!(patched_offsets(worker, "libssl.so.3"), Vec::<u64>::new(), "a breakpoint stayed");
    assert_freed(&objects);
    nginx.stop();
}

#[test]
fn killed_under_load() {
    needs_bpf!();
    end_under_load(Signal::KILL);
}

#[test]
fn terminated_under_load() {
    needs_bpf!();
    end_under_load(Signal::TERM);
}

#[test]
fn interrupted_under_load() {
    needs_bpf!();
    end_under_load(Signal::INT);
}

#[test]
fn crashed_under_load() {
    needs_bpf!();
    end_under_load(Signal::ABORT);
}
