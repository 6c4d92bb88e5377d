//! Many connections while payload flows.

use super::Watched;
use e2e::keylog::{assert_same, finished, own};
use e2e::nginx::Nginx;
use e2e::process::{Process, run};
use e2e::{Capture, Scratch};
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

/// Connections in a row, and as many again that are open together.
const CONNECTIONS: usize = 1000;
const AT_ONCE: &str = "64";
/// What flows meanwhile.
const PAYLOAD: u64 = 1 << 30;

#[test]
fn every_key_of_many_connections_is_written_once_while_payload_flows() {
    e2e::needs_bpf!();
    let scratch = Scratch::new();
    let (watched, nginx) = (Watched::new(&scratch), Nginx::with_tls_1_3(&scratch));
    nginx.serve("page", b"page");
    File::create(nginx.files.join("large")).unwrap().set_len(PAYLOAD).unwrap();
    let (log, keys) = (scratch.join("own.keys"), scratch.join("captured.keys"));
    let library = watched.library();
    // Plaintext too, so that payload competes with keys for everything they share.
    let arguments = ["-m", "text,keylog", "-k", keys.to_str().unwrap(), "--libssl", &library];
    let capture = Capture::tls(
        &scratch,
        &[&arguments[..], &["--output", "/dev/null", "--no-parse", "--format", "json"]].concat(),
    );

    let mut large = watched.curl(&nginx.certificate, &log);
    large.args(["--output", "/dev/null"]).arg(nginx.url("large"));
    let mut large = Process::start(large.stdin(Stdio::null()).stdout(Stdio::null()));
    for together in [&["--parallel-max", "1"][..], &["--parallel", "--parallel-max", AT_ONCE]] {
        // Each request ends its connection.
        let mut curl = watched.curl(&nginx.certificate, &log);
        curl.args(together).args(["-H", "Connection: close", "--output", "/dev/null"]);
        let _ = run(curl.arg(format!("{}?[1-{CONNECTIONS}]", nginx.url("page")))).success();
    }
    assert!(large.wait_within(Duration::from_mins(3)).success());

    let capture = capture.stop();
    assert!(capture.status.success(), "{}", capture.stderr.join("\n"));
    let own = own(&log);
    // Five lines of TLS 1.3 each.
    assert_eq!(own.len(), 5 * (2 * CONNECTIONS + 1));
    assert_same(&finished(&keys, &capture), &own);
    assert!(capture.number("/bytes/recv") >= PAYLOAD, "{}", capture.summary);
}
