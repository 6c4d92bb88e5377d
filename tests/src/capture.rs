//! `ecapture` as a test runs it.

use crate::line::{self, Line};
use crate::process::{self, LIMIT, Lines, Outcome, Process};
use crate::scratch::Scratch;
use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// The binary under test: `ECAPTURE_BIN`, or `ecapture` in cargo's release folder.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ECAPTURE_BIN") {
        return path.into();
    }
    // This executable is TARGET/PROFILE/deps/NAME.
    let this = std::env::current_exe().unwrap();
    let path = this.ancestors().nth(3).unwrap().join("release/ecapture");
    assert!(
        path.exists(),
        "{} is not built: cargo build --release -p ecapture (or set ECAPTURE_BIN)",
        path.display()
    );
    path
}

/// A command line of the binary under test.
pub fn ecapture<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments);
    command
}

/// Runs the binary to its end.
pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Outcome {
    process::run(&mut ecapture(arguments))
}

/// A capture that is going on: every probe is attached.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    stderr: Lines,
    stdout: PathBuf,
    summary: PathBuf,
}

/// A capture that has ended.
#[derive(Debug)]
pub struct Captured {
    /// How the tool ended.
    pub status: ExitStatus,
    /// The file that its standard output went to.
    pub stdout: PathBuf,
    /// The lines of its standard error.
    pub stderr: Vec<String>,
    /// What `--summary` wrote.
    pub summary: Value,
}

impl Capture {
    /// Starts `ecapture tls` with `--summary`, its output going to a file, and waits until it is ready.
    pub fn tls(scratch: &Scratch, arguments: &[&str]) -> Self {
        Self::of("tls", scratch, arguments)
    }

    /// The same with any module.
    pub fn of(module: &str, scratch: &Scratch, arguments: &[&str]) -> Self {
        Self::without("", module, scratch, arguments)
    }

    /// The same without some features of the kernel, as `ECAPTURE_WITHOUT` names them.
    pub fn without(features: &str, module: &str, scratch: &Scratch, arguments: &[&str]) -> Self {
        let number = fs::read_dir(scratch.path()).unwrap().count();
        let stdout = scratch.join(format!("capture-{number}.out"));
        let summary = scratch.join(format!("capture-{number}.summary"));
        let mut command = ecapture([module, "--summary"]);
        command.arg(&summary).args(arguments).stdin(Stdio::null());
        command.stdout(File::create_new(&stdout).unwrap()).stderr(Stdio::piped());
        if !features.is_empty() {
            command.env("ECAPTURE_WITHOUT", features);
        }
        Self::start(&mut command, stdout, summary)
    }

    /// The same with `--format json --no-parse`.
    pub fn raw(scratch: &Scratch, arguments: &[&str]) -> Self {
        Self::tls(scratch, &[&["--format", "json", "--no-parse"], arguments].concat())
    }

    /// The same with `--format json`.
    pub fn parsed(scratch: &Scratch, arguments: &[&str]) -> Self {
        Self::tls(scratch, &[&["--format", "json"], arguments].concat())
    }

    /// Captures the plain bytes that go through `library`. It is named, by the flag that is called like
    /// the module, so that it is attached before the first program maps it.
    pub fn of_library(module: &str, scratch: &Scratch, library: &Path) -> Self {
        let (flag, library) = (format!("--{module}"), library.to_str().unwrap());
        Self::of(module, scratch, &["--format", "json", "--no-parse", &flag, library])
    }

    /// Starts any command line of the tool; `stdout` and `summary` are where it was told to write.
    pub fn start(command: &mut Command, stdout: PathBuf, summary: PathBuf) -> Self {
        let mut process = Process::start(command);
        let mut stderr = process.stderr_lines();
        stderr.wait_for("\"ecapture: ready\"", |line| line.contains("ecapture: ready"));
        Self { process, stderr, stdout, summary }
    }

    /// The tool's process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The tool's process, to signal or to wait for.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The file that the tool's standard output goes to.
    pub fn stdout(&self) -> &Path {
        &self.stdout
    }

    /// What the tool says on standard error from here on.
    pub fn stderr(&mut self) -> &mut Lines {
        &mut self.stderr
    }

    /// Ends it as a person would, with SIGINT.
    pub fn stop(self) -> Captured {
        self.process.signal(Signal::INT);
        self.finish()
    }

    /// Waits until it ends by itself.
    pub fn finish(self) -> Captured {
        self.finish_within(LIMIT)
    }

    /// Waits until it ends by itself, no longer than `limit`.
    pub fn finish_within(mut self, limit: Duration) -> Captured {
        let status = self.process.wait_within(limit);
        let stderr = self.stderr.finish();
        let summary = fs::read(&self.summary)
            .map_err(|error| error.to_string())
            .and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()))
            .unwrap_or_else(|error| {
                panic!("{}: {error}\n{status}\n{}", self.summary.display(), stderr.join("\n"))
            });
        Captured { status, stdout: self.stdout, stderr, summary }
    }
}

impl Captured {
    /// The output, line by line. Fails if the tool failed or lost anything.
    pub fn lines(&self) -> Vec<Line> {
        self.assert_whole();
        line::read(&self.stdout)
    }

    /// The output as it is.
    pub fn text(&self) -> String {
        String::from_utf8(fs::read(&self.stdout).unwrap()).expect("the output is UTF-8")
    }

    /// A number in the summary, such as `/lost/events`.
    pub fn number(&self, pointer: &str) -> u64 {
        self.summary
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no {pointer} in the summary {}", self.summary))
    }

    /// Fails if the tool failed or lost anything.
    pub fn assert_whole(&self) {
        assert!(self.status.success(), "{}\n{}", self.status, self.stderr.join("\n"));
        let lost = &self.summary["lost"];
        let all = (&self.summary["calls"], &self.summary["bytes"]);
        assert_eq!(self.number("/lost/events"), 0, "lost {lost} of {} and {}", all.0, all.1);
        assert_eq!(self.number("/lost/bytes"), 0, "lost {lost} of {} and {}", all.0, all.1);
    }
}
