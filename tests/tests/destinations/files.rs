//! Files that rotate.

use super::{Reference, lines};
use e2e::nginx::Nginx;
use e2e::process::{command, run};
use e2e::{Scratch, needs_bpf};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Complete files in the order of time, then the current one.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    // `events.json` sorts behind `events-….json`.
    assert_eq!(files.last(), Some(&folder.join("events.json")), "{files:?}");
    files
}

#[test]
fn the_files_together_are_the_stream() {
    needs_bpf!();
    for (flags, read) in [
        (&["--event-rotate-size", "1"][..], None),
        (&["--eventroratesize", "1", "--event-compress", "gzip"][..], Some("gz")),
    ] {
        let scratch = Scratch::new();
        let nginx = Nginx::start(&scratch);
        let folder = scratch.join("events");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("events.json").display().to_string();
        // The reference rotates too then: it is asked for in another way.
        let pid = nginx.workers[0].to_string();
        let arguments = ["--output", "-", "--eventaddr", &path, "--pid", &pid];
        let capture = e2e::Capture::raw(&scratch, &[&arguments, flags].concat());
        let output = capture.stdout().to_owned();
        let reference = Reference { nginx, capture, output };
        reference.events(30_000);
        let (captured, output) = reference.stop();
        captured.assert_whole();
        let files = files(&folder);
        let mut all = Vec::new();
        for file in &files {
            let complete = *file != folder.join("events.json");
            let content = if complete && let Some(end) = read {
                assert_eq!(file.extension().unwrap(), end);
                run(command("gzip").arg("-dc").arg(file)).success().stdout
            } else {
                fs::read(file).unwrap()
            };
            assert!(content.len() <= 1_000_000 && content.ends_with(b"\n"), "{}", file.display());
            all.extend_from_slice(&content);
        }
        assert!(all == output, "{files:?}");
        assert_eq!(files.len(), output.len().div_ceil(1_000_000).max(files.len()));
        assert!(files.len() > 5, "{files:?}");
    }
}

#[test]
fn only_so_many_complete_files_are_kept() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let folder = scratch.join("events");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("events.json").display().to_string();
    // Left by an earlier run.
    fs::write(&path, "earlier\n").unwrap();
    fs::write(folder.join("events-of-somebody.json"), "other").unwrap();
    let flags =
        ["--eventaddr", &path, "--event-rotate-size", "1", "--event-keep", "2", "--output", "-"];
    let pid = nginx.workers[0].to_string();
    let capture = e2e::Capture::raw(&scratch, &[&flags[..], &["--pid", &pid]].concat());
    let output = capture.stdout().to_owned();
    assert_eq!(files(&folder).len(), 3, "the earlier one is a complete one");
    let reference = Reference { nginx, capture, output };
    reference.events(20_000);
    let (captured, output) = reference.stop();
    captured.assert_whole();
    let files = files(&folder);
    let ours: Vec<_> =
        files.iter().filter(|path| !path.ends_with("events-of-somebody.json")).collect();
    assert_eq!((files.len(), ours.len()), (4, 3), "{files:?}");
    let kept: Vec<u8> = ours.iter().flat_map(|path| fs::read(path).unwrap()).collect();
    assert!(output.ends_with(&kept), "the newest");
}

#[test]
fn a_killed_capture_leaves_whole_lines_but_for_the_last() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let path = scratch.join("events.json").display().to_string();
    let mut reference = Reference::start(&scratch, nginx, &["--eventaddr", &path]);
    reference.events(10_000);
    reference.capture.process().signal(Signal::KILL);
    reference.capture.process().wait();
    let (events, written) = (fs::read(&path).unwrap(), fs::read(&reference.output).unwrap());
    reference.nginx.stop();
    let whole = &events[..=events.iter().rposition(|byte| *byte == b'\n').unwrap()];
    for line in lines(whole) {
        serde_json::from_str::<Value>(line).unwrap();
    }
    // Both have everything that was handed over: the one or the other one batch more.
    let common = whole.len().min(written.len());
    assert!(events[..common] == written[..common]);
    assert!(lines(whole).len() > 9_000);
}
