//! Control from outside: who may, what it does, and that it does no harm.

mod access;
mod flood;
mod http;
mod modules;
mod reload;
mod servers_and_shells;
mod stream;

use e2e::nginx::free_port;
use e2e::process::{command, run};
use e2e::{Capture, Scratch};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const TOKEN: &str = "a-token-for-this-test-0123456789";

/// A file with the token that only its owner can read.
fn token_file(scratch: &Scratch) -> PathBuf {
    let path = scratch.write("token", TOKEN);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A capture with the HTTP interface.
struct Served {
    module: &'static str,
    capture: Capture,
    port: u16,
}

/// What the interface answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn code(&self) -> u64 {
        self.json()["code"].as_u64().unwrap_or_else(|| panic!("no code: {self:?}"))
    }
}

/// A curl without surprises that prints the body, and then the status on a line of its own.
fn curl(arguments: &[&str]) -> Command {
    let mut curl = command("curl");
    curl.args(["--disable", "--silent", "--noproxy", "*", "--max-time", "60"]);
    curl.args(["--write-out", "\n%{http_code}"]).args(arguments);
    curl
}

fn ask(arguments: &[&str]) -> Answer {
    let outcome = run(&mut curl(arguments));
    let text = String::from_utf8(outcome.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    Answer { status: status.parse().unwrap(), body: body.to_owned() }
}

impl Served {
    fn start(scratch: &Scratch, arguments: &[&str]) -> Self {
        Self::of("tls", scratch, &[&["--format", "json", "--no-parse"], arguments].concat())
    }

    /// Of any module.
    fn of(module: &'static str, scratch: &Scratch, arguments: &[&str]) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let token = token_file(scratch);
        let control = ["--listen", &listen, "--token-file", token.to_str().unwrap()];
        let capture = Capture::of(module, scratch, &[&control, arguments].concat());
        Self { module, capture, port }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// With the token.
    fn ask(&self, path: &str, arguments: &[&str]) -> Answer {
        let bearer = format!("Authorization: Bearer {TOKEN}");
        ask(&[&["-H", &bearer, &self.url(path)], arguments].concat())
    }

    fn configure(&self, body: &str) -> Answer {
        self.ask(&format!("/{}", self.module), &["--data-raw", body])
    }

    /// What is configured now.
    fn config(&self) -> Value {
        self.ask("/status", &[]).json()["config"].clone()
    }

    /// The value of a metric without labels.
    fn metric(&self, name: &str) -> u64 {
        let metrics = self.ask("/metrics", &[]).body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
    }
}

/// Kibibytes that a process has had resident at most.
fn peak_kib(pid: u32) -> u64 {
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
