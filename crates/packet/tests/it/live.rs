//! Many connections at once, recorded now. Needs root, tcpdump, nginx and curl.

use crate::fixture::{Exchanges, write};
use crate::tshark::{packets, plaintexts};
use packet::Limits;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 60;
/// How often it is tried to record everything.
const RECORDINGS: usize = 5;
const END: &[u8] = b"the end of it all";

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited for {what}");
        std::thread::yield_now();
    }
}

fn record(port: u16, file: &Path) -> Running {
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.args(["-i", "lo", "-s", "0", "-U", "-B", "65536"]);
    tcpdump.arg("--time-stamp-precision=nano").arg("-w").arg(file).arg(format!("port {port}"));
    let mut child = tcpdump.stderr(Stdio::piped()).spawn().expect("tcpdump is installed");
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump ended");
    }
    Running(child)
}

fn serve(dir: &Path, port: u16) -> Running {
    run(Command::new("openssl").current_dir(dir).args(["req", "-x509", "-newkey", "ec"]).args([
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]));
    let dir_name = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {dir_name}/{what};"))
        .concat();
    let configuration = format!(
        "daemon off; master_process off; pid {dir_name}/pid; error_log {dir_name}/log;
         events {{ worker_connections 1000; }}
         http {{ access_log off; {temporary} ssl_certificate cert.pem; ssl_certificate_key key.pem;
           server {{ listen 127.0.0.1:{port} ssl; root {dir_name}; dav_methods PUT; }} }}"
    );
    fs::write(dir.join("nginx.conf"), configuration).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.args(["-p", &dir_name.to_string(), "-c", "nginx.conf"]).stderr(Stdio::null());
    let running = Running(nginx.spawn().expect("nginx is installed"));
    until("nginx", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    running
}

/// What is exchanged, and with whom.
struct Scene {
    scratch: tempfile::TempDir,
    port: u16,
    body: String,
    _nginx: Running,
}

impl Scene {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let marker = dir.file_name().unwrap().to_str().unwrap();
        let lines: Vec<_> = (0..400).map(|line| format!("{marker} line {line}\n")).collect();
        let body = lines.concat();
        fs::write(dir.join("body"), &body).unwrap();
        let nginx = serve(dir, port);
        Self { scratch, port, body, _nginx: nginx }
    }

    /// Downloads and uploads, all at once, on a connection each.
    fn exchange(&self, keys: &Path) {
        let (dir, port) = (self.scratch.path(), self.port);
        let mut requests = Vec::new();
        for number in 0..CONNECTIONS {
            let version = if number % 2 == 0 { "1.2" } else { "1.3" };
            requests.push(format!(
                "url = https://127.0.0.1:{port}/body\noutput = got{number}\ntls-max = {version}\n"
            ));
            if number % 3 == 0 {
                requests.push(format!(
                    "url = https://127.0.0.1:{port}/up{number}\nupload-file = body\noutput = /dev/null\n"
                ));
            }
        }
        let requests: Vec<_> =
            requests.iter().map(|request| format!("{request}insecure\nhttp1.1\n")).collect();
        fs::write(dir.join("urls"), requests.join("next\n")).unwrap();
        let mut curl = Command::new("curl");
        curl.current_dir(dir).env("SSLKEYLOGFILE", keys).args(["-s", "-Z", "--parallel-immediate"]);
        run(curl.args(["--parallel-max", "100", "-K", "urls"]));
        for number in 0..CONNECTIONS {
            let got = fs::read_to_string(dir.join(format!("got{number}"))).unwrap();
            assert_eq!(got, self.body);
        }
    }

    fn bodies(&self, plaintexts: &[Vec<u8>]) -> usize {
        let body = self.body.as_bytes();
        let count = |text: &Vec<u8>| text.windows(body.len()).filter(|run| *run == body).count();
        plaintexts.iter().map(count).sum()
    }

    /// A recording, its keys, and what a reader makes of both.
    ///
    /// tcpdump loses packets on a machine that is busy, and may record them in an order in which no
    /// reader finds all plaintext: then there is another recording.
    fn record(&self) -> (PathBuf, PathBuf, Vec<Vec<u8>>) {
        let mut found = Vec::new();
        for turn in 0..RECORDINGS {
            let recording = self.scratch.path().join(format!("recording{turn}.pcap"));
            let keys = self.scratch.path().join(format!("keys{turn}"));
            let tcpdump = record(self.port, &recording);
            self.exchange(&keys);
            // What was recorded last is this.
            let last = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
            until("the recording", || {
                last.send_to(END, ("127.0.0.1", self.port)).unwrap();
                fs::read(&recording).unwrap().windows(END.len()).any(|run| run == END)
            });
            drop(tcpdump);
            let plaintexts = plaintexts(&recording, Some(&keys));
            found.push(self.bodies(&plaintexts));
            if found.last() == Some(&(CONNECTIONS + CONNECTIONS / 3)) {
                return (recording, keys, plaintexts);
            }
        }
        panic!("no recording is whole: bodies found are {found:?}");
    }
}

#[test]
fn many_connections_at_once_with_keys_in_any_order() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        assert!(std::env::var_os("ECAPTURE_REQUIRE_BPF").is_none(), "this needs root");
        eprintln!("skipped: recording needs root");
        return;
    }
    let scene = Scene::new();
    let (recording, keys, expected) = scene.record();
    let exchanges = Exchanges::read(&recording, &keys);
    let file = scene.scratch.path().join("capture.pcapng");
    // A different delay for each secret, from before its ClientHello to much later.
    let delay = |at: usize| (at as i64 * 7_919 % 400 - 50) * 1_000_000;
    let stats = write(&file, Limits::default(), &exchanges.inputs(delay));
    assert_eq!((stats.expired, stats.squeezed), (0, 0), "{stats:?}");
    assert_eq!(packets(&file, None), packets(&recording, Some(&keys)));
    let plaintexts = plaintexts(&file, None);
    assert_eq!(scene.bodies(&plaintexts), CONNECTIONS + CONNECTIONS / 3);
    assert!(plaintexts == expected, "the plaintexts differ");
    assert!(plaintexts.len() >= CONNECTIONS / 2, "{} connections", plaintexts.len());
}
