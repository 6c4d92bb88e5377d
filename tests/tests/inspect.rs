//! `inspect` and `doctor`: what is there, and what can work.

use e2e::capture::{binary, run as ecapture};
use e2e::peer::{self, libssl};
use e2e::process::{command, run};
use e2e::{Scratch, needs_bpf};
use serde_json::Value;
use std::fs;

#[test]
fn a_library_is_inspected_without_rights() {
    let scratch = Scratch::new();
    let copy = scratch.join("ecapture");
    fs::copy(binary(), &copy).unwrap();
    let mut inspect = if rustix::process::geteuid().is_root() {
        let mut as_nobody = command("setpriv");
        as_nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(copy);
        as_nobody
    } else {
        std::process::Command::new(copy)
    };
    let found = run(inspect.arg("inspect").arg(libssl())).success();
    let text = String::from_utf8(found.stdout).unwrap();
    for word in ["OpenSSL", "SSL_read", "SSL_write", "CLIENT_RANDOM", libssl().to_str().unwrap()] {
        assert!(text.contains(word), "no {word} in\n{text}");
    }
}

#[test]
fn a_library_is_inspected_as_json() {
    let found = ecapture(["inspect", "--format", "json", libssl().to_str().unwrap()]).success();
    let value: Value = serde_json::from_slice(&found.stdout).unwrap();
    let text = value.to_string();
    for word in ["SSL_read_ex", "SSL_write_ex", "build_id", "placement"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    // Where the keys pass, and why that is believed.
    assert!(value["keys"]["probes"][0]["entry"]["file_offset"].is_u64(), "{text}");
    assert!(value["keys"]["evidence"].as_array().is_some_and(|steps| steps.len() > 1), "{text}");
}

#[test]
fn every_kind_of_library_is_inspected() {
    let library = |name: &str| format!("/usr/lib/x86_64-linux-gnu/{name}");
    for (path, words) in [
        (library("libgnutls.so.30"), ["GnuTls", "gnutls_record_send2", "_gnutls_call_keylog_func"]),
        (library("libssl3.so"), ["Nss", "ssl_Read", "PR_Write"]),
    ] {
        let found = ecapture(["inspect", &path]).success();
        let text = String::from_utf8(found.stdout).unwrap();
        for word in words {
            assert!(text.contains(word), "no {word} in\n{text}");
        }
    }
}

#[test]
fn a_process_is_inspected() {
    needs_bpf!();
    let scratch = Scratch::new();
    let certificate = e2e::certificate::Certificate::new(&scratch);
    let python = peer::Language::Python;
    let server = peer::Server::start(&scratch, &certificate, python, 1, 1, b"x");
    let found = ecapture(["inspect", &server.pid().to_string()]).success();
    let text = String::from_utf8(found.stdout).unwrap();
    assert!(text.contains("libssl.so"), "{text}");
}

#[test]
fn what_holds_no_library_says_so() {
    let found = ecapture(["inspect", "/bin/true"]);
    assert!(!found.status.success());
    assert!(found.stderr.contains("/bin/true"), "{}", found.stderr);
    let found = ecapture(["inspect", "/no/such/file"]);
    assert!(!found.status.success());
    assert!(found.stderr.contains("/no/such/file"), "{}", found.stderr);
}

#[test]
fn doctor_says_that_capture_can_work_here() {
    needs_bpf!();
    let found = ecapture(["doctor"]).success();
    let text = String::from_utf8(found.stdout).unwrap();
    assert!(text.contains("ok"), "{text}");
    assert!(text.contains("libssl"), "{text}");
}

#[test]
fn doctor_says_what_is_missing() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    let copy = scratch.join("ecapture");
    fs::copy(binary(), &copy).unwrap();
    let mut as_nobody = command("setpriv");
    as_nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    as_nobody.args(["--bounding-set", "-all", "--inh-caps", "-all"]);
    let found = run(as_nobody.arg(copy).arg("doctor"));
    assert!(!found.status.success(), "its status says that capture cannot work");
    let text = String::from_utf8(found.stdout).unwrap();
    assert!(text.contains("missing"), "{text}");
    assert!(text.to_lowercase().contains("cap_bpf") || text.contains("root"), "{text}");
}

#[test]
fn every_command_explains_itself() {
    for name in ["tls", "inspect", "doctor"] {
        let help = ecapture([name, "--help"]).success();
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(text.contains(&format!("ecapture {name}")), "an example in\n{text}");
    }
}
