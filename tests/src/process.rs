//! Programs that a test runs: started, waited for with a limit, and gone when the test is.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a test waits for anything, unless it says otherwise.
pub const LIMIT: Duration = Duration::from_mins(1);

/// `limit` on a machine that is as slow as `E2E_PATIENCE` says: so many times (`script/vm-test`).
fn patient(limit: Duration) -> Duration {
    let factor = std::env::var("E2E_PATIENCE").ok().and_then(|factor| factor.parse().ok());
    limit * factor.unwrap_or(1)
}

/// Where a program is; fails if it is not installed.
pub fn program(name: &str) -> PathBuf {
    // Before PATH: a version manager's python or node would test another TLS library than the
    // distribution's.
    for folder in ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        let path = PathBuf::from(folder).join(name);
        if path.exists() {
            return path;
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not installed: run script/bootstrap --test"))
}

/// A command for an installed program, with an environment that changes nothing of its behaviour.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    for variable in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "SSLKEYLOGFILE"] {
        command.env_remove(variable);
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// What a program prints, line by line, kept whole for the failure message.
#[derive(Debug)]
pub struct Lines {
    of: String,
    seen: Vec<String>,
    incoming: Receiver<String>,
}

impl Lines {
    /// Reads `pipe` to its end in a thread of its own.
    pub fn of(name: &str, pipe: impl Read + Send + 'static) -> Self {
        let (sender, incoming) = channel();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                if sender.send(text).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Self { of: name.to_owned(), seen: Vec::new(), incoming }
    }

    /// Waits for the first line, among those not yet waited for, that is as wanted.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for_within(LIMIT, what, wanted)
    }

    /// The same with a limit of its own.
    pub fn wait_for_within(
        &mut self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        let limit = patient(limit);
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{}: no {what} after {limit:?}; it said:\n{}", self.of, self.text())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{}: ended without {what}; it said:\n{}", self.of, self.text())
                }
            }
        }
    }

    /// Waits for the end of the pipe; gives every line there was.
    pub fn finish(mut self) -> Vec<String> {
        let end = Instant::now() + patient(LIMIT);
        loop {
            match self.incoming.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.seen,
                Err(RecvTimeoutError::Timeout) => panic!("{}: its pipe stays open", self.of),
            }
        }
    }

    fn text(&self) -> String {
        self.seen.join("\n")
    }
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// Sent first when dropped.
    warning: Option<Signal>,
}

/// What a program did that ran to its end.
#[derive(Debug)]
pub struct Outcome {
    /// The process that ran.
    pub pid: u32,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained about.
    pub stderr: String,
}

impl Outcome {
    /// Fails unless the program ended well.
    #[must_use]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{:?}: {}\n{}", self.pid, self.status, self.stderr);
        self
    }
}

impl Process {
    /// Starts a program; its pipes are as `command` says.
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{}", command.get_program().display());
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, child, warning: None }
    }

    /// Makes this signal come before the killing: for a program that has children to end.
    #[must_use]
    pub fn warned_by(mut self, signal: Signal) -> Self {
        self.warning = Some(signal);
        self
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The program's standard input, if it is a pipe and not taken yet.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("standard input is a pipe")
    }

    /// The program's standard output, if it is a pipe and not taken yet.
    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("standard output is a pipe")
    }

    /// The program's standard error, if it is a pipe and not taken yet.
    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("standard error is a pipe")
    }

    /// The lines of its standard output.
    pub fn stdout_lines(&mut self) -> Lines {
        Lines::of(&self.name.clone(), self.stdout())
    }

    /// The lines of its standard error.
    pub fn stderr_lines(&mut self) -> Lines {
        Lines::of(&self.name.clone(), self.stderr())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.as_pid(), signal)
            .unwrap_or_else(|error| panic!("{}: signal {signal:?}: {error}", self.name));
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_within(LIMIT)
    }

    /// Waits for its end, no longer than `limit`.
    pub fn wait_within(&mut self, limit: Duration) -> ExitStatus {
        let limit = patient(limit);
        assert!(self.ends_within(limit), "{} did not end within {limit:?}", self.name);
        self.child.wait().unwrap()
    }

    /// True if it ends before `limit` has passed.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        if self.child.try_wait().unwrap().is_some() {
            return true;
        }
        let handle = pidfd_open(self.as_pid(), PidfdFlags::empty()).unwrap();
        let timeout = Timespec {
            tv_sec: limit.as_secs().try_into().unwrap(),
            tv_nsec: limit.subsec_nanos().into(),
        };
        poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)).unwrap() > 0
    }

    fn as_pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the end of a program whose output goes to pipes, and gives what it printed.
    pub fn finish(mut self) -> Outcome {
        let pid = self.pid();
        let stdout = self.child.stdout.take().map(collect);
        let stderr = self.child.stderr.take().map(collect);
        let status = self.wait();
        Outcome {
            pid,
            status,
            stdout: stdout.map(|all| all.join().unwrap()).unwrap_or_default(),
            stderr: stderr
                .map(|all| String::from_utf8_lossy(&all.join().unwrap()).into_owned())
                .unwrap_or_default(),
        }
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).unwrap();
        all
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        // All fail only if the process is gone already, which is what is wanted.
        if let (Some(signal), Ok(None)) = (self.warning, self.child.try_wait()) {
            let _ = kill_process(self.as_pid(), signal);
            self.ends_within(Duration::from_secs(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end with nothing on its standard input.
pub fn run(command: &mut Command) -> Outcome {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Process::start(command).finish()
}

/// Runs a program to its end with `input` on its standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(command);
    let mut stdin = process.stdin();
    let input = input.to_vec();
    let feeder = thread::spawn(move || stdin.write_all(&input));
    let outcome = process.finish();
    feeder.join().unwrap().unwrap();
    outcome
}

/// The status as a shell would show it: the exit code, or 128 and the signal.
pub fn shell_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}
