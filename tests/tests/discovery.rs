//! Libraries are found wherever they are and whenever they come.

use e2e::calls::{self, Calls, with_libraries};
use e2e::certificate::Certificate;
use e2e::line;
use e2e::peer::{self, Language, Server, Waiting};
use e2e::process::{command, program};
use e2e::stream::{self, streams};
use e2e::{Capture, Direction, Payload, Scratch, digest, needs_bpf};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The promise: so long after a program maps a library that was not seen before, it is captured.
const PROMISED: Duration = Duration::from_millis(100);

/// When the client starts.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    Before,
    AfterReady,
}

/// Runs one exchange of a client that is made by `client` from the usual command, and requires that
/// every byte of it was captured.
#[track_caller]
fn assert_captured(
    start: Start,
    language: Language,
    client: impl FnOnce(&Scratch, Command) -> Command,
) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let (request, response) = (Payload::text(30_000), Payload::text(40_000));
    let server =
        Server::start(&scratch, &certificate, Language::Python, 1, request.len(), &response);
    let usual =
        peer::client(&scratch, &certificate, language, server.port, 1, &request, response.len());
    let command = client(&scratch, usual);
    let (capture, client) = match start {
        Start::Before => {
            let client = Waiting::start(command);
            (Capture::raw(&scratch, &[]), client)
        }
        Start::AfterReady => {
            let mut capture = Capture::raw(&scratch, &[]);
            let waited = waited_for_processor(capture.pid());
            let client = Waiting::start(command);
            let mapped = time_of_day(SystemTime::now());
            let attached = attached_in(&mut capture, scratch.path());
            // What other programs took from the tool is not its fault.
            let waited = waited_for_processor(capture.pid()).saturating_sub(waited);
            let took = attached.saturating_sub(mapped);
            assert!(took <= PROMISED + waited, "{took:?}, of which it waited {waited:?}");
            (capture, client)
        }
    };
    let pid = client.pid();
    client.run();
    server.finish();
    // Of the whole host: what is lost of others' traffic does not matter here.
    let captured = capture.stop();
    assert!(captured.status.success());
    let streams = streams(&line::read(&captured.stdout), &[pid]);
    for (dir, expected) in [(Direction::Send, &request), (Direction::Recv, &response)] {
        let captured = stream::of(&streams, dir);
        assert_eq!(captured.len(), 1, "connections with data to {dir:?}");
        assert_eq!(digest(&captured[0].bytes), digest(expected), "{dir:?}");
    }
}

/// Waits until the tool says that it has attached to a file in `folder`; gives back the time of day
/// at which it says that was.
fn attached_in(capture: &mut Capture, folder: &Path) -> Duration {
    let to = format!("attached to {}/", folder.display());
    let line = capture.stderr().wait_for(&to, |line| line.contains(&to));
    // 2026-11-22T01:01:10.202098Z
    let (_, time) = line.split_once('T').expect("a time");
    let (time, _) = time.split_once('Z').expect("a time in UTC");
    let fields: Vec<f64> = time.split(':').map(|field| field.parse().unwrap()).collect();
    let [hours, minutes, seconds] = fields[..] else { panic!("{line}") };
    Duration::from_secs_f64((hours * 60.0 + minutes) * 60.0 + seconds)
}

/// How long it is since the day began, in UTC.
fn time_of_day(time: SystemTime) -> Duration {
    let since = time.duration_since(UNIX_EPOCH).unwrap();
    Duration::new(since.as_secs() % 86_400, since.subsec_nanos())
}

