//! `GnuTLS`: every version of the library, call for call, and programs that use it, byte for byte.

mod keys;
mod packets;
mod programs;

use crate::placement::assert_calls_of;
use e2e::certificate::Certificate;
use e2e::suite::Suite;
use e2e::{Payload, Scratch, calls};
use std::path::Path;
use std::process::Command;

fn every_call(command: &dyn Fn(&Path) -> Command) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let file = scratch.write("file", Payload::binary(20_000));
    let program = calls::compile_for_gnutls(&scratch);
    for placement in ["auto", "entry"] {
        let mut command = command(&program);
        command.arg(&certificate.certificate).arg(&certificate.key).arg(&file);
        assert_calls_of("gnutls", &scratch, command, placement);
    }
}

#[test]
fn every_call_of_the_distribution() {
    e2e::needs_bpf!();
    every_call(&|program| Command::new(program));
}

fn every_call_of(suite: &str) {
    let suite = Suite::named(suite);
    every_call(&|program| suite.command(program));
}

#[test]
fn every_call_of_3_7_1() {
    e2e::needs_bpf!();
    every_call_of("bullseye-gnutls");
}

#[test]
fn every_call_of_3_7_9() {
    e2e::needs_bpf!();
    every_call_of("bookworm-gnutls");
}

#[test]
fn every_call_of_3_8_9() {
    e2e::needs_bpf!();
    every_call_of("trixie-gnutls");
}

#[test]
fn every_call_of_3_8_13() {
    e2e::needs_bpf!();
    every_call_of("sid-gnutls");
}
