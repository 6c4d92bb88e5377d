//! What tcpdump records of the same packets.

use e2e::Scratch;
use e2e::process::{LIMIT, Process, command};
use rustix::process::Signal;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

/// A running tcpdump.
pub(super) struct Recording {
    process: Process,
    file: PathBuf,
    port: u16,
}

/// Sent after everything else.
const END: &[u8] = b"the end of what is recorded";

impl Recording {
    /// Starts it on loopback and waits until it records.
    pub(super) fn start(scratch: &Scratch, port: u16) -> Self {
        let file = scratch.join("tcpdump.pcap");
        let mut tcpdump = command("tcpdump");
        tcpdump.args(["-i", "lo", "-s", "0", "-U", "-B", "65536", "-Z", "root"]);
        tcpdump.args(["--time-stamp-precision=nano", "-w"]).arg(&file).arg(format!("port {port}"));
        tcpdump.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(&mut tcpdump);
        let mut stderr = process.stderr_lines();
        stderr.wait_for("\"listening on\"", |line| line.contains("listening on"));
        Self { process, file, port }
    }

    /// Ends it when all that was sent so far is in the file.
    pub(super) fn stop(mut self) -> PathBuf {
        // To the server's TCP port over UDP: nobody gets it.
        let last = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let limit = Instant::now() + LIMIT;
        while !contains(&self.file, END) {
            assert!(Instant::now() < limit, "tcpdump does not write");
            // Refused after the first, which says that it came through.
            let _ = last.send_to(END, ("127.0.0.1", self.port));
            std::thread::yield_now();
        }
        self.process.signal(Signal::INT);
        assert!(self.process.wait().success(), "tcpdump failed");
        self.file
    }
}

fn contains(file: &Path, bytes: &[u8]) -> bool {
    let content = std::fs::read(file).unwrap_or_default();
    content.windows(bytes.len()).any(|window| window == bytes)
}
