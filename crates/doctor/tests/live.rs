//! The examination of this host. Without rights it must say so; with rights it must find what the
//! kernel here can do. Skipped in the latter part without root, unless `ECAPTURE_REQUIRE_BPF=1`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use doctor::{Group, Library, Status, run};
use std::os::unix::process::CommandExt;
use std::process::Command;

fn is_root() -> bool {
    discover::process::uid(std::process::id()) == Some(0)
}

fn libraries() -> [Library; 1] {
    [Library {
        path: "/usr/lib/libssl.so.3".into(),
        description: "OpenSSL 3.0.17".into(),
        pids: vec![std::process::id()],
    }]
}

#[test]
fn root_finds_capture_possible_here() {
    if !is_root() {
        assert!(std::env::var_os("ECAPTURE_REQUIRE_BPF").is_none_or(|v| v != "1"), "needs root");
        eprintln!("skipped: needs root");
        return;
    }
    let report = run(&libraries());
    assert!(report.can_capture, "{report}");
    let watching = report.lines.iter().find(|line| line.name == "watching for new libraries");
    assert_eq!(watching.unwrap().status, Status::Ok, "{report}");
}

#[test]
fn every_fault_comes_with_what_follows_and_what_to_do() {
    for line in run(&[]).lines {
        assert_eq!(line.status == Status::Ok, line.consequence.is_none(), "{line:?}");
        assert_eq!(line.status == Status::Ok, line.remedy.is_none(), "{line:?}");
        assert!(!line.detail.is_empty(), "{line:?}");
    }
}

const NOBODY: u32 = 65534;

/// Run by the test below as another user.
#[test]
fn examined_without_rights() {
    if is_root() {
        return;
    }
    let report = run(&libraries());
    assert!(!report.can_capture, "{report}");
    let bpf = report.lines.iter().find(|line| line.name == "CAP_BPF").unwrap();
    assert_eq!(bpf.status, Status::Missing);
    let hooks: Vec<_> = report.lines.iter().filter(|line| line.group == Group::Hooks).collect();
    assert!(hooks.iter().any(|line| line.essential && line.status == Status::Missing));
    assert!(hooks.iter().all(|line| line.status != Status::Ok), "{report}");
}

#[test]
fn a_user_without_rights_is_told_what_is_missing() {
    if !is_root() {
        eprintln!("skipped: it is the case anyway");
        return;
    }
    // The test program may lie where other users can't reach it.
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("live");
    std::fs::copy("/proc/self/exe", &program).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), Clone::clone(&open)).unwrap();
    std::fs::set_permissions(&program, open).unwrap();
    let output = Command::new(program)
        .args(["--exact", "examined_without_rights"])
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}
