//! Handshakes of every kind between `openssl s_server` and `s_client`.

use crate::certificate::Certificate;
use crate::nginx::free_port;
use crate::process::{Lines, Process};
use crate::scratch::Scratch;
use std::fmt;
use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};

/// The two programs, as they are to be started.
pub struct Ends<'a> {
    /// Where files go.
    pub scratch: &'a Scratch,
    /// The server's, and the client's where it needs one.
    pub certificate: &'a Certificate,
    /// `openssl` for `s_server`.
    pub server: &'a dyn Fn() -> Command,
    /// `openssl` for `s_client`.
    pub client: &'a dyn Fn() -> Command,
    /// For both: what they are told too, such as to write a key log.
    pub server_arguments: Vec<String>,
    /// For the client.
    pub client_arguments: Vec<String>,
}

impl fmt::Debug for Ends<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} and {:?}", (self.server)(), (self.client)())
    }
}

/// A running `s_server`.
struct Server {
    process: Process,
    /// It ends a connection when this is at its end.
    _stdin: ChildStdin,
    stdout: Lines,
    port: u16,
}

impl Server {
    fn finish(mut self) {
        let status = self.process.wait();
        assert!(status.success(), "s_server: {status}\n{}", self.stdout.finish().join("\n"));
    }
}

/// A running `s_client`.
struct Client {
    process: Process,
    stdin: ChildStdin,
    stdout: Lines,
    stderr: Lines,
}

impl Client {
    fn say(&mut self, line: &str) {
        self.stdin.write_all(line.as_bytes()).unwrap();
    }

    /// Waits for its end; what it printed.
    fn finish(mut self) -> String {
        drop(self.stdin);
        let status = self.process.wait();
        let stdout = self.stdout.finish().join("\n");
        assert!(
            status.success(),
            "s_client: {status}\n{stdout}\n{}",
            self.stderr.finish().join("\n")
        );
        stdout
    }
}

impl Ends<'_> {
    fn serve(&self, connections: u32, arguments: &[&str]) -> Server {
        let port = free_port();
        let mut openssl = (self.server)();
        openssl.arg("s_server").arg("-accept").arg(format!("127.0.0.1:{port}"));
        openssl.arg("-naccept").arg(connections.to_string());
        openssl.arg("-cert").arg(&self.certificate.certificate);
        openssl.arg("-key").arg(&self.certificate.key);
        openssl.args(arguments).args(&self.server_arguments);
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start(&mut openssl);
        let stdin = process.stdin();
        let mut stdout = process.stdout_lines();
        stdout.wait_for("\"ACCEPT\"", |line| line.starts_with("ACCEPT"));
        Server { process, _stdin: stdin, stdout, port }
    }

    fn connect(&self, server: &Server, arguments: &[&str]) -> Client {
        let mut openssl = (self.client)();
        openssl.arg("s_client").arg("-connect").arg(format!("127.0.0.1:{}", server.port));
        openssl.arg("-CAfile").arg(&self.certificate.certificate).arg("-verify_return_error");
        openssl.args(arguments).args(&self.client_arguments);
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start(&mut openssl);
        let (stdin, stdout, stderr) =
            (process.stdin(), process.stdout_lines(), process.stderr_lines());
        Client { process, stdin, stdout, stderr }
    }

    /// Gets a page from a server with `-www`, which ends the connection after it.
    fn get(&self, server: &Server, arguments: &[&str]) -> String {
        let mut client = self.connect(server, &[arguments, &["-ign_eof"]].concat());
        client.say("GET / HTTP/1.0\r\n\r\n");
        let page = client.finish();
        assert!(page.contains("HTTP/1.0 200"), "{page}");
        page
    }

    /// One connection with this protocol (`-tls1_2`).
    pub fn full_handshake(&self, protocol: &str) {
        let server = self.serve(1, &[protocol, "-www"]);
        let page = self.get(&server, &[protocol]);
        server.finish();
        assert!(page.contains("New, TLSv1."), "{page}");
    }

    /// One that resumes another's session.
    pub fn resumption(&self, protocol: &str) {
        let session = self.scratch.join(format!("session{protocol}"));
        let session = session.to_str().unwrap();
        let server = self.serve(2, &[protocol, "-www"]);
        self.get(&server, &[protocol, "-sess_out", session]);
        let page = self.get(&server, &[protocol, "-sess_in", session]);
        server.finish();
        assert!(page.contains("Reused, TLSv1."), "{page}");
    }

    /// One where the client has to prove who it is.
    pub fn mutual(&self, protocol: &str) {
        let [certificate, key] = [&self.certificate.certificate, &self.certificate.key]
            .map(|path| path.to_str().unwrap());
        let demand = ["-Verify", "1", "-verify_return_error", "-CAfile", certificate];
        let server = self.serve(1, &[&[protocol, "-www"], &demand[..]].concat());
        self.get(&server, &[protocol, "-cert", certificate, "-key", key]);
        server.finish();
    }

    /// One where the client's first key share is for a group that the server does not take.
    pub fn hello_retry_request(&self) {
        let server = self.serve(1, &["-tls1_3", "-www", "-groups", "P-384"]);
        let page = self.get(&server, &["-tls1_3", "-msg", "-groups", "X25519:P-384"]);
        server.finish();
        let hellos =
            page.lines().filter(|line| line.starts_with(">>>") && line.ends_with("ClientHello"));
        assert_eq!(hellos.count(), 2, "{page}");
    }

    /// One whose keys are updated, by the client and on its request by the server, and used.
    pub fn key_update(&self) {
        let server = self.serve(1, &["-tls1_3", "-rev"]);
        let mut client = self.connect(&server, &["-tls1_3"]);
        for command in ["K\n", "k\n"] {
            client.say(command);
            client.stderr.wait_for("\"KEYUPDATE\"", |line| line == "KEYUPDATE");
        }
        client.say("stressed\n");
        client.stdout.wait_for("\"desserts\"", |line| line == "desserts");
        client.finish();
        server.finish();
    }

    /// One that sends data with its first message.
    pub fn early_data(&self) {
        let session = self.scratch.join("session-early");
        let session = session.to_str().unwrap();
        let data = self.scratch.write("early", "before the handshake is over\n");
        let mut server = self.serve(2, &["-tls1_3", "-early_data"]);
        let mut client = self.connect(&server, &["-tls1_3", "-sess_out", session]);
        // A server that waits for early data ends the handshake, and sends a ticket, before other data.
        client.say("hello\n");
        server.stdout.wait_for("\"hello\"", |line| line.ends_with("hello"));
        client.say("Q\n");
        client.finish();
        let early = ["-tls1_3", "-sess_in", session, "-early_data", data.to_str().unwrap()];
        let mut client = self.connect(&server, &early);
        client.stdout.wait_for("accepted early data", |line| line == "Early data was accepted");
        client.say("Q\n");
        client.finish();
        server.finish();
    }

    /// One over UDP.
    pub fn dtls(&self) {
        let server = self.serve(1, &["-dtls1_2"]);
        let mut client = self.connect(&server, &["-dtls1_2"]);
        client.stdout.wait_for("a session", |line| line.contains("Verify return code: 0"));
        client.say("Q\n");
        client.finish();
        server.finish();
    }
}
