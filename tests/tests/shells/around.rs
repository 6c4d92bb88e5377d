//! Around the commands: shells before and after the tool, whose they are, filters, and what is not
//! to be seen.

use super::{assert_typed, returned};
use e2e::process::{command, run, run_with_input};
use e2e::shells::{Shell, Typed, capture, commands};
use e2e::terminal::Terminal;
use e2e::{Payload, Scratch, needs_bpf};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// One shell of each kind, not the host's bash: others use that at the same time.
fn both() -> [Shell; 2] {
    [Shell::of("bookworm", "bash"), Shell::of("trixie", "zsh")]
}

#[test]
fn a_shell_that_waits_at_its_prompt_when_the_capture_begins_is_seen_from_that_line_on() {
    needs_bpf!();
    for shell in both() {
        let scratch = Scratch::new();
        let mut terminal = shell.start(&scratch);
        // Half of the line is there before anybody looks.
        terminal.keys("tes");
        let capture = shell.capture(&scratch, &[]);
        terminal.run("t 1 = 2");
        terminal.run("true");
        let captured = capture.stop();
        assert_typed(&captured, &terminal, &[returned("test 1 = 2", 1), returned("true", 0)]);
        assert!(captured.stderr.iter().any(|line| line.contains("ready: 1 shell, ")));
    }
}

#[test]
fn shells_are_found_without_being_named() {
    needs_bpf!();
    for shell in both() {
        let scratch = Scratch::new();
        // One that runs already; its file is in no usual place.
        let mut before = shell.start(&scratch);
        let capture = capture(shell.name, &scratch, &[]);
        before.run("false");
        let mut after = shell.start(&scratch);
        after.run("(exit 3)");
        let captured = capture.stop();
        assert_typed(&captured, &before, &[returned("false", 1)]);
        assert_typed(&captured, &after, &[returned("(exit 3)", 3)]);
    }
}

#[test]
fn who_typed_it_and_where_is_told() {
    needs_bpf!();
    let scratch = Scratch::new();
    let folder = scratch.join("a folder");
    std::fs::create_dir(&folder).unwrap();
    let shell = Shell::of("sid", "bash");
    let capture = shell.capture(&scratch, &[]);
    let mut terminal = shell.start(&scratch);
    terminal.run("cd 'a folder'");
    terminal.run("cd /proc/self/..");
    terminal.run("sleep 0.3");
    terminal.run("cd /");
    terminal.run("true");
    let captured = capture.stop();
    let login = std::fs::read_to_string(format!("/proc/{}/loginuid", terminal.pid())).ok();
    let login = login.and_then(|uid| uid.trim().parse().ok()).filter(|uid| *uid != u32::MAX);
    let typed = commands(&captured.stdout, terminal.pid());
    let folders: Vec<&str> = typed.iter().map(|typed| typed.cwd.as_deref().unwrap()).collect();
    let start = scratch.path().to_str().unwrap();
    assert_eq!(folders, [start, folder.to_str().unwrap(), "/proc", "/proc", "/"]);
    for typed in &typed {
        let Typed { kind, tid, uid, ppid, login_uid, tty, shell: file, .. } = typed;
        assert_eq!((kind.as_str(), *tid, *uid), ("command", terminal.pid(), 0));
        assert_eq!((*ppid, *login_uid), (Some(std::process::id()), login));
        assert_eq!(tty.as_deref(), Some(terminal.name()));
        assert_eq!(Path::new(file), shell.path);
    }
    let slept = Duration::from_nanos(typed[2].duration_ns.unwrap());
    assert!((300..2000).contains(&slept.as_millis()), "{slept:?}");
    let quick = Duration::from_nanos(typed[4].duration_ns.unwrap());
    assert!(quick < Duration::from_millis(300), "{quick:?}");
}

#[test]
fn commands_that_no_person_types_are_not_seen() {
    needs_bpf!();
    for shell in both() {
        let scratch = Scratch::new();
        let capture = shell.capture(&scratch, &[]);
        let script = scratch.write("script", "echo script\nread line\nfalse\n");
        let mut by_argument = shell.command(&scratch);
        let by_argument = run(by_argument.args(["-c", "echo argument; false"]));
        let mut by_file = shell.command(&scratch);
        let by_file = run_with_input(by_file.arg(script), b"line\n");
        let mut by_input = shell.command(&scratch);
        let by_input = run_with_input(by_input.arg("-s"), b"echo input\nfalse\n");
        let captured = capture.stop();
        captured.assert_whole();
        for (outcome, said) in
            [(by_argument, "argument\n"), (by_file, "script\n"), (by_input, "input\n")]
        {
            assert_eq!(String::from_utf8_lossy(&outcome.stdout), said);
            assert_eq!(commands(&captured.stdout, outcome.pid).len(), 0, "{said}");
        }
    }
}

