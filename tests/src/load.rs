//! wrk: as many requests as go through, on connections that stay open.

use crate::nginx::Nginx;
use crate::process::{Process, command};
use rustix::process::Signal;
use std::process::Stdio;
use std::time::Duration;

/// wrk at work.
#[derive(Debug)]
pub struct Load {
    process: Process,
}

/// What wrk says at its end.
#[derive(Debug)]
pub struct Report {
    /// The wrk process.
    pub pid: u32,
    /// Responses that were read whole.
    pub requests: u64,
    /// Lines about errors; empty if there were none.
    pub failures: Vec<String>,
}

impl Load {
    /// Starts it with one thread.
    pub fn start(nginx: &Nginx, name: &str, connections: u32, duration: Duration) -> Self {
        let mut wrk = command("wrk");
        wrk.args(["--threads", "1", "--connections", &connections.to_string()]);
        wrk.arg("--duration").arg(format!("{}s", duration.as_secs()));
        wrk.arg(format!("https://127.0.0.1:{}/{name}", nginx.port));
        wrk.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { process: Process::start(&mut wrk) }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it still goes on.
    pub fn is_running(&mut self) -> bool {
        !self.process.ends_within(Duration::ZERO)
    }

    /// Ends it before its time: it reports what it has done.
    pub fn stop(self) -> Report {
        self.process.signal(Signal::INT);
        self.finish()
    }

    /// Waits for its end.
    pub fn finish(self) -> Report {
        let done = self.process.finish().success();
        let text = String::from_utf8(done.stdout).unwrap();
        let requests = text
            .lines()
            .find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok())
            .unwrap_or_else(|| panic!("wrk says nothing of requests:\n{text}"));
        let is_failure = |line: &&str| line.contains("errors:") || line.contains("Non-2xx");
        let failures = text.lines().filter(is_failure).map(|line| line.trim().to_owned()).collect();
        Report { pid: done.pid, requests, failures }
    }
}
