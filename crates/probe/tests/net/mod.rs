//! Network namespaces, programs in them, and tcpdump beside us.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

pub(crate) mod scripts;

use event::{Direction, Owner, Packet};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill as signal};
use nix::unistd::Pid;
use probe::features::Without;
use probe::packets::{InterfaceTally, Options, Packets};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

const CAP_SYS_ADMIN: u32 = 21;

/// True if this process may capture and make namespaces; if not, says so, or fails if
/// `ECAPTURE_REQUIRE_BPF=1`.
pub(crate) fn bpf_is_possible() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap();
    let possible = effective >> CAP_SYS_ADMIN & 1 == 1;
    let required = std::env::var_os("ECAPTURE_REQUIRE_BPF").is_some_and(|value| value == "1");
    assert!(possible || !required, "ECAPTURE_REQUIRE_BPF=1, but there is no CAP_SYS_ADMIN");
    if !possible {
        eprintln!("skipped: no CAP_SYS_ADMIN");
    }
    possible
}

/// Puts this thread, and the programs that it starts, into a network namespace of their own.
pub(crate) fn own_network() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run("ip", &["link", "set", "lo", "up"]);
}

/// Runs a program to its end and returns its output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn kill(pid: u32) {
    signal(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
}

pub(crate) fn without(names: &str) -> Without {
    Without::parse(names).unwrap()
}

pub(crate) fn options() -> Options {
    Options {
        interfaces: Vec::new(),
        filter: None,
        snaplen: 262_144,
        ring_bytes: 4 << 20,
        queue_bytes: 128 << 20,
        pids: None,
        follow_children: false,
        uid: None,
        cgroup: None,
        use_btf: true,
        without: Without::from_environment().unwrap(),
    }
}

/// A program, killed on drop.
pub(crate) struct Program {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// Reads lines until one that contains `text`, and returns it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.stdout.read_line(&mut line).unwrap();
            assert!(read > 0, "the program ended without saying {text}");
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn interpreter(command: &mut Command, script: &str, arguments: &[&str]) -> Program {
    Program::start(command.arg("-c").arg(script).args(arguments))
}

/// The interpreter itself: a wrapper would have a pid of its own.
fn python_path() -> String {
    run("python3", &["-c", "import sys; print(sys.executable)"]).trim().to_owned()
}

pub(crate) fn python(script: &str, arguments: &[&str]) -> Program {
    interpreter(&mut Command::new(python_path()), script, arguments)
}

/// Runs a test of this file in a process of its own.
pub(crate) fn this_test(name: &str, environment: &[(&str, &str)]) -> Program {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).envs(environment.iter().copied());
    Program::start(&mut command)
}

/// The other end of a pair of interfaces, `pk1` in a namespace of its own, opposite to `pk0` in ours.
pub(crate) struct Peer {
    holder: Program,
}

impl Peer {
    pub(crate) fn python(&self, script: &str, arguments: &[&str]) -> Program {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.pid().to_string(), "-n", &python_path()]);
        interpreter(&mut command, script, arguments)
    }
}

pub(crate) fn veth() -> Peer {
    let holder =
        Program::start(Command::new("unshare").args(["-n", "sh", "-c", "echo ready; read x"]));
    let mut peer = Peer { holder };
    peer.holder.wait_for("ready");
    let pid = peer.holder.pid().to_string();
    let inside = |arguments: &[&str]| {
        run("nsenter", &[&["-t", &pid, "-n", "ip"], arguments].concat());
    };
    run("ip", &["link", "add", "pk0", "type", "veth", "peer", "name", "pk1", "netns", &pid]);
    inside(&["link", "set", "lo", "up"]);
    for (number, interface) in [("1", "pk0"), ("2", "pk1")] {
        for (address, length) in [("10.9.0.", "/24"), ("fd09::", "/64")] {
            let address = format!("{address}{number}{length}");
            let mut arguments = vec!["address", "add", &address, "dev", interface];
            if address.contains(':') {
                arguments.push("nodad");
            }
            if number == "1" {
                run("ip", &arguments);
            } else {
                inside(&arguments);
            }
        }
    }
    run("ip", &["link", "set", "pk0", "up"]);
    inside(&["link", "set", "pk1", "up"]);
    peer
}

/// A packet that was captured, by us or by tcpdump (which tells no owner).
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) ts: u64,
    pub(crate) dir: Direction,
    pub(crate) original_len: u32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) owner: Option<Arc<Owner>>,
}

/// A running capture whose packets are collected by a thread.
pub(crate) struct Capture {
    stop: Arc<rustix::fd::OwnedFd>,
    thread: JoinHandle<(Vec<Seen>, Vec<InterfaceTally>)>,
}

pub(crate) fn capture(options: Options) -> Capture {
    let stop = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let stop = Arc::new(stop);
    let stopped = Arc::clone(&stop);
    let (ready, is_ready) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let packets = Packets::load(options).unwrap_or_else(|error| panic!("{error}"));
        let notes = packets.notes();
        assert!(notes.iter().all(|note| note.contains("BTF")), "{notes:?}");
        ready.send(()).unwrap();
        collect(packets, &stopped)
    });
    is_ready.recv().expect("the capture could not be loaded");
    Capture { stop, thread }
}

