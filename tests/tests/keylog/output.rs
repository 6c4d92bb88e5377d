//! Where keys are written, and whose.

use super::Watched;
use e2e::Scratch;
use e2e::keylog::{KeyCapture, assert_same, captured, finished, own};
use e2e::nginx::Nginx;
use e2e::process::run;
use e2e::{Capture, capture};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// nginx, and curl with a library of its own.
struct Scene {
    scratch: Scratch,
    watched: Watched,
    nginx: Nginx,
}

impl Scene {
    fn new() -> Self {
        let scratch = Scratch::new();
        let (watched, nginx) = (Watched::new(&scratch), Nginx::with_tls_1_3(&scratch));
        nginx.serve("page", b"page");
        Self { scratch, watched, nginx }
    }

    /// One connection, whose keys curl adds to the file of this name.
    fn get(&self, log: &str) {
        let mut curl = self.watched.curl(&self.nginx.certificate, &self.scratch.join(log));
        assert_eq!(run(curl.arg(self.nginx.url("page"))).success().stdout, b"page");
    }
}

#[test]
fn a_line_is_in_the_file_before_the_capture_ends_and_the_file_is_private() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let capture = KeyCapture::start(&scene.scratch, &["--libssl", &scene.watched.library()]);
    scene.get("own.keys");
    let own = own(&scene.scratch.join("own.keys"));
    // Within the time that a person would wait.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while captured(capture.log()) != own {
        assert!(std::time::Instant::now() < end, "not written while the capture goes on");
        std::thread::yield_now();
    }
    let mode = fs::metadata(capture.log()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_same(&capture.stop().0, &own);
}

#[test]
fn what_another_capture_wrote_stays() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    for _ in 0..2 {
        let log = scene.scratch.join("captured.keys");
        let before = fs::read_to_string(&log).unwrap_or_default();
        let arguments =
            ["-m", "key", "-k", log.to_str().unwrap(), "--libssl", &scene.watched.library()];
        let capture = Capture::tls(&scene.scratch, &arguments);
        scene.get("own.keys");
        assert!(capture.stop().status.success());
        let after = fs::read_to_string(&log).unwrap();
        assert!(after.len() > before.len() && after.starts_with(&before));
    }
    assert_same(
        &captured(&scene.scratch.join("captured.keys")),
        &own(&scene.scratch.join("own.keys")),
    );
}

#[test]
fn a_symlink_is_refused() {
    e2e::needs_bpf!();
    let scratch = Scratch::new();
    let target = scratch.write("target", "precious");
    let link = scratch.join("link");
    symlink(&target, &link).unwrap();
    let outcome = capture::run(["tls", "-m", "keylog", "-k", link.to_str().unwrap()]);
    assert!(!outcome.status.success());
    assert!(outcome.stderr.contains("symbolic link"), "{}", outcome.stderr);
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
}

#[test]
fn standard_output_gets_nothing_but_lines() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let arguments = ["-m", "keylog", "-k", "-", "--libssl", &scene.watched.library()];
    let capture = Capture::tls(&scene.scratch, &arguments);
    scene.get("own.keys");
    let capture = capture.stop();
    assert_same(&finished(&capture.stdout, &capture), &own(&scene.scratch.join("own.keys")));
}

#[test]
fn plaintext_and_keys_in_one_run() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let log = scene.scratch.join("captured.keys");
    let library = scene.watched.library();
    let arguments = ["-m", "text,keylog", "-k", log.to_str().unwrap(), "--libssl", &library];
    let capture = Capture::raw(&scene.scratch, &arguments);
    scene.get("own.keys");
    let capture = capture.stop();
    assert_same(&finished(&log, &capture), &own(&scene.scratch.join("own.keys")));
    let received = capture.number("/bytes/recv");
    assert!(received > 4, "plaintext too: {}", capture.summary);
    assert!(!capture.lines().is_empty());
}

#[test]
fn with_pid_only_that_process_has_keys() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let [_, ssl] = e2e::version::Version::of_host().libraries();
    // nginx's worker and curl share the library; only the worker is asked for.
    let worker = scene.nginx.workers[0].to_string();
    let capture =
        KeyCapture::start(&scene.scratch, &["--pid", &worker, "--libssl", ssl.to_str().unwrap()]);
    let get = |log: &str| {
        let mut curl = e2e::curl::curl(e2e::curl::Http::V1, &scene.nginx.certificate.certificate);
        curl.env("SSLKEYLOGFILE", scene.scratch.join(log));
        assert_eq!(run(curl.arg(scene.nginx.url("page"))).success().stdout, b"page");
    };
    get("own.keys");
    let (lines, balance) = capture.stop();
    // The client's keys are the same: each would have been seen twice.
    assert_same(&lines, &own(&scene.scratch.join("own.keys")));
    assert_eq!(balance.number("/keys/duplicate"), 0, "{}", balance.summary);
}

#[test]
fn a_version_that_does_not_fit_is_told_and_not_believed() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let library = scene.watched.library();
    let arguments = ["--libssl", &library, "--ssl_version", "openssl 1.1.1g"];
    let capture = KeyCapture::start(&scene.scratch, &arguments);
    scene.get("own.keys");
    let (lines, capture) = capture.stop();
    assert_same(&lines, &own(&scene.scratch.join("own.keys")));
    let told = |line: &String| line.contains(&library) && line.contains("not openssl 1.1.1g");
    assert!(capture.stderr.iter().any(told), "{}", capture.stderr.join("\n"));
}

#[test]
fn a_library_without_keys_is_refused_by_name() {
    e2e::needs_bpf!();
    let scratch = Scratch::new();
    // It has SSL_read and SSL_write, and nothing else of a TLS library.
    let source = scratch
        .write("empty.c", "int SSL_read(void) { return 0; } int SSL_write(void) { return 1; }");
    let library = scratch.join("libempty.so");
    let mut gcc = e2e::process::command("gcc");
    let _ = run(gcc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source)).success();
    let log = scratch.join("captured.keys");
    let library = library.to_str().unwrap();
    let outcome =
        capture::run(["tls", "-m", "keylog", "-k", log.to_str().unwrap(), "--libssl", library]);
    assert!(!outcome.status.success());
    assert!(
        outcome.stderr.contains("no keys of") && outcome.stderr.contains(library),
        "{}",
        outcome.stderr
    );
}
