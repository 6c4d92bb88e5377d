//! Small TLS programs in several languages that exchange exactly the bytes they are told to.
//!
//! The client sends its request, the server answers when it has all of it. What each side got is
//! in a file, so that a test knows what went over the connection without asking `ecapture`.

use crate::certificate::Certificate;
use crate::payload::digest;
use crate::process::{Lines, Process, command, run};
use crate::scratch::Scratch;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

/// A program of `tests/programs`.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name)
}

/// What the programs are written in, and how they use their TLS library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Python's `ssl` over sockets: `SSL_read_ex` and `SSL_write_ex`.
    Python,
    /// Python's asyncio: the same calls on memory BIOs.
    PythonAsync,
    /// node: `SSL_read` and `SSL_write` of its own static OpenSSL, on BIOs of its own.
    Node,
}

impl Language {
    fn command(self) -> Command {
        let (interpreter, program) = match self {
            Self::Python => ("python3", "peer.py"),
            Self::PythonAsync => ("python3", "peer_async.py"),
            Self::Node => ("node", "peer.js"),
        };
        let mut command = command(interpreter);
        command.arg(source(program));
        command
    }
}

/// What one side is to send and to expect.
#[derive(Debug, Clone)]
pub struct Side {
    /// What it is written in.
    pub language: Language,
    /// What it sends on each connection.
    pub sends: Vec<u8>,
}

/// A server that waits for connections.
#[derive(Debug)]
pub struct Server {
    process: Process,
    stdout: Lines,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts a server for so many connections: on each it reads `request_len` bytes into
    /// `server-N.received`, then sends `response`.
    pub fn start(
        scratch: &Scratch,
        certificate: &Certificate,
        language: Language,
        connections: usize,
        request_len: usize,
        response: &[u8],
    ) -> Self {
        let response = scratch.write("server.sends", response);
        let mut command = language.command();
        command.arg("server").arg(&certificate.certificate).arg(&certificate.key);
        command.arg(connections.to_string()).arg(request_len.to_string()).arg(response);
        command.arg(scratch.join("server"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command);
        let mut stdout = process.stdout_lines();
        let line = stdout.wait_for("port", |line| line.starts_with("port "));
        let port = line["port ".len()..].parse().unwrap();
        Self { process, stdout, port }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until it has served all its connections and ended.
    pub fn finish(mut self) -> Vec<String> {
        let status = self.process.wait();
        assert!(status.success(), "server: {status}");
        self.stdout.finish()
    }
}

/// The command of a client that makes so many connections at once, sends `request` on each and reads
/// `response_len` bytes into `client-N.received`. It prints `ready` and waits for a line on its
/// standard input before it connects.
pub fn client(
    scratch: &Scratch,
    certificate: &Certificate,
    language: Language,
    port: u16,
    connections: usize,
    request: &[u8],
    response_len: usize,
) -> Command {
    let request = scratch.write("client.sends", request);
    let mut command = language.command();
    command.arg("client").arg(&certificate.certificate).arg(port.to_string());
    command.arg(connections.to_string()).arg(request).arg(response_len.to_string());
    command.arg(scratch.join("client"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The distribution's libssl, as Python uses it.
pub fn libssl() -> PathBuf {
    let mut python = command("python3");
    python.args(["-c", "import ssl; print(open('/proc/self/maps').read())"]);
    let maps = run(&mut python).success().stdout;
    let maps = String::from_utf8(maps).unwrap();
    let mut paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths.find(|path| path.contains("/libssl.so")).expect("Python maps a libssl").into()
}

/// A client that has loaded its library and waits for its go-ahead.
#[derive(Debug)]
pub struct Waiting {
    process: Process,
    stdin: ChildStdin,
}

impl Waiting {
    /// Starts it and waits until it waits.
    pub fn start(mut client: Command) -> Self {
        let mut process = Process::start(&mut client);
        let stdin = process.stdin();
        process.stdout_lines().wait_for("\"ready\"", |line| line == "ready");
        Self { process, stdin }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Lets it go and waits for its end.
    pub fn run(mut self) {
        self.stdin.write_all(b"go\n").unwrap();
        let status = self.process.wait();
        assert!(status.success(), "client: {status}");
    }
}

/// What a run of a client and a server was about.
#[derive(Debug)]
pub struct Exchanged {
    /// The client's process.
    pub client: u32,
    /// The server's process.
    pub server: u32,
    /// The server's port, on 127.0.0.1.
    pub port: u16,
}

/// A server and a client that have loaded their libraries and wait for the go-ahead.
#[derive(Debug)]
pub struct Exchange {
    server: Server,
    client: Waiting,
    folder: PathBuf,
    connections: usize,
    request: Vec<u8>,
    response: Vec<u8>,
}

impl Exchange {
    /// Starts both.
    pub fn prepare(scratch: &Scratch, client: &Side, server: &Side, connections: usize) -> Self {
        let certificate = Certificate::new(scratch);
        let running = Server::start(
            scratch,
            &certificate,
            server.language,
            connections,
            client.sends.len(),
            &server.sends,
        );
        let command = self::client(
            scratch,
            &certificate,
            client.language,
            running.port,
            connections,
            &client.sends,
            server.sends.len(),
        );
        Self {
            server: running,
            client: Waiting::start(command),
            folder: scratch.path().to_owned(),
            connections,
            request: client.sends.clone(),
            response: server.sends.clone(),
        }
    }

    /// Lets them talk, waits for their ends, and checks by their own files that they got what was
    /// sent.
    pub fn run(self) -> Exchanged {
        let exchanged = Exchanged {
            client: self.client.pid(),
            server: self.server.pid(),
            port: self.server.port,
        };
        self.client.run();
        self.server.finish();
        for number in 0..self.connections {
            for (side, expected) in [("server", &self.request), ("client", &self.response)] {
                let path = self.folder.join(format!("{side}-{number}.received"));
                let received = std::fs::read(path).unwrap();
                assert_eq!(digest(&received), digest(expected), "what {side} {number} received");
            }
        }
        exchanged
    }
}
