//! Libraries without a program of their own, through one that loads them, and is both ends.

use e2e::Scratch;
use e2e::calls::with_libraries;
use e2e::certificate::Certificate;
use e2e::keylog::{KeyCapture, assert_same};
use e2e::peer::source;
use e2e::process::{Process, command, run};
use e2e::version::Version;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

/// Captures a program that logs the keys of a client and a server itself.
fn assert_both_ends(name: &str) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let version = Version::named(name).copied(&scratch);
    let executable = scratch.join("keys");
    let mut gcc = command("gcc");
    gcc.arg("-O1").arg("-o").arg(&executable).arg(source("keys.c")).arg("-ldl");
    let _ = run(&mut gcc).success();

    let [crypto, ssl] = version.libraries();
    let capture = KeyCapture::start(&scratch, &["--libssl", ssl.to_str().unwrap()]);
    let mut program = with_libraries(version.command(&executable), crypto, ssl, &certificate);
    let mut process = Process::start(program.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (mut stdin, mut stdout) = (process.stdin(), process.stdout_lines());
    stdout.wait_for("\"ready\"", |line| line == "ready");
    stdin.write_all(b"go\n").unwrap();
    let status = process.wait();
    assert!(status.success(), "keys: {status}");
    let lines = stdout.finish();
    let (captured, balance) = capture.stop();

    let of = |end: &str| -> BTreeSet<String> {
        lines.iter().filter_map(|line| line.strip_prefix(end)).map(str::to_owned).collect()
    };
    let (client, server) = (of("client "), of("server "));
    assert_same(&captured, &(&client | &server));
    // Each end was seen, not only one.
    let seen = (client.len() + server.len()) as u64;
    assert_eq!(balance.number("/keys/seen"), seen, "{}", balance.summary);
}

macro_rules! libraries {
    ($($test:ident = $name:literal,)*) => {
        $(#[test]
        fn $test() {
            e2e::needs_bpf!();
            assert_both_ends($name);
        })*
    };
}

libraries! {
    openssl_1_1_0_by_its_master_key = "openssl-1.1.0",
    openssl_1_1_1 = "bullseye-run",
    openssl_3_not_optimised = "openssl-3-O0",
    openssl_4_0 = "openssl-4.0",
    boringssl_of_android_10 = "android-10",
    boringssl_of_android_13 = "android-13",
    boringssl_of_android_14 = "android-14",
}
