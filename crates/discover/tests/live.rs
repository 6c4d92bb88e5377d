//! Discovery on this host, with real processes. Watching needs root: without it those tests are
//! skipped, unless `ECAPTURE_REQUIRE_BPF=1`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use discover::{Finder, NewMapping, Notice, Origin, Scope, Watcher, companion, maps};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running program that has a copy of some library mapped, which nobody else has.
struct Stage {
    dir: TempDir,
    child: Child,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(some_library(), dir.path().join("copy.so")).unwrap();
        let child = Command::new("cat")
            .env("LD_PRELOAD", dir.path().join("copy.so"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { dir, child }
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("copy.so")
    }

    /// Waits until the program runs its own code, which is after the loader's.
    fn wait_until_loaded(&mut self) {
        use std::io::Write;
        self.child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        self.child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    }

    fn end(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.end();
    }
}

/// A shared library that this test itself uses.
fn some_library() -> PathBuf {
    let text = std::fs::read("/proc/self/maps").unwrap();
    maps::executable(&text)
        .map(|mapping| mapping.path())
        .find(|path| path.to_string_lossy().contains("libgcc_s"))
        .expect("Rust programs use libgcc_s")
}

fn has_rights() -> bool {
    if is_root() {
        return true;
    }
    assert!(std::env::var_os("ECAPTURE_REQUIRE_BPF").is_none_or(|v| v != "1"), "needs root");
    eprintln!("skipped: needs root");
    false
}

fn is_root() -> bool {
    discover::process::uid(std::process::id()) == Some(0)
}

/// Waits for a notice, no longer than until `deadline`.
fn await_notice<T>(
    watcher: &mut Watcher,
    deadline: Instant,
    mut wanted: impl FnMut(Notice) -> Option<T>,
) -> Option<T> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut found = None;
    while found.is_none() {
        let left = deadline.checked_duration_since(Instant::now())?;
        let mut fds: Vec<_> =
            watcher.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        poll(&mut fds, Some(&Timespec::try_from(left).unwrap())).unwrap();
        watcher.drain(|notice| {
            if found.is_none() {
                found = wanted(notice);
            }
        });
    }
    found
}

fn mapping_of(path: &Path) -> impl FnMut(Notice) -> Option<NewMapping> {
    move |notice| match notice {
        Notice::Mapping(mapping) if mapping.path == path => Some(mapping),
        _ => None,
    }
}

#[test]
fn a_new_mapping_is_told_within_100_ms_and_can_be_opened() {
    if !has_rights() {
        return;
    }
    let mut watcher = Watcher::open().unwrap();
    let before = Instant::now();
    let mut stage = Stage::new();
    let deadline = before + Duration::from_millis(100);
    let mapping = await_notice(&mut watcher, deadline, mapping_of(&stage.library()))
        .expect("the mapping was not told within 100 ms");
    assert_eq!(mapping.pid, stage.child.id());
    assert!(!mapping.deleted);
    stage.wait_until_loaded();
    let mut finder = Finder::new(|_: &[u8]| true);
    let candidate = finder.look_at(&mapping).unwrap().unwrap();
    assert_eq!(candidate.path, stage.library());
    assert_eq!(candidate.pids, [stage.child.id()]);
    let mut contents = Vec::new();
    (&candidate.file).read_to_end(&mut contents).unwrap();
    assert_eq!(contents, std::fs::read(some_library()).unwrap());
    assert!(finder.look_at(&mapping).unwrap().is_none(), "a file is told once");
}

