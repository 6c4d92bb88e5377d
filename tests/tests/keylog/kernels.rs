//! The ways that kernels without newer features take, and children of a command.

use super::Watched;
use e2e::Scratch;
use e2e::capture::ecapture;
use e2e::keylog::{assert_same, finished, own};
use e2e::nginx::Nginx;
use e2e::{Capture, process};
use std::process::Stdio;

/// Captures a shell's child, as kernels do it that lack `feature` and what is younger.
fn assert_keys_of_a_child_without(feature: &str) {
    let scratch = Scratch::new();
    let (watched, nginx) = (Watched::new(&scratch), Nginx::with_tls_1_3(&scratch));
    nginx.serve("page", b"page");
    let (log, keys) = (scratch.join("own.keys"), scratch.join("captured.keys"));
    let summary = scratch.join("summary");
    let curl = watched.curl(&nginx.certificate, &log);
    let mut command = ecapture(["tls", "-m", "keylog", "-k"]);
    command.env("ECAPTURE_WITHOUT", feature);
    command.arg(&keys).arg("--summary").arg(&summary).args(["--libssl", &watched.library(), "--"]);
    command.arg(process::program("sh")).args(["-c", "\"$@\"; exit $?", "sh"]);
    // The environment is for curl alone: the tool has nothing to do with these.
    command.arg(process::program("env"));
    for (name, value) in curl.get_envs() {
        if let Some(value) = value {
            command.arg(format!("{}={}", name.display(), value.display()));
        }
    }
    command.arg(curl.get_program()).args(curl.get_args()).arg(nginx.url("page"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let capture = Capture::start(&mut command, scratch.join("stdout"), summary).finish();
    assert!(capture.status.success(), "{}", capture.stderr.join("\n"));
    assert_same(&finished(&keys, &capture), &own(&log));
}

macro_rules! features {
    ($($test:ident = $feature:literal,)*) => {
        $(#[test]
        fn $test() {
            e2e::needs_bpf!();
            assert_keys_of_a_child_without($feature);
        })*
    };
}

features! {
    with_everything = "",
    one_event_for_each_site = "multi",
    one_program_for_each_function = "cookie",
    perf_buffers = "ringbuf",
}
