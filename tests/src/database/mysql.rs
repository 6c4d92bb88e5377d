//! MySQL and MariaDB servers, and a client of their protocol (Connection Phase, Text Protocol, Prepared
//! Statements of MySQL's internals manual) that needs no library.

use super::Root;
use crate::Scratch;
use crate::process::{self, Process};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;

const SOCKET: &str = "/tmp/mysql.sock";
/// Of sid; the other suites have MariaDB.
const MYSQLD: &str = "/usr/sbin/mysqld";
const MARIADBD: &str = "/usr/sbin/mariadbd";

/// A running server with no data but its own.
#[derive(Debug)]
pub struct Server {
    root: Root,
    process: Process,
    program: &'static str,
}

impl Server {
    /// Starts the suite's server, and waits until it takes connections.
    pub fn start(scratch: &Scratch, suite: &str) -> Self {
        let root = Root::new(scratch, suite);
        let is_mysql = root.has(MYSQLD) && !root.has(MARIADBD);
        let program = if is_mysql { MYSQLD } else { MARIADBD };
        if is_mysql {
            let mut initialize = root.command(program);
            initialize.args(["--no-defaults", "--initialize-insecure", "--datadir=/data/mysql"]);
            initialize.args(["--innodb-redo-log-capacity=8M", "--lower-case-table-names=0"]);
            let _ = process::run(&mut initialize).success();
        }
        let mut command = root.command(program);
        command.args(["--no-defaults", "--skip-networking", "--max-allowed-packet=64M"]);
        command.args(["--innodb-buffer-pool-size=16M", "--pid-file=/data/mysql.pid"]);
        command.arg(format!("--socket={SOCKET}"));
        if is_mysql {
            command.args(["--datadir=/data/mysql", "--mysqlx=0", "--secure-file-priv=NULL"]);
            command.args(["--skip-log-bin", "--lower-case-table-names=0"]);
        } else {
            // There are no tables with users in an empty folder.
            command.args(["--datadir=/data", "--skip-grant-tables"]);
            command.arg("--lc-messages-dir=/usr/share/mysql");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(&mut command).warned_by(Signal::TERM);
        process
            .stderr_lines()
            .wait_for("\"ready for connections\"", |line| line.contains("ready for connections"));
        Self { root, process, program }
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The file that it runs from, as the host sees it.
    pub fn file(&self) -> PathBuf {
        self.root.file(self.program)
    }

    /// What `"system"` of its statements is.
    pub fn system(&self) -> &'static str {
        if self.program == MYSQLD { "mysql" } else { "mariadb" }
    }

    /// A new connection as `root`.
    pub fn connect(&self) -> Client {
        Client::new(UnixStream::connect(self.root.path(SOCKET)).unwrap())
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    /// The number that the server gave it.
    pub connection: u64,
    sequence: u8,
}

/// The server's answer to a statement: its error number, or how many rows were changed by the last
/// part of it, if it said so.
pub type Answer = Result<Option<u64>, u16>;

const MORE_RESULTS: u16 = 8;

impl Client {
    fn new(stream: UnixStream) -> Self {
        let mut client = Self { stream, connection: 0, sequence: 0 };
        let greeting = client.receive();
        let version = greeting[1..].iter().position(|byte| *byte == 0).unwrap();
        let at = 1 + version + 1;
        client.connection = u32::from_le_bytes(greeting[at..at + 4].try_into().unwrap()).into();
        // Long password, protocol 4.1, secure connection, several statements and results, plugins.
        let capabilities: u32 = 0x1 | 0x200 | 0x8000 | 0x1_0000 | 0x2_0000 | 0x8_0000;
        let mut answer = capabilities.to_le_bytes().to_vec();
        answer.extend(0x4000_0000_u32.to_le_bytes());
        answer.push(45);
        answer.extend([0; 23]);
        answer.extend(b"root\0\0mysql_native_password\0");
        client.send(&answer);
        loop {
            match client.receive() {
                packet if packet[0] == 0 => return client,
                // Another way to say that there is no password.
                packet if packet[0] == 0xfe => client.send(b""),
                packet if packet[0] == 1 => {}
                packet => panic!("{}", String::from_utf8_lossy(&packet)),
            }
        }
    }

    /// `COM_QUERY`
    pub fn query(&mut self, text: &str) -> Answer {
        self.command(3, text.as_bytes());
        self.answer()
    }

    /// `COM_STMT_PREPARE` of a statement without parameters; the number that it got.
    pub fn prepare(&mut self, text: &str) -> Result<u32, u16> {
        self.command(22, text.as_bytes());
        let packet = self.receive();
        if packet[0] == 0xff {
            return Err(u16::from_le_bytes([packet[1], packet[2]]));
        }
        let number = u32::from_le_bytes(packet[1..5].try_into().unwrap());
        let columns = u16::from_le_bytes([packet[5], packet[6]]);
        assert_eq!(u16::from_le_bytes([packet[7], packet[8]]), 0, "it has parameters");
        if columns > 0 {
            self.skip(usize::from(columns) + 1);
        }
        Ok(number)
    }

    /// `COM_STMT_EXECUTE`
    pub fn execute(&mut self, number: u32) -> Answer {
        let mut body = number.to_le_bytes().to_vec();
        body.push(0);
        body.extend(1_u32.to_le_bytes());
        self.command(23, &body);
        self.answer()
    }

    /// `COM_STMT_CLOSE`, which has no answer.
    pub fn close(&mut self, number: u32) {
        self.command(25, &number.to_le_bytes());
    }

    fn command(&mut self, command: u8, body: &[u8]) {
        self.sequence = 0;
        self.send(&[&[command], body].concat());
    }

    fn answer(&mut self) -> Answer {
        loop {
            let packet = self.receive();
            let (rows, status) = match packet[0] {
                0xff => return Err(u16::from_le_bytes([packet[1], packet[2]])),
                0 => {
                    let (rows, used) = length_encoded(&packet[1..]);
                    let (_, more) = length_encoded(&packet[1 + used..]);
                    let at = 1 + used + more;
                    (Some(rows), u16::from_le_bytes([packet[at], packet[at + 1]]))
                }
                columns => {
                    self.skip(usize::from(columns) + 1);
                    (None, self.rows()?)
                }
            };
            if status & MORE_RESULTS == 0 {
                return Ok(rows);
            }
        }
    }

    /// Reads rows to their end; gives the status there.
    fn rows(&mut self) -> Result<u16, u16> {
        loop {
            let packet = self.receive();
            match packet[0] {
                0xff => return Err(u16::from_le_bytes([packet[1], packet[2]])),
                0xfe if packet.len() < 9 => return Ok(u16::from_le_bytes([packet[3], packet[4]])),
                _ => {}
            }
        }
    }

    fn skip(&mut self, packets: usize) {
        for _ in 0..packets {
            self.receive();
        }
    }

    fn send(&mut self, body: &[u8]) {
        assert!(body.len() < 0xff_ffff);
        let mut packet = (body.len() as u32).to_le_bytes().to_vec();
        packet[3] = self.sequence;
        packet.extend(body);
        self.stream.write_all(&packet).unwrap();
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).unwrap();
        self.sequence = head[3].wrapping_add(1);
        let mut body = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
        self.stream.read_exact(&mut body).unwrap();
        body
    }
}

/// A length-encoded integer, and how many bytes it takes.
fn length_encoded(bytes: &[u8]) -> (u64, usize) {
    let number = |len: usize| {
        let mut number = [0; 8];
        number[..len].copy_from_slice(&bytes[1..=len]);
        (u64::from_le_bytes(number), 1 + len)
    };
    match bytes[0] {
        0xfc => number(2),
        0xfd => number(3),
        0xfe => number(8),
        small => (small.into(), 1),
    }
}
