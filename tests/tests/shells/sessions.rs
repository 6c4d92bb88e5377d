//! A session in the shell of each suite, with everything that people do: lines and statuses are
//! exactly those typed.

use super::{Expected, assert_typed, returned};
use e2e::process::shell_status;
use e2e::shells::Shell;
use e2e::terminal::{INTERRUPT, Terminal, UP};
use e2e::{Payload, Scratch};

/// A line of `len` bytes that no shell expands.
fn long_line(len: usize) -> String {
    let text: String = Payload::text(len)
        .iter()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(*byte) } else { '-' })
        .collect();
    format!(": {}", &text[2..])
}

/// Types everything but the end, and tells what is to be seen of it.
fn work(shell: &Shell, terminal: &mut Terminal) -> Vec<Expected> {
    let marker = Payload::marker();
    let mut expected = Vec::new();
    let mut run = |terminal: &mut Terminal, line: String, status| {
        terminal.run(&line);
        expected.push(returned(&line, status));
    };
    run(terminal, format!("echo {marker}"), 0);
    run(terminal, "false".into(), 1);
    run(terminal, format!("no-such-program-{marker}"), 127);
    run(terminal, "(exit 42)".into(), 42);
    run(terminal, "sh -c 'kill -KILL $$'".into(), 128 + 9);
    run(terminal, "echo 'é 漢字 🦀' | cat > /dev/null; test -d /nowhere".into(), 1);
    // A syntax error: bash says 2, zsh 1.
    run(terminal, "echo )".into(), if shell.name == "bash" { 2 } else { 1 });

    // Not commands: nothing, blanks, a line that is given up, and one given up half way.
    terminal.run("");
    terminal.run("   ");
    let given_up = Payload::marker();
    terminal.keys(&format!("echo never run {given_up}"));
    terminal.wait_for(&given_up);
    terminal.interrupt();
    terminal.wait_for_prompt();
    terminal.run("for never in run");
    terminal.interrupt();
    terminal.wait_for_prompt();

    // Several lines.
    for line in ["for i in 1 2", "do", "", "  test $i = 1", "done"] {
        terminal.run(line);
    }
    expected.push(returned("for i in 1 2\ndo\n\n  test $i = 1\ndone", 1));
    for line in ["cat > /dev/null <<END", marker.as_str(), "END"] {
        terminal.run(line);
    }
    expected.push(returned(&format!("cat > /dev/null <<END\n{marker}\nEND"), 0));
    terminal.run("echo 'one \\");
    terminal.run("two'");
    expected.push(returned("echo 'one \\\ntwo'", 0));

    // From the history.
    terminal.run("test 3 = 4");
    terminal.keys(UP);
    terminal.run("");
    terminal.keys(UP);
    terminal.keys(UP);
    terminal.keys(UP);
    terminal.run("");
    expected.extend([
        returned("test 3 = 4", 1),
        returned("test 3 = 4", 1),
        returned("echo 'one \\\ntwo'", 0),
    ]);

    // Pasted: two commands that are entered at once are one.
    terminal.paste(&format!("echo pasted {marker}"));
    terminal.run("");
    terminal.paste("true\nfalse");
    terminal.run("");
    expected.extend([returned(&format!("echo pasted {marker}"), 0), returned("true\nfalse", 1)]);

    // Interrupted while it runs.
    let go = Payload::marker();
    let (first, rest) = go.split_at(7);
    let sleeper = format!("sh -c 'echo {first}\"\"{rest}; exec sleep 60'");
    terminal.enter(&sleeper);
    terminal.wait_for(&go);
    terminal.keys(INTERRUPT);
    terminal.wait_for_prompt();
    expected.push(returned(&sleeper, 128 + 2));

    // Input of a program, and of the shell's own `read`, is no command.
    let go = Payload::marker();
    let (first, rest) = go.split_at(7);
    let reader = format!("sh -c 'echo {first}\"\"{rest}; head -n 1 > /dev/null'");
    terminal.enter(&reader);
    terminal.wait_for(&go);
    terminal.run("no command");
    expected.push(returned(&reader, 0));
    let read = if shell.name == "bash" { "read -ep '> ' answer" } else { "vared -c answer" };
    terminal.run(read);
    terminal.run("no command either");
    expected.push(returned(read, 0));

    for len in [4093, 4095, 4096, 16_383, 16_384, 20 << 10, 64 << 10, 150_000] {
        let line = long_line(len);
        terminal.paste(&line);
        terminal.run("");
        expected.push(returned(&line, 0));
    }
    let line = long_line(20 << 10);
    terminal.run(&line);
    expected.push(returned(&line, 0));
    expected
}

/// A session that ends with `exit`, and one that ends with `exec`.
fn everything_typed_is_seen(suite: &str, name: &'static str) {
    let shell = Shell::of(suite, name);
    let scratch = Scratch::new();
    let capture = shell.capture(&scratch, &["--strict"]);
    let (mut first, mut second) = (shell.start(&scratch), shell.start(&scratch));
    let mut expected = work(&shell, &mut first);
    first.enter("exit 7");
    assert_eq!(shell_status(first.wait_for_end()), 7);
    expected.push(("exit 7".to_owned(), Some(7), "exit"));

    second.run("cd /");
    second.enter("exec sh -c 'exit 9'");
    assert_eq!(shell_status(second.wait_for_end()), 9);
    let captured = capture.stop();
    captured.assert_whole();
    let typed = assert_typed(&captured, &first, &expected);
    assert!(typed.iter().all(|typed| typed.tty.as_deref() == Some(first.name())));
    assert!(typed.iter().all(|typed| typed.ppid == Some(std::process::id())));
    assert_typed(
        &captured,
        &second,
        &[returned("cd /", 0), ("exec sh -c 'exit 9'".to_owned(), None, "exec")],
    );
}

/// A test of each shell, named after its suite.
macro_rules! sessions {
    ($($name:ident in $($suite:ident),*;)*) => {
        $(mod $name {
            $(#[test]
            fn $suite() {
                e2e::needs_bpf!();
                super::everything_typed_is_seen(stringify!($suite), stringify!($name));
            })*
        })*
    };
}

// `readline` is a bash that is linked with libreadline.
sessions! {
    bash in bullseye, bookworm, trixie, sid, readline;
    zsh in bullseye, bookworm, trixie, sid;
}
