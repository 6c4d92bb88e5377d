//! Programs that people use, against the key log that they write themselves.

use super::Watched;
use e2e::Scratch;
use e2e::keylog::{KeyCapture, assert_same, finished, own};
use e2e::nginx::Nginx;
use e2e::process::{command, run};
use e2e::version::Version;

#[test]
fn curl_with_both_protocols() {
    e2e::needs_bpf!();
    let scratch = Scratch::new();
    let watched = Watched::new(&scratch);
    let nginx = Nginx::with_tls_1_3(&scratch);
    nginx.serve("page", b"page");
    let log = scratch.join("own.keys");
    let capture = KeyCapture::start(&scratch, &["--libssl", &watched.library()]);
    for (protocol, http) in [("1.2", "--http1.1"), ("1.3", "--http1.1"), ("1.3", "--http2")] {
        let mut curl = watched.curl(&nginx.certificate, &log);
        curl.args([&format!("--tlsv{protocol}"), "--tls-max", protocol, http])
            .arg(nginx.url("page"));
        assert_eq!(run(&mut curl).success().stdout, b"page");
    }
    let (captured, _) = capture.stop();
    assert_same(&captured, &own(&log));
}

/// `CPython` sets its own key log callback, and handshakes inside `SSL_do_handshake` or a read.
#[test]
fn python_as_client_and_as_server() {
    const PROGRAM: &str = "
import socket, ssl, sys, threading
certificate, key, log, ends = sys.argv[1:]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
client = ssl.create_default_context(cafile=certificate)
(client if ends == 'client' else server).keylog_filename = log
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    client.minimum_version = client.maximum_version = version
    one, other = socket.socketpair()
    def serve():
        with server.wrap_socket(other, server_side=True) as tls:
            tls.sendall(tls.recv(100))
    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(one, server_hostname='localhost') as tls:
        tls.sendall(b'hello')
        assert tls.recv(100) == b'hello'
    thread.join()
";
    e2e::needs_bpf!();
    for end in ["client", "server"] {
        let scratch = Scratch::new();
        let watched = Watched::new(&scratch);
        let certificate = e2e::certificate::Certificate::new(&scratch);
        let log = scratch.join("own.keys");
        let capture = KeyCapture::start(&scratch, &["--libssl", &watched.library()]);
        let mut python = watched.with_library(command("python3"), &scratch.join("unused"));
        python.env_remove("SSLKEYLOGFILE");
        python.args(["-c", PROGRAM]).arg(&certificate.certificate).arg(&certificate.key);
        let _ = run(python.arg(&log).arg(end)).success();
        let (captured, _) = capture.stop();
        assert_same(&captured, &own(&log));
    }
}

/// A static OpenSSL inside a stripped program; found by the program after `--`.
#[test]
fn node_which_brings_its_own_library() {
    const PROGRAM: &str = "
const https = require('https');
const fs = require('fs');
const [url, certificate] = process.argv.slice(1);
const get = version => new Promise((resolve, reject) => https.get(url,
    { ca: fs.readFileSync(certificate), minVersion: version, maxVersion: version, agent: false },
    response => { response.resume(); response.on('end', resolve); }).on('error', reject));
get('TLSv1.2').then(() => get('TLSv1.3'));
";
    e2e::needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::with_tls_1_3(&scratch);
    nginx.serve("page", b"page");
    let (log, keys) = (scratch.join("own.keys"), scratch.join("captured.keys"));
    let summary = scratch.join("summary");
    let node = Version::node();
    let mut command = e2e::capture::ecapture(["tls", "-m", "keylog", "-k"]);
    command.arg(&keys).arg("--summary").arg(&summary).arg("--").arg(node);
    command.arg(format!("--tls-keylog={}", log.display())).args(["-e", PROGRAM]);
    command.arg(nginx.url("page")).arg(&nginx.certificate.certificate);
    let capture = e2e::Capture::start(
        command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped()),
        scratch.join("stdout"),
        summary,
    )
    .finish();
    assert!(capture.status.success(), "{}", capture.stderr.join("\n"));
    assert_same(&finished(&keys, &capture), &own(&log));
}
