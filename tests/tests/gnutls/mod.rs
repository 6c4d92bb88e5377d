//! `GnuTLS`: every version of the library, call for call, and programs that use it, byte for byte.

mod keys;
mod packets;
mod programs;

use crate::placement::{assert_every_call, every_call_of_suites};
use e2e::certificate::Certificate;
use e2e::{Payload, Scratch, calls};
use std::path::Path;
use std::process::Command;

fn every_call(command: &dyn Fn(&Path) -> Command) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let file = scratch.write("file", Payload::binary(20_000));
    let program = calls::compile_for_gnutls(&scratch);
    assert_every_call("gnutls", &scratch, || {
        let mut command = command(&program);
        command.arg(&certificate.certificate).arg(&certificate.key).arg(&file);
        command
    });
}

#[test]
fn every_call_of_the_distribution() {
    e2e::needs_bpf!();
    every_call(&|program| Command::new(program));
}

every_call_of_suites! {
    every_call:
    every_call_of_3_7_1 = "bullseye-gnutls",
    every_call_of_3_7_9 = "bookworm-gnutls",
    every_call_of_3_8_9 = "trixie-gnutls",
    every_call_of_3_8_13 = "sid-gnutls",
}
