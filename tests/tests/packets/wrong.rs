//! What cannot be done is said, with what is wrong.

use e2e::capture;
use e2e::process::run;
use e2e::{Scratch, capture::ecapture};
use std::os::unix::fs::symlink;

/// What the tool says when it refuses these arguments.
fn refusal(scratch: &Scratch, arguments: &[&str]) -> String {
    let mut command = ecapture(["tls", "-m", "pcapng", "-w"]);
    let outcome = run(command.arg(scratch.join("none.pcapng")).args(arguments));
    assert!(!outcome.status.success(), "{}", outcome.stderr);
    outcome.stderr
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    e2e::needs_bpf!();
    let said = refusal(&Scratch::new(), &["-i", "lo", "-i", "nonexistent0"]);
    assert!(said.contains("nonexistent0"), "{said}");
}

#[test]
fn what_libpcap_says_of_an_expression_is_shown() {
    e2e::needs_bpf!();
    let said = refusal(&Scratch::new(), &["-i", "lo", "tcp port and"]);
    assert!(said.contains("syntax error") && said.contains("tcp port and"), "{said}");
    let said = refusal(&Scratch::new(), &["-i", "lo", "port", "nonsense"]);
    assert!(said.contains("unknown port 'nonsense'"), "{said}");
}

#[test]
fn a_symlink_is_not_followed() {
    e2e::needs_bpf!();
    let scratch = Scratch::new();
    let target = scratch.write("target", "precious");
    let link = scratch.join("link.pcapng");
    symlink(&target, &link).unwrap();
    let link = link.to_str().unwrap();
    let outcome = capture::run(["tls", "-m", "pcapng", "-i", "lo", "-w", link]);
    assert!(!outcome.status.success());
    assert!(outcome.stderr.contains("symbolic link"), "{}", outcome.stderr);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
}
