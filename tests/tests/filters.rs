//! Whose traffic is captured: by process, user, control group and library.

use e2e::capture::run as ecapture;
use e2e::certificate::Certificate;
use e2e::cgroup::{self, Cgroup};
use e2e::curl::{Http, curl};
use e2e::memory::{assert_unwatched, patched_offsets};
use e2e::nginx::Nginx;
use e2e::peer::{Language, Server, Waiting};
use e2e::process::{command, run};
use e2e::stream::streams;
use e2e::{Capture, Line, Payload, Scratch, needs_bpf};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// A server for `count` connections, and that many clients that wait for their go-ahead.
struct Scene {
    scratch: Scratch,
    server: Server,
    clients: Vec<Waiting>,
}

impl Scene {
    fn new(count: usize) -> Self {
        Self::with_libraries(&vec![None; count])
    }

    /// The same with libraries to be found in these folders first.
    fn with_libraries(folders: &[Option<PathBuf>]) -> Self {
        let scratch = Scratch::new();
        let certificate = Certificate::new(&scratch);
        let content = Payload::text(1000);
        let server =
            Server::start(&scratch, &certificate, Language::Python, folders.len(), 1000, &content);
        let clients = folders.iter().map(|folder| {
            let mut client = e2e::peer::client(
                &scratch,
                &certificate,
                Language::Python,
                server.port,
                1,
                &content,
                1000,
            );
            if let Some(folder) = folder {
                client.env("LD_LIBRARY_PATH", folder);
            }
            Waiting::start(client)
        });
        let clients = clients.collect();
        Self { scratch, server, clients }
    }

    fn pid(&self, client: usize) -> u32 {
        self.clients[client].pid()
    }

    /// Lets all clients go; gives what was captured of them under these flags.
    fn capture(self, arguments: &[&str]) -> Vec<Line> {
        let capture = Capture::raw(&self.scratch, arguments);
        for client in self.clients {
            client.run();
        }
        self.server.finish();
        capture.stop().lines()
    }
}

fn pids(lines: &[Line]) -> BTreeSet<u32> {
    lines.iter().map(|line| line.pid).collect()
}

/// A copy of the distribution's libssl, in a folder of its own.
fn copy_of_libssl(scratch: &Scratch, folder: &str) -> PathBuf {
    let original = e2e::peer::libssl();
    let copy = scratch.join(folder).join(original.file_name().unwrap());
    fs::create_dir(scratch.join(folder)).unwrap();
    fs::copy(original, &copy).unwrap();
    copy
}

#[test]
fn one_process() {
    needs_bpf!();
    let scene = Scene::new(2);
    let wanted = scene.pid(1);
    let lines = scene.capture(&["--pid", &wanted.to_string()]);
    assert_eq!(pids(&lines), [wanted].into());
    assert_eq!(streams(&lines, &[wanted]).iter().map(|all| all.bytes.len()).sum::<usize>(), 2000);
}

#[test]
fn a_list_of_processes() {
    needs_bpf!();
    let scene = Scene::new(3);
    let wanted = [scene.pid(0), scene.pid(2)];
    let lines = scene.capture(&["--pid", &format!("{},{}", wanted[0], wanted[1])]);
    assert_eq!(pids(&lines), wanted.into());
}

#[test]
fn other_processes_get_no_breakpoint() {
    needs_bpf!();
    let scene = Scene::new(2);
    let (wanted, other) = (scene.pid(0), scene.pid(1));
    assert_unwatched(other, "libssl.so.3");
    let capture = Capture::raw(&scene.scratch, &["--pid", &wanted.to_string()]);
    assert_ne!(
        patched_offsets(wanted, "libssl.so.3"),
        Vec::<u64>::new(),
        "the wanted process has breakpoints"
    );
    assert_eq!(patched_offsets(other, "libssl.so.3"), Vec::<u64>::new(), "no other process has");
    capture.stop().assert_whole();
    assert_eq!(patched_offsets(wanted, "libssl.so.3"), Vec::<u64>::new(), "and none stays");
}

#[test]
fn a_process_that_does_not_exist_is_an_error() {
    needs_bpf!();
    let gone = run(&mut command("true")).pid.to_string();
    let failed = ecapture(["tls", "--pid", &gone]);
    assert!(!failed.status.success());
    assert!(failed.stderr.contains(&gone), "it says which: {}", failed.stderr);
    assert_eq!(failed.stdout, b"");
}

#[test]
fn one_user() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &["--uid", "65534"]);
    let mut as_root = curl(Http::V1, &nginx.certificate.certificate);
    let _ = run(as_root.arg(nginx.url("small"))).success();
    let mut as_nobody = command("setpriv");
    as_nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    let client = curl(Http::V1, &nginx.certificate.certificate);
    as_nobody.arg(client.get_program()).args(client.get_args());
    let nobody = run(as_nobody.arg(nginx.url("small"))).success().pid;
    nginx.stop();
    let lines = capture.stop().lines();
    assert_eq!(pids(&lines), [nobody].into());
    assert!(lines.iter().all(|line| line.uid == 65534));
}

#[test]
fn one_control_group() {
    needs_bpf!();
    let group = Cgroup::new();
    let scene = Scene::new(2);
    let wanted = scene.pid(1);
    group.add(wanted);
    let lines = scene.capture(&["--cgroup_path", group.path().to_str().unwrap()]);
    assert_eq!(pids(&lines), [wanted].into());
}

#[test]
fn a_folder_that_is_no_control_group_is_an_error() {
    needs_bpf!();
    let missing = cgroup::root().join("no-such-group");
    for path in [missing.to_str().unwrap(), "/tmp"] {
        let failed = ecapture(["tls", "--cgroup_path", path]);
        assert!(!failed.status.success(), "{path}");
        assert!(failed.stderr.contains(path), "it says which: {}", failed.stderr);
    }
}

#[test]
fn one_library() {
    needs_bpf!();
    let scratch = Scratch::new();
    let copy = copy_of_libssl(&scratch, "copy");
    let scene = Scene::with_libraries(&[None, Some(scratch.join("copy"))]);
    let wanted = scene.pid(1);
    let lines = scene.capture(&["--libssl", copy.to_str().unwrap()]);
    assert_eq!(pids(&lines), [wanted].into());
    assert!(lines.iter().all(|line| line.lib == copy.to_str().unwrap()), "{:?}", lines[0].lib);
}

#[test]
fn several_libraries() {
    needs_bpf!();
    let scratch = Scratch::new();
    let first = copy_of_libssl(&scratch, "first");
    let second = copy_of_libssl(&scratch, "second");
    let scene =
        Scene::with_libraries(&[Some(scratch.join("first")), None, Some(scratch.join("second"))]);
    let wanted = [scene.pid(0), scene.pid(2)];
    let [first, second] = [first.to_str().unwrap(), second.to_str().unwrap()];
    let lines = scene.capture(&["--libssl", first, "--libssl", second]);
    assert_eq!(pids(&lines), wanted.into());
}
