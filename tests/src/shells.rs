//! The shells of Debian's suites, and the commands that a capture saw in them.

use crate::capture::Capture;
use crate::scratch::Scratch;
use crate::terminal::Terminal;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A shell that `cargo xtask libs SUITE-shells` provides.
#[derive(Debug)]
pub struct Shell {
    /// `bash` or `zsh`
    pub name: &'static str,
    /// Its file.
    pub path: PathBuf,
    folder: PathBuf,
}

const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];

impl Shell {
    /// The shell of this suite.
    pub fn of(suite: &str, name: &'static str) -> Self {
        // As `cargo xtask libs` decides it.
        let root = std::env::var_os("ECAPTURE_LIBS").map_or_else(
            || std::env::home_dir().unwrap_or_default().join(".cache/ecapture/libs"),
            PathBuf::from,
        );
        let folder = root.join(format!("{suite}-shells"));
        assert!(
            folder.join(".complete").exists(),
            "{} is not there: cargo xtask libs {suite}-shells",
            folder.display()
        );
        let folder = folder.canonicalize().unwrap();
        let path = existing(&folder, &["usr/bin", "bin"], name)
            .unwrap_or_else(|| panic!("no {name} in {}", folder.display()));
        Self { name, path, folder }
    }

    /// A command that runs it, with nothing of the user's settings.
    pub fn command(&self, scratch: &Scratch) -> Command {
        // With its own C library, it is to be started by its own loader.
        let mut command = match existing(&self.folder, &LIBRARIES, "ld-linux-x86-64.so.2") {
            Some(loader) => {
                let libraries = LIBRARIES.map(|name| self.folder.join(name).display().to_string());
                let mut command = Command::new(loader);
                command.arg("--library-path").arg(libraries.join(":")).arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        if self.name == "bash" {
            command.args(["--norc", "--noprofile"]);
        } else {
            // The modules, the line editor among them, are those of the same suite.
            let modules = self.folder.join("usr/lib/x86_64-linux-gnu/zsh");
            let modules = fs::read_dir(modules).ok().and_then(|mut all| all.next());
            let modules = modules.map_or_else(String::new, |folder| {
                format!("module_path=({})\n", folder.unwrap().path().display())
            });
            scratch.write(".zshenv", format!("{modules}setopt no_rcs\n"));
            command.env("ZDOTDIR", scratch.path());
        }
        command.env("TERM", "xterm").env("PS1", "> ").env("PS2", "+ ").env("LC_ALL", "C.UTF-8");
        command.env_remove("PROMPT_COMMAND").env("HISTFILE", "/dev/null");
        command
    }

    /// Starts it on a terminal, and waits for its prompt.
    pub fn start(&self, scratch: &Scratch) -> Terminal {
        let mut command = self.command(scratch);
        command.arg("-i").current_dir(scratch.path());
        // Both switch bracketed paste on when they begin to read a line; bash, after an interrupt,
        // once too often. bash writes its prompt after that, zsh before.
        let prompts: &[&str] = match self.name {
            "bash" => &["\x1b[?2004h> ", "\x1b[?2004h+ "],
            _ => &["\x1b[?2004h"],
        };
        let mut terminal = Terminal::start(&command, prompts);
        terminal.wait_for_prompt();
        terminal
    }

    /// Captures what is typed into it.
    pub fn capture(&self, scratch: &Scratch, arguments: &[&str]) -> Capture {
        let path = self.path.to_str().unwrap();
        let flag = format!("--{}", self.name);
        capture(self.name, scratch, &[&[&flag, path], arguments].concat())
    }
}

/// Starts the module with these arguments and `--format json`, and waits until it is ready.
pub fn capture(module: &str, scratch: &Scratch, arguments: &[&str]) -> Capture {
    Capture::of(module, scratch, &[&["--format", "json"], arguments].concat())
}

fn existing(folder: &Path, places: &[&str], name: &str) -> Option<PathBuf> {
    places.iter().map(|place| folder.join(place).join(name)).find(|path| path.exists())
}

/// A line of kind `command`.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)]
pub struct Typed {
    pub kind: String,
    pub pid: u32,
    pub tid: u32,
    pub uid: u32,
    pub comm: String,
    pub exe: Option<String>,
    pub ppid: Option<u32>,
    pub login_uid: Option<u32>,
    pub tty: Option<String>,
    pub cwd: Option<String>,
    pub shell: String,
    pub ended: String,
    pub status: Option<i32>,
    pub duration_ns: Option<u64>,
    pub len: usize,
    pub line: Option<String>,
    pub line_b64: Option<String>,
    pub incomplete: Option<String>,
}

/// The commands of one process that a capture wrote to `path`.
pub fn commands(path: &Path, pid: u32) -> Vec<Typed> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Typed>(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .filter(|command| command.pid == pid)
        .collect()
}
