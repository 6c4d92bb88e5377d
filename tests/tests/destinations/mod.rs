//! Where events go: network destinations, rotating files, formats, and what becomes of the rest.
//!
//! What arrives is compared with what `--output` wrote in the same capture, byte for byte.

mod convert;
mod files;
mod har;
mod network;
mod outage;

use e2e::load::Load;
use e2e::nginx::{Nginx, free_port};
use e2e::process::{LIMIT, Lines, Process, command};
use e2e::{Capture, Captured, Scratch};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A program that takes what a destination gets.
struct Receiver {
    process: Process,
    _lines: Lines,
}

/// How and where something is received.
struct Place {
    kind: &'static str,
    /// A port or a path.
    at: String,
    /// Where it is put.
    file: PathBuf,
    tls: Option<(PathBuf, PathBuf)>,
}

impl Place {
    fn new(scratch: &Scratch, nginx: &Nginx, kind: &'static str) -> Self {
        let at = match kind {
            "unix" => scratch.join("receiver.socket").display().to_string(),
            _ => free_port().to_string(),
        };
        let certificate = &nginx.certificate;
        let tls = matches!(kind, "tls" | "wss")
            .then(|| (certificate.certificate.clone(), certificate.key.clone()));
        Self {
            kind,
            file: scratch.join(format!("received.{kind}.{at}", at = free_port())),
            at,
            tls,
        }
    }

    /// As `--eventaddr` wants it, with these options.
    fn address(&self, options: &str) -> String {
        let address = match self.kind {
            "unix" => format!("unix:{}", self.at),
            "deaf" => format!("tcp://127.0.0.1:{}", self.at),
            kind => format!("{kind}://127.0.0.1:{}", self.at),
        };
        let ca = self.tls.as_ref().map(|(ca, _)| format!("&ca={}", ca.display()));
        format!("{address}?{options}{}", ca.unwrap_or_default())
    }

    fn receive(&self) -> Receiver {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/destinations/receiver.py");
        let mut python = command("python3");
        python.arg(script).args([self.kind, &self.at]).arg(&self.file);
        if let Some((certificate, key)) = &self.tls {
            python.args([certificate, key]);
        }
        python.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::start(&mut python);
        let mut lines = process.stdout_lines();
        lines.wait_for("listening", |line| line == "listening");
        Receiver { process, _lines: lines }
    }

    fn received(&self) -> Vec<u8> {
        fs::read(&self.file).unwrap_or_default()
    }

    /// Whole lines that were received.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.received()).into_owned();
        text.lines().map(str::to_owned).collect()
    }
}

/// A capture of one nginx, every event of which is in a file too.
struct Reference {
    nginx: Nginx,
    capture: Capture,
    output: PathBuf,
}

impl Reference {
    fn start(scratch: &Scratch, nginx: Nginx, arguments: &[&str]) -> Self {
        let output = scratch.join("reference.json");
        let (path, pid) = (output.display().to_string(), nginx.workers[0].to_string());
        let capture = Capture::raw(
            scratch,
            &[&["--output", path.as_str(), "--pid", pid.as_str()], arguments].concat(),
        );
        Self { nginx, capture, output }
    }

    /// Requests for so many events, at least. Each request is one read and one write of the server.
    fn events(&self, at_least: u64) {
        let mut requests = 0;
        while 2 * requests < at_least {
            let load = Load::start(&self.nginx, "small", 8, Duration::from_secs(1)).finish();
            assert_eq!(load.failures, Vec::<String>::new());
            requests += load.requests;
        }
    }

    /// Waits until a destination has got everything that the reference has.
    fn wait_for(&self, place: &Place) {
        let len = |path: &Path| path.metadata().map_or(0, |file| file.len());
        let start = Instant::now();
        while len(&place.file) < len(&self.output) {
            let (got, all) = (len(&place.file), len(&self.output));
            assert!(start.elapsed() < LIMIT, "{}: {got} of {all} bytes", place.kind);
            std::thread::yield_now();
        }
    }

    /// Ends it; what went to the reference.
    fn stop(self) -> (Captured, Vec<u8>) {
        self.nginx.stop();
        let captured = self.capture.stop();
        let output = fs::read(&self.output).unwrap();
        (captured, output)
    }
}

fn lines(text: &[u8]) -> Vec<&str> {
    std::str::from_utf8(text).unwrap().lines().collect()
}

/// Lines of the reference that were not received.
fn missing(reference: &[u8], received: &[String]) -> u64 {
    let received: HashSet<&str> = received.iter().map(String::as_str).collect();
    lines(reference).iter().filter(|line| !received.contains(**line)).count() as u64
}
