//! Labels that are not in memory when a probe wants to read them: a program that does not log never
//! touches them.

use e2e::Scratch;
use e2e::certificate::Certificate;
use e2e::go::{self, Build, Peer};
use e2e::keylog::{KeyCapture, assert_same, own};
use e2e::openssl::{FileServer, client};
use e2e::peer::source;
use e2e::version::Version;
use e2e::{needs_bpf, process};
use std::path::Path;

/// Takes the constant data of a file out of a process's memory.
fn page_out(pid: u32, file: &Path) {
    let mut python = process::command("python3");
    python.arg(source("page_out.py")).arg(pid.to_string()).arg(file).arg("TRAFFIC_SECRET");
    let _done = process::run(&mut python).success();
}

#[track_caller]
fn assert_keys_of_a_go_server(version: &str, build: Build) {
    let built = Peer::build(version, build);
    let (scratch, certificate) = go::certificate();
    // Pages that other processes have mapped too stay in memory.
    let alone = built.copied(scratch.join("server"));
    let server = go::Server::start(&alone, &certificate, &["-raw"]);
    let log = scratch.join("own.keys");
    let flags = ["-raw", "-workers", "2", "-calls", "1", "-sizes", "1"];
    let client = go::Client::start(&built, &server, Some(&log), &flags);
    let capture = KeyCapture::of("gotls", &scratch, &["--pid", &server.pid().to_string()]);
    page_out(server.pid(), &alone.file);
    client.run();
    server.stop();
    assert_same(&capture.stop().0, &own(&log));
}

#[test]
fn go_with_arguments_on_the_stack() {
    needs_bpf!();
    assert_keys_of_a_go_server("1.15", Build::Plain);
}

#[test]
fn go_anywhere_in_memory() {
    needs_bpf!();
    assert_keys_of_a_go_server("1.27", Build::Pie);
}

#[test]
fn openssl() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    scratch.write("page", b"page");
    let version = Version::of_host().copied(&scratch);
    let [_, library] = version.libraries();
    let mut openssl = version.openssl();
    openssl.current_dir(scratch.path());
    let server = FileServer::start(openssl, &certificate);
    let capture = KeyCapture::start(&scratch, &["--pid", &server.pid().to_string()]);
    let log = scratch.join("own.keys");
    let mut client = client(e2e::openssl::distribution(), &certificate, server.port);
    client.arg("-keylogfile").arg(&log);
    page_out(server.pid(), &library);
    let _page = process::run_with_input(&mut client, b"GET /page HTTP/1.0\r\n\r\n").success();
    server.finish();
    assert_same(&capture.stop().0, &own(&log));
}
