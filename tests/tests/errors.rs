//! What cannot work says so at once: what, why, and what to do.

use e2e::capture::{binary, run as ecapture};
use e2e::process::{Outcome, command, run};
use e2e::{Scratch, needs_bpf, peer};
use std::fs;
use std::path::Path;

/// The tool failed, printed nothing on standard output, and no panic.
#[track_caller]
fn assert_refused(outcome: &Outcome) {
    assert!(!outcome.status.success(), "{}", outcome.stderr);
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "");
    assert!(outcome.status.code().is_some(), "killed: {}", outcome.status);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
}

#[track_caller]
fn assert_refused_naming(path: &Path) {
    let outcome = ecapture(["tls", "--libssl", path.to_str().unwrap()]);
    assert_refused(&outcome);
    assert!(outcome.stderr.contains(path.to_str().unwrap()), "{}", outcome.stderr);
}

#[test]
fn a_user_without_rights_is_told_what_is_missing() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    // Where that user can reach it.
    let copy = scratch.join("ecapture");
    fs::copy(binary(), &copy).unwrap();
    let mut as_nobody = command("setpriv");
    as_nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    as_nobody.args(["--bounding-set", "-all", "--inh-caps", "-all"]);
    let outcome = run(as_nobody.arg(copy).arg("tls"));
    assert_refused(&outcome);
    let stderr = outcome.stderr.to_lowercase();
    assert!(stderr.contains("cap_bpf") || stderr.contains("root"), "{stderr}");
}

#[test]
fn an_unknown_flag() {
    let outcome = ecapture(["tls", "--no-such-flag"]);
    assert_refused(&outcome);
    assert!(outcome.stderr.contains("--no-such-flag"), "{}", outcome.stderr);
}

#[test]
fn an_unknown_command() {
    let outcome = ecapture(["frobnicate"]);
    assert_refused(&outcome);
    assert!(outcome.stderr.contains("frobnicate"), "{}", outcome.stderr);
}

#[test]
fn values_that_make_no_sense() {
    for arguments in [
        ["tls", "--format", "runes"],
        ["tls", "--pid", "none"],
        ["tls", "--tsize", "-1"],
        ["tls", "--duration", "10"],
        ["tls", "--count", "0"],
        ["tls", "--btf", "3"],
        ["tls", "--placement", "anywhere"],
    ] {
        let outcome = ecapture(arguments);
        assert_refused(&outcome);
        let flag = arguments[1].trim_start_matches('-');
        assert!(outcome.stderr.contains(flag), "{arguments:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_library_that_does_not_exist() {
    needs_bpf!();
    assert_refused_naming(Path::new("/no/such/libssl.so"));
}

#[test]
fn a_library_that_is_a_folder() {
    needs_bpf!();
    assert_refused_naming(Scratch::new().path());
}

#[test]
fn a_library_that_is_no_elf_file() {
    needs_bpf!();
    let scratch = Scratch::new();
    assert_refused_naming(&scratch.write("text.so", "not an ELF file\n"));
    assert_refused_naming(&scratch.write("empty.so", ""));
}

#[test]
fn a_library_without_the_functions() {
    needs_bpf!();
    assert_refused_naming(&fs::canonicalize("/bin/true").unwrap());
}

#[test]
fn a_library_that_is_cut_off() {
    needs_bpf!();
    let scratch = Scratch::new();
    let whole = fs::read(peer::libssl()).unwrap();
    for len in [4, 64, 100, 1000, whole.len() / 2, whole.len() - 1000] {
        let path = scratch.write(format!("cut-{len}.so"), &whole[..len]);
        // The end of the file holds section headers only: without them it may still be usable.
        if len < whole.len() / 2 {
            assert_refused_naming(&path);
        } else {
            let path = path.to_str().unwrap();
            let outcome = ecapture(["tls", "--libssl", path, "--duration", "100ms"]);
            assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
            assert!(outcome.status.code().is_some(), "{}", outcome.status);
        }
    }
}

#[test]
fn a_summary_that_cannot_be_written() {
    needs_bpf!();
    let outcome = ecapture(["tls", "--summary", "/no/such/folder/summary", "--duration", "100ms"]);
    assert_refused(&outcome);
    assert!(outcome.stderr.contains("/no/such/folder/summary"), "{}", outcome.stderr);
}