#[test]
fn forks_and_the_end_of_followed_processes_are_told() {
    if !has_rights() {
        return;
    }
    let mut watcher = Watcher::open().unwrap();
    let mut shell = Command::new("sh")
        .args(["-c", "read line; true | true; exit 0"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(watcher.follow(shell.id()));
    drop(shell.stdin.take());
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut children = Vec::new();
    let mut ended = Vec::new();
    await_notice(&mut watcher, deadline, |notice| {
        match notice {
            Notice::Fork { parent, child, .. } if parent == shell.id() => children.push(child),
            Notice::Exit { pid, .. } => ended.push(pid),
            _ => {}
        }
        ended.contains(&shell.id()).then_some(())
    })
    .expect("the end of the shell was not told");
    shell.wait().unwrap();
    assert_eq!(children.len(), 2);
    assert!(children.iter().all(|child| ended.contains(child)), "{children:?} {ended:?}");
    assert!(!watcher.follow(shell.id()));
}

#[test]
fn a_deleted_library_of_a_running_program_is_found() {
    if !has_rights() {
        return;
    }
    let mut stage = Stage::new();
    stage.wait_until_loaded();
    std::fs::remove_file(stage.library()).unwrap();
    let mut finder = Finder::new(|_: &[u8]| true);
    let scan = finder.scan_processes(Scope::Only(&[stage.child.id()]));
    let found = scan.candidates.iter().find(|candidate| candidate.path == stage.library());
    let found = found.expect("the deleted file is still mapped");
    let mut contents = Vec::new();
    (&found.file).read_to_end(&mut contents).unwrap();
    assert_eq!(contents, std::fs::read(some_library()).unwrap());
    assert_eq!(std::fs::read(found.open_path()).unwrap(), contents);
}

#[test]
fn a_file_is_found_once_with_all_its_processes() {
    let mut first = Stage::new();
    first.wait_until_loaded();
    let mut second =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut finder = Finder::new(|_: &[u8]| true);
    let pids = [first.child.id(), second.id()];
    std::io::Write::write_all(second.stdin.as_mut().unwrap(), b"x").unwrap();
    second.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let scan = finder.scan_processes(Scope::Only(&pids));
    assert_eq!((scan.processes, scan.unreadable), (2, 0));
    let program = scan.candidates.iter().find(|it| it.path.ends_with("cat")).unwrap();
    assert_eq!(program.pids, pids);
    assert_eq!(program.origin, Origin::Mapped);
    let own = scan.candidates.iter().find(|it| it.path == first.library()).unwrap();
    assert_eq!(own.pids, [first.child.id()]);
    let again = finder.scan_processes(Scope::Only(&pids));
    assert!(again.candidates.is_empty(), "a file is told once");
    drop(second.stdin.take());
    second.wait().unwrap();
}

#[test]
fn overwritten_contents_are_judged_again() {
    let mut stage = Stage::new();
    stage.wait_until_loaded();
    let mut asked = 0;
    let mut finder = Finder::new(|_: &[u8]| {
        asked += 1;
        false
    });
    let pids = [stage.child.id()];
    let files = finder.scan_processes(Scope::Only(&pids)).files;
    finder.scan_processes(Scope::Only(&pids));
    let file = std::fs::File::options().write(true).open(stage.library()).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    finder.scan_processes(Scope::Only(&pids));
    drop(finder);
    assert_eq!(asked, files + 1);
}

#[test]
fn the_loader_knows_a_file_only_once_and_only_elf_files() {
    let mut finder = Finder::new(|_: &[u8]| true);
    let scan = finder.scan_loader();
    let mut ids: Vec<_> = scan.candidates.iter().map(|candidate| candidate.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), scan.candidates.len());
    for candidate in &scan.candidates {
        assert!(discover::given(&candidate.path).is_ok(), "{}", candidate.path.display());
    }
}

#[test]
fn a_companion_is_the_one_that_the_process_has_mapped() {
    let mut stage = Stage::new();
    stage.wait_until_loaded();
    let beside = stage.dir.path().join("libc.so.6");
    std::fs::write(&beside, "not what the process uses").unwrap();
    let library = stage.library();
    let find = |pid, soname: &str| companion(pid, &library, OsStr::new(soname)).unwrap();
    let mapped = find(Some(stage.child.id()), "libc.so.6").unwrap();
    assert_ne!(mapped.path, beside);
    assert!(mapped.path.ends_with("libc.so.6"));
    assert_eq!(find(None, "libc.so.6").unwrap().path, beside);
    assert_eq!(find(Some(stage.child.id()), "copy.so").unwrap().path, library);
    assert!(find(None, "libnone.so").is_none());
    assert!(find(None, "../libc.so.6").is_none());
}

#[test]
fn a_scan_of_all_processes_leaves_this_one_out() {
    let mut finder = Finder::new(|_: &[u8]| true);
    let own = std::process::id();
    let scan = finder.scan_processes(Scope::All);
    assert!(scan.processes + scan.unreadable > 0);
    assert!(scan.candidates.iter().all(|candidate| !candidate.pids.contains(&own)));
}
