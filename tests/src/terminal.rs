//! A program on a terminal of its own, typed into as a person would: what comes next is typed when
//! the program asks for it.

use crate::process::Process;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What a terminal puts around pasted text.
const PASTE: [&[u8]; 2] = [b"\x1b[200~", b"\x1b[201~"];
/// Keys.
pub const ENTER: &str = "\r";
/// Keys.
pub const INTERRUPT: &str = "\x03";
/// Keys.
pub const UP: &str = "\x1b[A";

/// How long a person would wait.
const LIMIT: Duration = Duration::from_secs(15);
/// What is shown of the screen when a test fails, in bytes.
const LAST: usize = 800;

/// What the program wrote, and whether it is gone.
#[derive(Debug, Default)]
struct Screen {
    shown: Vec<u8>,
    over: bool,
}

/// The terminal and the program on it, which ends when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    process: Process,
    keyboard: File,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    name: String,
    /// What the program writes when it asks for a line: any of these.
    prompts: &'static [&'static str],
    /// How often the program has asked for a line.
    asked: usize,
}

impl Terminal {
    /// Starts `command` as the leader of a session with a terminal. Whenever it asks for a line it
    /// writes one of `prompts`.
    pub fn start(command: &Command, prompts: &'static [&'static str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let terminal = OpenOptions::new().read(true).write(true).open(&name).unwrap();
        tcsetwinsize(&terminal, Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 })
            .unwrap();
        let mut session = crate::process::command("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            session.current_dir(folder);
        }
        session.stdin(terminal.try_clone().unwrap());
        session.stdout(terminal.try_clone().unwrap()).stderr(terminal);
        let process = Process::start(&mut session);
        // Its copies of the terminal must not stay open here: its end would not be seen.
        drop(session);
        let screen = Arc::new((Mutex::new(Screen::default()), Condvar::new()));
        let controller = File::from(controller);
        let keyboard = controller.try_clone().unwrap();
        let shown = Arc::clone(&screen);
        thread::spawn(move || read(controller, &shown));
        Self { process, keyboard, screen, name, prompts, asked: 0 }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The terminal's name: `/dev/pts/3`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the program asks for a line, once more than before.
    pub fn wait_for_prompt(&mut self) {
        self.asked += 1;
        let (asked, prompts) = (self.asked, self.prompts);
        self.wait("a prompt", |shown| {
            prompts.iter().map(|prompt| count(shown, prompt.as_bytes())).sum::<usize>() >= asked
        });
    }

    /// Waits until the program has written this.
    pub fn wait_for(&self, text: &str) {
        self.wait(text, |shown| count(shown, text.as_bytes()) > 0);
    }

    /// Types these keys.
    pub fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Interrupts the program while it waits for keys.
    ///
    /// An interrupt just before that hangs bash with libreadline 8.2 until the next key, with or
    /// without a capture. That a program waits is no event; so its state is looked at.
    pub fn interrupt(&mut self) {
        let stat = format!("/proc/{}/stat", self.pid());
        let end = Instant::now() + LIMIT;
        while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
            assert!(Instant::now() < end, "{}: it never waits", self.name);
            thread::yield_now();
        }
        self.keys(INTERRUPT);
    }

    /// Types a line, and Enter.
    pub fn enter(&mut self, line: &str) {
        self.keys(line);
        self.keys(ENTER);
    }

    /// Types a line and Enter, and waits for the next prompt.
    pub fn run(&mut self, line: &str) {
        self.enter(line);
        self.wait_for_prompt();
    }

    /// Pastes text, as a terminal does it.
    pub fn paste(&mut self, text: &str) {
        let [begin, end] = PASTE;
        self.keyboard.write_all(&[begin, text.as_bytes(), end].concat()).unwrap();
    }

    /// Waits for the program's end.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        self.process.wait()
    }

    fn wait(&self, what: &str, wanted: impl Fn(&[u8]) -> bool) {
        let (screen, changed) = &*self.screen;
        let end = Instant::now() + LIMIT;
        let mut screen = screen.lock().unwrap();
        while !wanted(&screen.shown) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || screen.over {
                let last = &screen.shown[screen.shown.len().saturating_sub(LAST)..];
                let last = String::from_utf8_lossy(last).into_owned();
                // The reader needs it too.
                drop(screen);
                panic!("{}: no {what}; last on the screen:\n{last:?}", self.name);
            }
            screen = changed.wait_timeout(screen, left).unwrap().0;
        }
    }
}

fn read(mut controller: File, screen: &(Mutex<Screen>, Condvar)) {
    let (screen, changed) = screen;
    let mut part = [0; 4096];
    // Reading fails when nobody has the terminal open any more.
    while let Ok(len) = controller.read(&mut part) {
        if len == 0 {
            break;
        }
        screen.lock().unwrap().shown.extend_from_slice(&part[..len]);
        changed.notify_all();
    }
    screen.lock().unwrap().over = true;
    changed.notify_all();
}

fn count(shown: &[u8], text: &[u8]) -> usize {
    shown.windows(text.len()).filter(|window| *window == text).count()
}
