//! PostgreSQL servers, and a client of their protocol (chapter "Frontend/Backend Protocol" of
//! PostgreSQL's manual) that needs no library.

use super::Root;
use crate::Scratch;
use crate::process::{self, Process, command};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const SOCKET: &str = "/tmp/.s.PGSQL.5432";

/// A server's files and data; it runs once started.
#[derive(Debug)]
pub struct Cluster {
    root: Root,
    folder: String,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    cluster: Cluster,
    process: Process,
}

impl Cluster {
    /// Makes the files of the suite's server.
    pub fn new(scratch: &Scratch, suite: &str) -> Self {
        let root = Root::new(scratch, suite);
        let version = ["13", "15", "17", "18"]
            .into_iter()
            .find(|version| root.has(&format!("/usr/lib/postgresql/{version}/bin/postgres")))
            .expect("the suite has a server");
        let folder = format!("/usr/lib/postgresql/{version}/bin");
        let mut initialize = root.command(&format!("{folder}/initdb"));
        initialize.args(["-D", "/data/postgres", "--no-sync", "--auth=trust"]);
        initialize.args(["--username=postgres", "--locale=C", "--encoding=UTF8"]);
        let _ = process::run(&mut initialize).success();
        Self { root, folder }
    }

    /// Starts the server, and waits until it takes connections.
    pub fn start(self) -> Server {
        let mut command = self.root.command(&format!("{}/postgres", self.folder));
        // No TCP; not synchronous, as nothing is to last.
        command.args(["-D", "/data/postgres", "-h", "", "-k", "/tmp", "-F", "-N", "80"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(&mut command).warned_by(Signal::INT);
        process.stderr_lines().wait_for("\"ready to accept connections\"", |line| {
            line.contains("ready to accept connections")
        });
        Server { cluster: self, process }
    }

    /// Writes a file into the root's `/tmp`; where the host sees it.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.root.path("/tmp").join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The file that the server runs from, as the host sees it.
    pub fn file(&self) -> PathBuf {
        self.root.file(&format!("{}/postgres", self.folder))
    }
}

impl Server {
    /// Makes and starts the suite's server.
    pub fn start(scratch: &Scratch, suite: &str) -> Self {
        Cluster::new(scratch, suite).start()
    }

    /// The process that starts the others.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The file that it runs from, as the host sees it.
    pub fn file(&self) -> PathBuf {
        self.cluster.file()
    }

    /// Its files.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::new(UnixStream::connect(self.cluster.root.path(SOCKET)).unwrap())
    }

    /// The suite's `pgbench`.
    pub fn pgbench(&self) -> Command {
        let mut command = self.cluster.root.command(&format!("{}/pgbench", self.cluster.folder));
        command.args(["-h", "/tmp", "-U", "postgres"]);
        command
    }

    /// The host's `psql`.
    pub fn psql(&self) -> Command {
        let mut psql = command("psql");
        psql.args(["-X", "-q", "-U", "postgres", "-h"]).arg(self.cluster.root.path("/tmp"));
        psql
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    /// The process that serves it.
    pub backend: u64,
}

/// The SQLSTATE of the error, if there was one.
pub type Answer = Result<(), String>;

impl Client {
    fn new(stream: UnixStream) -> Self {
        let mut client = Self { stream, backend: 0 };
        let mut startup = 196_608_u32.to_be_bytes().to_vec();
        startup.extend(b"user\0postgres\0database\0postgres\0\0");
        let length = (startup.len() + 4) as u32;
        client.stream.write_all(&[&length.to_be_bytes()[..], &startup].concat()).unwrap();
        loop {
            match client.receive() {
                (b'K', body) => {
                    client.backend = u32::from_be_bytes(body[..4].try_into().unwrap()).into();
                }
                (b'Z', _) => return client,
                (b'E', body) => panic!("{}", String::from_utf8_lossy(&body)),
                _ => {}
            }
        }
    }

    /// The simple protocol.
    pub fn query(&mut self, text: &str) -> Answer {
        self.send(text);
        self.answer()
    }

    /// The same, without waiting for the answer.
    pub fn send(&mut self, text: &str) {
        self.stream.write_all(&message(b'Q', &[text.as_bytes(), b"\0"])).unwrap();
    }

    /// The one value that a statement returns.
    pub fn ask(&mut self, text: &str) -> String {
        self.send(text);
        let mut value = String::new();
        loop {
            match self.receive() {
                // One column: two bytes of count, four of length.
                (b'D', body) => value = String::from_utf8(body[6..].to_vec()).unwrap(),
                (b'Z', _) => return value,
                _ => {}
            }
        }
    }

    /// Parse, into a prepared statement of this name.
    pub fn prepare(&mut self, name: &str, text: &str) -> Answer {
        let parse = message(b'P', &[name.as_bytes(), b"\0", text.as_bytes(), b"\0", &[0, 0]]);
        self.stream.write_all(&[parse, message(b'S', &[])].concat()).unwrap();
        self.answer()
    }

    /// Bind and execute a prepared statement.
    pub fn execute(&mut self, name: &str) -> Answer {
        let bind = message(b'B', &[b"\0", name.as_bytes(), b"\0", &[0; 6]]);
        let execute = message(b'E', &[b"\0", &[0; 4]]);
        self.stream.write_all(&[bind, execute, message(b'S', &[])].concat()).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut answer = Ok(());
        loop {
            match self.receive() {
                (b'E', body) => {
                    let mut fields = body.split(|byte| *byte == 0);
                    let code = fields.find_map(|field| field.strip_prefix(b"C")).unwrap();
                    answer = Err(String::from_utf8(code.to_vec()).unwrap());
                }
                (b'Z', _) => return answer,
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).unwrap();
        (head[0], body)
    }
}

fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut message = vec![kind];
    message.extend((body.len() as u32 + 4).to_be_bytes());
    message.extend(body);
    message
}