impl Capture {
    pub(crate) fn stop(self) -> (Vec<Seen>, Vec<InterfaceTally>) {
        rustix::io::write(&*self.stop, &1_u64.to_ne_bytes()).unwrap();
        self.thread.join().unwrap()
    }
}

fn collect(mut packets: Packets, stop: &impl AsFd) -> (Vec<Seen>, Vec<InterfaceTally>) {
    let mut seen = Vec::new();
    let mut keep = |packet: Packet<'_>| {
        seen.push(Seen {
            ts: packet.ts.0,
            dir: packet.dir,
            original_len: packet.original_len,
            bytes: packet.bytes.to_vec(),
            owner: packet.owner,
        });
    };
    loop {
        let fd = packets.fd().try_clone_to_owned().unwrap();
        let mut fds = [PollFd::new(&fd, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        poll(&mut fds, None).unwrap();
        let stopped = !fds[1].revents().is_empty();
        while packets.drain(&mut keep).more {}
        if stopped {
            break;
        }
    }
    packets.detach();
    while !packets.is_drained() {
        packets.drain(&mut keep);
    }
    let tally = packets.tally();
    (seen, tally)
}

/// tcpdump at an interface.
pub(crate) struct Tcpdump {
    child: Child,
    file: PathBuf,
    /// An address that is reached through the interface.
    beyond: &'static str,
}

/// Sent at the end of a test: what tcpdump has not written before it is interrupted is lost.
const SENTINEL: &[u8] = b"this is the end, as far as tcpdump is concerned";

impl Tcpdump {
    /// Returns when it captures.
    pub(crate) fn start(interface: &str, filter: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("packets-{}-{number}", std::process::id()));
        let mut child = Command::new("tcpdump")
            .args(["-i", interface, "-Z", "root", "-U", "--immediate-mode", "-s", "262144"])
            .args(["-B", "65536", "-w"])
            .arg(&file)
            .arg(format!("({filter}) or udp port 65001"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "tcpdump did not start");
        }
        // It must not be stopped by a pipe that nobody reads.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let beyond = match interface {
            "lo" => "127.0.0.1:65001",
            "pk0" => "10.9.0.2:65001",
            _ => "10.8.0.7:65001",
        };
        Self { child, file, beyond }
    }

    /// Waits until it has written so many packets.
    pub(crate) fn wait_for_packets(&self, count: usize) {
        while read(&self.file).len() < count {
            std::thread::yield_now();
        }
    }

    pub(crate) fn stop(mut self) -> Vec<Seen> {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(SENTINEL, self.beyond).unwrap();
        while !read(&self.file).iter().any(is_sentinel) {
            std::thread::yield_now();
        }
        signal(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        self.child.wait().unwrap();
        read(&self.file).into_iter().filter(|seen| !is_sentinel(seen)).collect()
    }
}

impl Drop for Tcpdump {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

/// Reads a capture file of this host's byte order, as far as it is written.
fn read(file: &PathBuf) -> Vec<Seen> {
    let bytes = fs::read(file).unwrap_or_default();
    let word = |bytes: &[u8], at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut rest = bytes.get(24..).unwrap_or_default();
    let mut seen = Vec::new();
    while rest.len() >= 16 && rest.len() - 16 >= word(rest, 8) as usize {
        let len = word(rest, 8) as usize;
        seen.push(Seen {
            ts: u64::from(word(rest, 0)) * 1_000_000_000 + u64::from(word(rest, 4)) * 1000,
            dir: Direction::Recv,
            original_len: word(rest, 12),
            bytes: rest[16..16 + len].to_vec(),
            owner: None,
        });
        rest = &rest[16 + len..];
    }
    seen
}

fn is_sentinel(seen: &Seen) -> bool {
    seen.bytes.windows(SENTINEL.len()).any(|window| window == SENTINEL)
}

/// The same packets at about the same time. Their order is not compared: packets that cross at the same
/// time on two CPUs come to the two captures in any.
pub(crate) fn assert_same(ours: &[Seen], theirs: &[Seen]) {
    let sorted = |seen: &[Seen]| {
        let mut seen: Vec<Seen> = seen.iter().filter(|seen| !is_sentinel(seen)).cloned().collect();
        seen.sort_by(|a, b| a.bytes.cmp(&b.bytes));
        seen
    };
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    assert_eq!(ours.len(), theirs.len(), "{}\n{}", brief(&ours), brief(&theirs));
    for (number, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(our.bytes, their.bytes, "number {number}");
        assert_eq!(our.original_len, their.original_len, "number {number}");
        assert!(our.ts.abs_diff(their.ts) < 1_000_000_000, "number {number}");
    }
}

/// Headers, for what a failed test says.
fn brief(seen: &[Seen]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for packet in seen {
        let header = &packet.bytes[..54.min(packet.bytes.len())];
        let _ = writeln!(text, "{} {header:02x?} {:?}", packet.original_len, packet.owner);
    }
    text
}
