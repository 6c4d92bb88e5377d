//! nginx as an HTTPS server: HTTP/1.1 and HTTP/2, keep-alive, files for GET, and PUT into files.

use crate::certificate::Certificate;
use crate::process::{Lines, Process, command};
use crate::scratch::Scratch;
use rustix::process::Signal;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    stderr: Lines,
    /// The port it serves on, 127.0.0.1 and `::1`.
    pub port: u16,
    /// The folder whose files it serves; what is `PUT` lands here too.
    pub files: PathBuf,
    /// The certificate to trust.
    pub certificate: Certificate,
    /// The worker processes: they hold the connections.
    pub workers: Vec<u32>,
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Nginx {
    /// Starts it with one worker and waits until it serves.
    pub fn start(scratch: &Scratch) -> Self {
        Self::with_workers(scratch, 1)
    }

    /// Starts it with so many workers and waits until all serve.
    pub fn with_workers(scratch: &Scratch, workers: usize) -> Self {
        Self::launch(scratch, workers, "")
    }

    /// Starts it with one worker and TLS 1.3 too, which it does not offer by itself.
    pub fn with_tls_1_3(scratch: &Scratch) -> Self {
        Self::launch(scratch, 1, "ssl_protocols TLSv1.2 TLSv1.3;")
    }

    fn launch(scratch: &Scratch, workers: usize, protocols: &str) -> Self {
        let certificate = Certificate::new(scratch);
        let files = scratch.join("files");
        std::fs::create_dir(&files).unwrap();
        let port = free_port();
        let prefix = scratch.path().display();
        let configuration = scratch.write(
            "nginx.conf",
            format!(
                "daemon off;
pid {prefix}/nginx.pid;
error_log stderr notice;
{user}worker_processes {workers};
worker_shutdown_timeout 10s;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_timeout 300s;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path {prefix}/nginx-body;
    proxy_temp_path {prefix}/nginx-proxy;
    fastcgi_temp_path {prefix}/nginx-fastcgi;
    uwsgi_temp_path {prefix}/nginx-uwsgi;
    scgi_temp_path {prefix}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        listen [::1]:{port} ssl http2;
        {protocols}
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        root {files};
        location / {{ dav_methods PUT; create_full_put_path on; }}
        location /small {{ return 200 \"{small}\\n\"; }}
        location /gzip/ {{ gzip on; gzip_min_length 0; gzip_types *; }}
    }}
}}
",
                user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" },
                certificate = certificate.certificate.display(),
                key = certificate.key.display(),
                files = files.display(),
                small = "x".repeat(199),
            ),
        );
        let mut nginx = command("nginx");
        nginx.arg("-c").arg(configuration).arg("-p").arg(scratch.path()).args(["-e", "stderr"]);
        nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(&mut nginx).warned_by(Signal::TERM);
        let mut stderr = process.stderr_lines();
        // The master says so after it has bound its ports; connections queue from then on.
        let workers = (0..workers)
            .map(|_| {
                let line = stderr.wait_for("worker", |line| line.contains("start worker process "));
                line.rsplit(' ').next().unwrap().parse().unwrap()
            })
            .collect();
        Self { process, stderr, port, files, certificate, workers }
    }

    /// Puts a file where it is served.
    pub fn serve(&self, name: &str, content: &[u8]) {
        let path = self.files.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// The URL of a file.
    pub fn url(&self, name: &str) -> String {
        format!("https://localhost:{}/{name}", self.port)
    }

    /// Ends it after the requests it is working on; when this returns, its last call has returned.
    pub fn stop(mut self) {
        self.process.signal(Signal::QUIT);
        let status = self.process.wait();
        let log = self.stderr.finish();
        assert!(status.success(), "nginx: {status}\n{}", log.join("\n"));
    }
}