/// How long the threads of a process were ready to run but did not (`proc_pid_schedstat(5)`).
fn waited_for_processor(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let waited = threads.map(|thread| {
        let text = fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(waited.sum())
}

/// Makes a program use a copy of libssl that nobody else has.
fn with_copied_libssl(scratch: &Scratch, mut client: Command) -> Command {
    let folder = scratch.join("libraries");
    fs::create_dir(&folder).unwrap();
    let original = peer::libssl();
    fs::copy(&original, folder.join(original.file_name().unwrap())).unwrap();
    client.env("LD_LIBRARY_PATH", folder);
    client
}

/// Runs the same program with a copy of its interpreter.
fn with_copied_interpreter(scratch: &Scratch, client: &Command) -> Command {
    let copy = scratch.join("interpreter");
    fs::copy(client.get_program(), &copy).unwrap();
    let mut copied = Command::new(copy);
    copied.args(client.get_args());
    copied.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    copied
}

/// Runs a program in a mount namespace in which `folder` holds a copy of libssl on a file system
/// that nobody else can see.
fn in_mount_namespace(folder: &Path, client: &Command) -> Command {
    fs::create_dir(folder).unwrap();
    let script =
        "mount -t tmpfs none \"$1\" && cp \"$2\" \"$1\" && export LD_LIBRARY_PATH=\"$1\" &&
        shift 2 && exec \"$@\"";
    let mut unshare = command("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    unshare.arg(folder).arg(peer::libssl());
    unshare.arg(client.get_program()).args(client.get_args());
    unshare.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    unshare
}

#[test]
fn a_new_library_file_mapped_after_the_start() {
    needs_bpf!();
    assert_captured(Start::AfterReady, Language::Python, with_copied_libssl);
}

#[test]
fn a_library_outside_the_loaders_folders_in_use_before_the_start() {
    needs_bpf!();
    assert_captured(Start::Before, Language::Python, with_copied_libssl);
}

#[test]
fn an_executable_with_the_library_inside_that_runs_before_the_start() {
    needs_bpf!();
    assert_captured(Start::Before, Language::Node, |scratch, client| {
        with_copied_interpreter(scratch, &client)
    });
}

#[test]
fn an_executable_with_the_library_inside_that_starts_later() {
    needs_bpf!();
    assert_captured(Start::AfterReady, Language::Node, |scratch, client| {
        with_copied_interpreter(scratch, &client)
    });
}

#[test]
fn a_library_in_another_mount_namespace_in_use_before_the_start() {
    needs_bpf!();
    assert_captured(Start::Before, Language::Python, |scratch, client| {
        in_mount_namespace(&scratch.join("private"), &client)
    });
}

#[test]
fn a_library_in_a_mount_namespace_that_comes_later() {
    needs_bpf!();
    assert_captured(Start::AfterReady, Language::Python, |scratch, client| {
        in_mount_namespace(&scratch.join("private"), &client)
    });
}

#[test]
fn a_library_that_was_deleted_while_in_use() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let copy = |original: PathBuf, name: &str| {
        let copy = scratch.join(name);
        fs::copy(original, &copy).unwrap();
        copy
    };
    let ssl = copy(peer::libssl(), "libssl-of-yesterday.so");
    let program = Command::new(calls::compile(&scratch));
    let calls = Calls::start(with_libraries(program, "libcrypto.so.3", &ssl, &certificate));
    // As a package manager does when it upgrades a library under running programs.
    fs::remove_file(&ssl).unwrap();
    let pid = calls.pid();
    let capture = Capture::raw(&scratch, &["--pid", &pid.to_string()]);
    let sent: usize = calls
        .run()
        .iter()
        .filter(|call| call.dir == Direction::Send)
        .map(|call| call.bytes.len())
        .sum();
    let captured = capture.stop();
    captured.assert_whole();
    assert_eq!(captured.number("/bytes/send"), sent as u64);
}

#[test]
fn an_executable_with_static_functions_without_exported_symbols() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let program = Command::new(calls::compile_static(&scratch));
    let calls = Calls::start(with_libraries(program, "-", "-", &certificate));
    let pid = calls.pid();
    let capture = Capture::raw(&scratch, &[]);
    let expected = calls.run();
    let streams = streams(&line::read(&capture.stop().stdout), &[pid]);
    let sent = expected.iter().filter(|call| call.dir == Direction::Send);
    assert_eq!(
        stream::of(&streams, Direction::Send).iter().map(|all| all.bytes.len()).sum::<usize>(),
        sent.map(|call| call.bytes.len()).sum::<usize>()
    );
}

#[test]
fn the_summary_names_the_libraries_that_were_hit() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let capture = Capture::raw(&scratch, &[]);
    let side = |len| peer::Side { language: Language::Python, sends: Payload::text(len) };
    peer::Exchange::prepare(&scratch, &side(1000), &side(1000), 1).run();
    let captured = capture.stop();
    captured.assert_whole();
    drop(certificate);
    let libssl = fs::canonicalize(peer::libssl()).unwrap();
    let libraries = captured.summary["libraries"].as_array().unwrap();
    let library = libraries
        .iter()
        .find(|library| {
            fs::canonicalize(library["path"].as_str().unwrap()).is_ok_and(|path| path == libssl)
        })
        .unwrap_or_else(|| panic!("no {} in {}", libssl.display(), captured.summary));
    let functions = library["functions"].as_array().unwrap();
    assert!(functions.iter().any(|function| function["hits"].as_u64() > Some(0)), "{library}");
    assert!(library["build_id"].as_str().is_some_and(|id| id.len() == 40), "{library}");
    assert!(program("python3").exists());
}
