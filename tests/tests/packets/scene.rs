//! nginx, curl, and captures of the packets between them.

use e2e::capture::{Captured, ecapture};
use e2e::curl::{Http, curl};
use e2e::nginx::Nginx;
use e2e::process::{Lines, Process, program};
use e2e::{Capture, Scratch, peer};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

/// The server, and where files go.
pub(super) struct Scene {
    pub(super) scratch: Scratch,
    pub(super) nginx: Nginx,
}

impl Scene {
    pub(super) fn new() -> Self {
        let scratch = Scratch::new();
        let nginx = Nginx::with_tls_1_3(&scratch);
        Self { scratch, nginx }
    }

    /// The expression that takes this server's packets.
    pub(super) fn filter(&self) -> String {
        format!("port {}", self.nginx.port)
    }

    /// curl with the server's certificate.
    pub(super) fn curl(&self) -> Command {
        curl(Http::V1, &self.nginx.certificate.certificate)
    }

    /// A file in the test's folder.
    pub(super) fn path(&self, name: &str) -> String {
        self.scratch.join(name).to_str().unwrap().to_owned()
    }
}

/// A capture of this server's packets that is going on.
pub(crate) struct PacketCapture {
    pub(super) capture: Capture,
    file: PathBuf,
}

/// The command of a capture of loopback into `file`, with keys of the distribution's library only.
pub(super) fn command(scratch: &Scratch, file: &Path, filter: &str, arguments: &[&str]) -> Command {
    let libssl = peer::libssl();
    let module = ["tls", "--libssl", libssl.to_str().unwrap()];
    command_of(&module, scratch, file, filter, arguments)
}

/// The same with any module: its name and the files to take keys from.
fn command_of(
    module: &[&str],
    scratch: &Scratch,
    file: &Path,
    filter: &str,
    arguments: &[&str],
) -> Command {
    let mut command = ecapture(module);
    command.args(["-m", "pcapng", "-i", "lo", "-w"]).arg(file);
    command.arg("--summary").arg(scratch.join("summary"));
    // What runs a command comes last.
    let at = arguments.iter().position(|argument| *argument == "--").unwrap_or(arguments.len());
    command.args(&arguments[..at]);
    if !filter.is_empty() {
        command.arg(filter);
    }
    command.args(&arguments[at..]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl PacketCapture {
    /// Starts it and waits until it is ready.
    pub(super) fn start(scene: &Scene, arguments: &[&str]) -> Self {
        Self::filtered(&scene.scratch, &scene.filter(), arguments)
    }

    /// The same of what `filter` takes.
    pub(super) fn filtered(scratch: &Scratch, filter: &str, arguments: &[&str]) -> Self {
        let libssl = peer::libssl();
        let module = ["tls", "--libssl", libssl.to_str().unwrap()];
        Self::of(&module, scratch, filter, arguments)
    }

    /// The same with any module: its name and the files to take keys from.
    pub(crate) fn of(module: &[&str], scratch: &Scratch, filter: &str, arguments: &[&str]) -> Self {
        let file = scratch.join("capture.pcapng");
        let mut command = command_of(module, scratch, &file, filter, arguments);
        let stdout = scratch.join("stdout");
        let capture = Capture::start(&mut command, stdout, scratch.join("summary"));
        Self { capture, file }
    }

    /// Ends it, and fails unless every packet that was seen is in the file.
    pub(crate) fn stop(self) -> PathBuf {
        assert_balance(&self.capture.stop());
        self.file
    }

    /// The same; also what the capture said.
    pub(super) fn end(self) -> (Captured, PathBuf) {
        let captured = self.capture.stop();
        assert_balance(&captured);
        (captured, self.file)
    }

    /// Waits until the command that it runs has ended.
    pub(super) fn finish(self) -> PathBuf {
        assert_balance(&self.capture.finish());
        self.file
    }
}

/// Fails unless what was seen was written, with the keys.
pub(super) fn assert_balance(capture: &Captured) {
    capture.assert_whole();
    let packets = |name: &str| capture.number(&format!("/packets/{name}"));
    assert_eq!(packets("seen"), packets("written"), "{}", capture.summary);
    assert_eq!(packets("without_key"), 0, "{}", capture.summary);
}

/// A program whose process is there, and which starts when it is told to.
pub(super) struct Held {
    process: Process,
    stdin: ChildStdin,
}

impl Held {
    pub(super) fn new(command: &Command) -> Self {
        let mut held = Command::new(program("sh"));
        held.args(["-c", "read -r go && exec \"$0\" \"$@\""]);
        held.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => held.env(name, value),
                None => held.env_remove(name),
            };
        }
        held.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start(&mut held);
        let stdin = process.stdin();
        Self { process, stdin }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Lets it go; [`Process::finish`] waits for its end.
    pub(super) fn go(mut self) -> Process {
        self.stdin.write_all(b"go\n").unwrap();
        self.process
    }
}

/// A client that makes requests for `page` on one connection when it is told to.
pub(super) struct KeepAlive {
    process: Process,
    stdin: ChildStdin,
    stdout: Lines,
}

const CLIENT: &str = "import http.client, ssl, sys
connection = http.client.HTTPSConnection('127.0.0.1', int(sys.argv[1]),
    context=ssl._create_unverified_context())
for line in sys.stdin:
    connection.request('GET', '/page')
    connection.getresponse().read()
    print('answered', flush=True)
";

impl KeepAlive {
    pub(super) fn start(scene: &Scene) -> Self {
        let mut python = e2e::process::command("python3");
        python.args(["-c", CLIENT, &scene.nginx.port.to_string()]);
        let mut process = Process::start(python.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (stdin, stdout) = (process.stdin(), process.stdout_lines());
        Self { process, stdin, stdout }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Makes a request and waits until it is answered.
    pub(super) fn request(&mut self) {
        self.stdin.write_all(b"go\n").unwrap();
        self.stdout.wait_for("an answer", |line| line == "answered");
    }

    pub(super) fn finish(mut self) {
        drop(self.stdin);
        assert!(self.process.wait().success());
    }
}
