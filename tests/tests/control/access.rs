//! Who may talk to the servers.

use super::{Served, TOKEN, ask, token_file};
use e2e::capture::run as ecapture;
use e2e::certificate::Certificate;
use e2e::nginx::free_port;
use e2e::process::{command, run};
use e2e::{Capture, Scratch, needs_bpf};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn only_who_knows_the_token_is_answered() {
    needs_bpf!();
    let scratch = Scratch::new();
    let served = Served::start(&scratch, &[]);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let basic = format!("Authorization: Basic {TOKEN}");
    for path in ["/health", "/status", "/stats", "/metrics", "/nonsense"] {
        let url = served.url(path);
        assert_eq!(ask(&[&url]).status, 401, "{path} without a token");
        assert_eq!(ask(&["-H", "Authorization: Bearer wrong", &url]).status, 401);
        assert_eq!(ask(&["-H", &basic, &url]).status, 401);
        assert_eq!(ask(&[&format!("{url}?token={TOKEN}")]).status, 401, "not in the query");
        assert_eq!(ask(&["-H", &bearer, "-H", "Host: evil.example", &url]).status, 403);
        let rebound = format!("Host: evil.example:{}", served.port);
        assert_eq!(ask(&["-H", &bearer, "-H", &rebound, &url]).status, 403);
        assert_eq!(ask(&["-H", &bearer, "-H", "Origin: http://evil.example", &url]).status, 403);
        assert_eq!(ask(&["-H", &bearer, "-H", "Origin: null", &url]).status, 403);
    }
    let change = served.url("/tls");
    assert_eq!(ask(&[&change, "--data-raw", r#"{"uid":65534}"#]).status, 401);
    assert!(served.config()["uid"].is_null(), "nothing was changed");
    served.capture.stop().assert_whole();
}

#[test]
fn a_token_is_made_and_told_if_none_is_given() {
    needs_bpf!();
    let scratch = Scratch::new();
    let port = free_port();
    let log = scratch.join("log");
    let listen = format!("localhost:{port}");
    let arguments = ["--listen", &listen, "--logaddr", log.to_str().unwrap(), "--duration", "1s"];
    let outcome = ecapture([&["tls"], arguments.as_slice()].concat()).success();
    let told = outcome.stderr.lines().find_map(|line| line.strip_prefix("ecapture: token: "));
    assert_eq!(told.expect("the token on standard error").len(), 64);
    let log = fs::read_to_string(log).unwrap();
    assert!(!log.contains(told.unwrap()), "the token does not go where the log goes");
}

/// Starts with these flags must fail, and say this.
fn assert_refused(arguments: &[&str], reason: &str) {
    let outcome = ecapture([&["tls", "--duration", "1s"], arguments].concat());
    assert!(!outcome.status.success(), "{arguments:?}");
    assert!(outcome.stderr.contains(reason), "{arguments:?}: {}", outcome.stderr);
}

#[test]
fn what_would_be_unsafe_is_not_started() {
    needs_bpf!();
    let scratch = Scratch::new();
    let everywhere = format!("0.0.0.0:{}", free_port());
    assert_refused(&["--listen", &everywhere], "--tls-cert");
    assert_refused(&["--ecaptureq", &format!("ws://{everywhere}/")], "--insecure");
    let token = token_file(&scratch);
    let token = token.to_str().unwrap();
    let here = format!("127.0.0.1:{}", free_port());
    let with_file = ["--listen", &here, "--token-file", token];
    for mode in [0o644, 0o640, 0o602] {
        fs::set_permissions(token, fs::Permissions::from_mode(mode)).unwrap();
        assert_refused(&with_file, "chmod 600");
    }
    fs::set_permissions(token, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(token, "short").unwrap();
    assert_refused(&with_file, "holds no token");
    assert_refused(&["--listen", &here, "--no-token"], "--no-token");
    assert_refused(&["--no-token"], "--no-token");
}

#[test]
fn by_tls_other_addresses_are_served() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let token = token_file(&scratch);
    let port = free_port();
    let listen = format!("0.0.0.0:{port}");
    let (chain, key) = (certificate.certificate.display(), certificate.key.display());
    let (chain, key) = (chain.to_string(), key.to_string());
    let flags = ["--listen", &listen, "--tls-cert", &chain, "--tls-key", &key, "--token-file"];
    let capture = Capture::raw(&scratch, &[&flags, [token.to_str().unwrap()].as_slice()].concat());
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let url = format!("https://localhost:{port}/health");
    let answer = ask(&["--ipv4", "--cacert", &chain, "-H", &bearer, &url]);
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    let mut clear = command("curl");
    clear.args(["--disable", "--silent", "--max-time", "20", "-H", &bearer]);
    let clear = run(clear.arg(format!("http://localhost:{port}/health")));
    assert!(!clear.status.success(), "no answer in the clear: {clear:?}");
    capture.stop();
}