#[test]
fn errnumber_shows_only_commands_that_ended_with_it() {
    needs_bpf!();
    for shell in both() {
        let scratch = Scratch::new();
        let wanted = shell.capture(&scratch, &["--errnumber", "3"]);
        let all = shell.capture(&scratch, &["-e", "128"]);
        let mut terminal = shell.start(&scratch);
        for line in ["true", "(exit 3)", "(exit 128)"] {
            terminal.run(line);
        }
        terminal.enter("exit 3");
        terminal.wait_for_end();
        let exit = ("exit 3".to_owned(), Some(3), "exit");
        assert_typed(&wanted.stop(), &terminal, &[returned("(exit 3)", 3), exit.clone()]);
        assert_typed(
            &all.stop(),
            &terminal,
            &[returned("true", 0), returned("(exit 3)", 3), returned("(exit 128)", 128), exit],
        );
    }
}

#[test]
fn only_the_wanted_process_is_seen() {
    needs_bpf!();
    let scratch = Scratch::new();
    let shell = Shell::of("trixie", "bash");
    let (mut wanted, mut other) = (shell.start(&scratch), shell.start(&scratch));
    let pid = wanted.pid().to_string();
    let capture = shell.capture(&scratch, &["--pid", &pid, "--count", "1"]);
    other.run("echo other");
    wanted.run("echo wanted");
    let captured = capture.finish();
    assert_typed(&captured, &wanted, &[returned("echo wanted", 0)]);
    assert_typed(&captured, &other, &[]);
}

#[test]
fn a_command_that_has_not_ended_is_shown_at_the_end_of_the_capture() {
    needs_bpf!();
    for shell in both() {
        let scratch = Scratch::new();
        let capture = shell.capture(&scratch, &[]);
        let mut terminal = shell.start(&scratch);
        let go = Payload::marker();
        let (first, rest) = go.split_at(7);
        let sleeper = format!("sh -c 'echo {first}\"\"{rest}; exec sleep 60'");
        terminal.enter(&sleeper);
        terminal.wait_for(&go);
        let captured = capture.stop();
        let typed = assert_typed(&captured, &terminal, &[(sleeper, None, "running")]);
        assert_eq!(typed[0].duration_ns, None);
    }
}

/// Without what newer kernels have, everything is the same; without their types, all but what only
/// they tell.
#[test]
fn older_ways_see_the_same() {
    needs_bpf!();
    for (without, status) in
        [("multi", Some(5)), ("loop", Some(5)), ("cookie", Some(5)), ("btf", None)]
    {
        let scratch = Scratch::new();
        let shell = Shell::of("sid", "zsh");
        let arguments = ["--format", "json", "--zsh", shell.path.to_str().unwrap()];
        let capture = e2e::Capture::without(without, "zsh", &scratch, &arguments);
        let mut terminal = shell.start(&scratch);
        let long = format!(": {}", "x".repeat(100_000));
        terminal.paste(&long);
        terminal.run("");
        terminal.run("(exit 4)");
        terminal.enter("exit 5");
        terminal.wait_for_end();
        let captured = capture.stop();
        captured.assert_whole();
        let typed = assert_typed(
            &captured,
            &terminal,
            &[returned(&long, 0), returned("(exit 4)", 4), ("exit 5".to_owned(), status, "exit")],
        );
        assert_eq!(typed[0].cwd.as_deref(), scratch.path().to_str(), "without {without}");
        assert_eq!(typed[0].tty.as_deref(), Some(terminal.name()), "without {without}");
        assert_eq!(typed[0].ppid, Some(std::process::id()), "without {without}");
    }
}

/// The line editor that a program brings along is libreadline, and the program no bash.
#[test]
fn readlineso_shows_lines_of_any_program_that_reads_with_it() {
    needs_bpf!();
    let scratch = Scratch::new();
    let library = "/usr/lib/x86_64-linux-gnu/libreadline.so.8";
    assert!(Path::new(library).exists(), "libreadline8 is not installed");
    let capture = capture("bash", &scratch, &["--readlineso", library]);
    let source = "import ctypes\n\
                  lines = ctypes.CDLL('libreadline.so.8')\n\
                  lines.readline.restype = ctypes.c_char_p\n\
                  while lines.readline(b'> '): pass\n";
    let mut python = command("python3");
    python.args(["-c", source]).env("TERM", "xterm");
    let mut terminal = Terminal::start(&python, &["\x1b[?2004h> "]);
    terminal.wait_for_prompt();
    terminal.run("first line");
    terminal.run("second line");
    terminal.enter("");
    terminal.keys("\x04");
    terminal.wait_for_end();
    let captured = capture.stop();
    let line = |line: &str| (line.to_owned(), None, "returned");
    assert_typed(&captured, &terminal, &[line("first line"), line("second line")]);
    assert!(captured.stderr.iter().any(|line| line.contains("ready: 1 library, ")));
}

#[test]
fn what_is_no_shell_is_refused_with_a_reason() {
    needs_bpf!();
    let outcome = run(&mut e2e::capture::ecapture(["bash", "--bash", "/bin/true"]));
    assert!(!outcome.status.success());
    assert!(outcome.stderr.contains("defines no read_command"), "{}", outcome.stderr);
}

#[test]
fn inspect_shows_where_a_shell_is_probed() {
    for shell in both() {
        let mut tool: Command = e2e::capture::ecapture(["inspect"]);
        let outcome = run(tool.arg(&shell.path)).success();
        let text = String::from_utf8(outcome.stdout).unwrap();
        assert!(text.contains(&format!("shell     {}", shell.name)), "{text}");
        assert!(text.contains("emulated by the kernel"), "{text}");
    }
}
