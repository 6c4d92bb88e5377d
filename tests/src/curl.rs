//! curl as a client, and what it knows of the bytes it exchanged.

use crate::nginx::Nginx;
use crate::process::{Process, command};
use crate::scratch::Scratch;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version of HTTP to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1
    V1,
    /// HTTP/2
    V2,
}

/// A curl command that trusts the test's certificate.
pub fn curl(http: Http, certificate: &Path) -> Command {
    let mut curl = command("curl");
    curl.args(["--disable", "--silent", "--show-error", "--fail", "--noproxy", "*", "--ipv4"]);
    curl.arg(if http == Http::V1 { "--http1.1" } else { "--http2" });
    curl.arg("--cacert").arg(certificate);
    // Without it curl waits a second for `100 Continue` before a large upload, or gets one.
    curl.args(["-H", "Expect:"]);
    curl
}

/// One request on one connection, under way.
#[derive(Debug)]
pub struct Transfer {
    process: Process,
    head: PathBuf,
    received: PathBuf,
    sent: Vec<u8>,
}

/// One request that is over, as curl reports it.
#[derive(Debug)]
pub struct Transferred {
    /// The curl process.
    pub pid: u32,
    /// The request's head, with the empty line at its end. Not the bytes of HTTP/2.
    pub request_head: Vec<u8>,
    /// The request's body.
    pub sent: Vec<u8>,
    /// The response's head, with the empty line at its end. Not the bytes of HTTP/2.
    pub response_head: Vec<u8>,
    /// The response's body.
    pub received: Vec<u8>,
}

impl Transfer {
    /// Starts a download.
    pub fn get(scratch: &Scratch, http: Http, server: &Nginx, name: &str) -> Self {
        Self::start(scratch, http, server, name, None)
    }

    /// Starts an upload.
    pub fn put(scratch: &Scratch, http: Http, server: &Nginx, name: &str, body: Vec<u8>) -> Self {
        Self::start(scratch, http, server, name, Some(body))
    }

    fn start(
        scratch: &Scratch,
        http: Http,
        server: &Nginx,
        name: &str,
        body: Option<Vec<u8>>,
    ) -> Self {
        let flat = name.replace('/', "_");
        let head = scratch.join(format!("{flat}.head"));
        let received = scratch.join(format!("{flat}.received"));
        let mut curl = curl(http, &server.certificate.certificate);
        curl.arg("--verbose").arg("--dump-header").arg(&head).arg("--output").arg(&received);
        if let Some(body) = &body {
            curl.arg("--upload-file").arg(scratch.write(format!("{flat}.sent"), body));
        }
        curl.arg(server.url(name));
        curl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self { process: Process::start(&mut curl), head, received, sent: body.unwrap_or_default() }
    }

    /// Waits for its end.
    pub fn finish(self) -> Transferred {
        let done = self.process.finish().success();
        // `--verbose` shows the head that was sent, a line each, after "> ".
        let mut request_head = Vec::new();
        for line in done.stderr.split_inclusive('\n').filter_map(|line| line.strip_prefix("> ")) {
            request_head.extend_from_slice(line.trim_end_matches(['\r', '\n']).as_bytes());
            request_head.extend_from_slice(b"\r\n");
        }
        Transferred {
            pid: done.pid,
            request_head,
            sent: self.sent,
            response_head: fs::read(&self.head).unwrap(),
            // curl makes no file for an empty body.
            received: fs::read(&self.received).unwrap_or_default(),
        }
    }
}

impl Transferred {
    /// Every byte of the request, for HTTP/1.1.
    pub fn request(&self) -> Vec<u8> {
        [&self.request_head[..], &self.sent].concat()
    }

    /// Every byte of the response, for HTTP/1.1.
    pub fn response(&self) -> Vec<u8> {
        [&self.response_head[..], &self.received].concat()
    }
}
