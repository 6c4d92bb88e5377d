//! `--ssl_version`: the layout of a version, for a library that does not show its own.

use super::libraries::BothEnds;
use e2e::capture::run;
use std::fs;
use std::path::{Path, PathBuf};

const OPENSSL_1_0_2: &str = "wheel-openssl-1.0.2";

/// Takes a name out of a library: the loader finds nothing under the one that is there instead.
fn without(name: &str, library: &Path) {
    let mut bytes = fs::read(library).unwrap();
    let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
    let at = bytes.windows(wanted.len()).position(|bytes| bytes == wanted).unwrap();
    bytes[at + 1] = b'x';
    fs::write(library, bytes).unwrap();
}

/// A program with OpenSSL 1.0.2, in which nothing says where its sessions have the master key.
fn closed() -> BothEnds {
    let both = BothEnds::loading(OPENSSL_1_0_2);
    without("SSL_SESSION_get_id", Path::new(&both.library));
    both
}

/// The error of a capture that asks for a version, or for none.
fn refusal(version: &[&str]) -> String {
    let both = closed();
    let log: PathBuf = both.scratch.join("captured.keys");
    let arguments = ["tls", "-m", "keylog", "-k", log.to_str().unwrap(), "--libssl", &both.library];
    let outcome = run([&arguments[..], version].concat());
    assert!(!outcome.status.success());
    outcome.stderr
}

#[test]
fn a_library_that_shows_nothing_is_refused_and_says_what_to_do() {
    e2e::needs_bpf!();
    let error = refusal(&[]);
    assert!(error.contains("SSL_SESSION_get_id could not be read"), "{error}");
    assert!(error.contains("--ssl_version"), "{error}");
}

#[test]
fn another_version_is_refused_by_what_the_library_does_show() {
    e2e::needs_bpf!();
    let error = refusal(&["--ssl_version", "openssl 1.1.0l"]);
    assert!(error.contains("the file is not openssl 1.1.0l"), "{error}");
    assert!(error.contains("SSL_get_session says ssl+0x130"), "{error}");
}

#[test]
fn its_own_version_gives_its_keys() {
    e2e::needs_bpf!();
    closed().assert_captured(&["--ssl_version", "openssl 1.0.2q"]);
}

/// It is not needed there, and what it says does not count.
#[test]
fn another_version_changes_nothing_where_the_library_shows_its_own() {
    e2e::needs_bpf!();
    BothEnds::loading(OPENSSL_1_0_2).assert_captured(&["--ssl_version", "openssl 1.1.1w"]);
}
