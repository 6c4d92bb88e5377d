//! Text on a terminal: coloured, and nothing captured can act on it.

use e2e::capture::ecapture;
use e2e::peer::{Exchange, Language, Side};
use e2e::{Capture, Scratch, needs_bpf};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::Stdio;
use std::thread;

/// Sets a title, rings, colours, goes up, and hides: what captured text must not do to a terminal.
const HOSTILE: &[u8] =
    b"begin \x1b]0;title\x07 \x1b[31mred \x1b[2A \x9b2J \x08\x08 \xe2\x80\xae end\n";

/// What the user says about colour.
#[derive(Clone, Copy, PartialEq)]
enum Colour {
    Welcome,
    /// `NO_COLOR` is set.
    Refused,
}

/// What the tool writes to a terminal while a program sends `sends`.
fn on_a_terminal(colour: Colour, sends: &[u8]) -> String {
    let scratch = Scratch::new();
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let reader = thread::spawn(move || {
        let mut controller = File::from(controller);
        let mut all = Vec::new();
        let mut part = [0; 4096];
        // Reading fails when nobody has the terminal open any more.
        while let Ok(len) = controller.read(&mut part) {
            all.extend_from_slice(&part[..len]);
        }
        all
    });

    let summary = scratch.join("summary");
    let mut command = ecapture(["tls", "--no-parse", "--summary"]);
    command.arg(&summary).env_remove("NO_COLOR").env("TERM", "xterm-256color");
    if colour == Colour::Refused {
        command.env("NO_COLOR", "1");
    }
    command.stdin(Stdio::null()).stdout(terminal).stderr(Stdio::piped());
    let capture = Capture::start(&mut command, "/dev/null".into(), summary);
    // Its copy of the terminal must not stay open here.
    drop(command);
    let side = |sends: &[u8]| Side { language: Language::Python, sends: sends.to_vec() };
    Exchange::prepare(&scratch, &side(sends), &side(b"ok"), 1).run();
    capture.stop().assert_whole();
    String::from_utf8_lossy(&reader.join().unwrap()).into_owned()
}

#[test]
fn what_a_terminal_would_act_on_is_made_visible() {
    needs_bpf!();
    let shown = on_a_terminal(Colour::Refused, HOSTILE);
    assert!(shown.contains("begin "), "{shown:?}");
    let allowed = |c: &char| matches!(c, '\n' | '\r' | '\t');
    let bad: Vec<char> = shown.chars().filter(|c| c.is_control() && !allowed(c)).collect();
    assert_eq!(bad, Vec::<char>::new(), "{shown:?}");
    assert!(!shown.contains('\u{202e}'), "{shown:?}");
}

#[test]
fn hostile_text_gets_no_colour_of_its_own() {
    needs_bpf!();
    let shown = on_a_terminal(Colour::Welcome, HOSTILE);
    assert!(shown.contains("begin "), "{shown:?}");
    assert!(!shown.contains("\x1b[31mred") && !shown.contains("\x1b]0;"), "{shown:?}");
}

#[test]
fn headers_are_coloured_on_a_terminal() {
    needs_bpf!();
    let shown = on_a_terminal(Colour::Welcome, b"hello");
    assert!(shown.contains("\x1b["), "{shown:?}");
}

#[test]
fn no_color_is_honoured() {
    needs_bpf!();
    let shown = on_a_terminal(Colour::Refused, b"hello");
    assert!(shown.contains("hello"), "{shown:?}");
    assert!(!shown.contains('\x1b'), "{shown:?}");
}
