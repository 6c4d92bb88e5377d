//! NSS: every version of its TLS layer, call for call, programs that use it, byte for byte, and
//! nothing of what NSPR does without TLS.

mod programs;

use crate::placement::{assert_every_call, every_call_of_suites};
use e2e::certificate::Certificate;
use e2e::process::{command, run};
use e2e::{Payload, Scratch, calls};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate and its key as the program takes them.
pub(crate) fn der(scratch: &Scratch) -> (PathBuf, PathBuf) {
    let Certificate { certificate, key } = Certificate::new(scratch);
    let (der, pkcs8) = (scratch.join("certificate.der"), scratch.join("key.der"));
    let mut convert = command("openssl");
    convert.args(["x509", "-outform", "DER", "-in"]).arg(certificate).arg("-out").arg(&der);
    let _ = run(&mut convert).success();
    let mut convert = command("openssl");
    convert.args(["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"]).arg(key);
    let _ = run(convert.arg("-out").arg(&pkcs8)).success();
    (der, pkcs8)
}

/// The program uses files, pipes and sockets without TLS too: any line of those would be one that the
/// program did not report.
fn every_call(command: &dyn Fn(&Path) -> Command) {
    let scratch = Scratch::new();
    let (der, pkcs8) = der(&scratch);
    let file = scratch.write("file", Payload::binary(20_000));
    let program = calls::compile_for_nss(&scratch);
    assert_every_call("nspr", &scratch, || {
        let mut command = command(&program);
        command.arg(&der).arg(&pkcs8).arg(&file);
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
    every_call_of_3_61 = "bullseye-nss",
    every_call_of_3_87 = "bookworm-nss",
    every_call_of_3_110 = "trixie-nss",
    every_call_of_3_132 = "sid-nss",
}
