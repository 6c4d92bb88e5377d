//! `openssl s_client` and `s_server` as plain pipes into TLS connections.

use crate::certificate::Certificate;
use crate::process::{Lines, Process, command};
use std::process::{Command, Stdio};

/// The distribution's own `openssl`.
pub fn distribution() -> Command {
    command("openssl")
}

/// Makes `openssl` a client of a server on this port; what it reads it sends, what it gets it prints.
pub fn client(mut openssl: Command, certificate: &Certificate, port: u16) -> Command {
    openssl.args(["s_client", "-quiet", "-servername", "localhost"]);
    openssl.arg("-connect").arg(format!("127.0.0.1:{port}"));
    openssl.arg("-CAfile").arg(&certificate.certificate);
    openssl
}

/// An `openssl s_server` that serves the files of its working directory on one connection.
#[derive(Debug)]
pub struct FileServer {
    process: Process,
    stdout: Lines,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl FileServer {
    /// Starts it and waits until it listens. `openssl`'s working directory is what it serves.
    pub fn start(mut openssl: Command, certificate: &Certificate) -> Self {
        // It does not say which port it got for 0 before OpenSSL 3.0.
        let port = crate::nginx::free_port();
        openssl
            .args(["s_server", "-WWW", "-naccept", "1", "-accept"])
            .arg(format!("127.0.0.1:{port}"));
        openssl.arg("-cert").arg(&certificate.certificate).arg("-key").arg(&certificate.key);
        openssl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start(&mut openssl);
        let mut stdout = process.stdout_lines();
        stdout.wait_for("\"ACCEPT\"", |line| line.starts_with("ACCEPT"));
        Self { process, stdout, port }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until it has served its connections and ended.
    pub fn finish(mut self) {
        let status = self.process.wait();
        assert!(status.success(), "s_server: {status}\n{}", self.stdout.finish().join("\n"));
    }
}
