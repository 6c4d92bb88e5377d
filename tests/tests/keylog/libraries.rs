//! Libraries without a program of their own, through one that loads them, and is both ends.

use e2e::Scratch;
use e2e::calls::{compile_keys, compile_stripped, with_libraries};
use e2e::certificate::Certificate;
use e2e::keylog::{KeyCapture, assert_same};
use e2e::process::Process;
use e2e::version::Version;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A program that logs the keys of a client and a server itself, and how to capture it.
pub(super) struct BothEnds {
    pub(super) scratch: Scratch,
    program: Command,
    /// What to name to `--libssl`.
    pub(super) library: String,
}

impl BothEnds {
    /// With a library of its own.
    pub(super) fn loading(name: &str) -> Self {
        let scratch = Scratch::new();
        let version = Version::named(name).copied(&scratch);
        let executable = compile_keys(&scratch);
        let [crypto, ssl] = version.libraries();
        let library = ssl.to_str().unwrap().to_owned();
        let certificate = Certificate::new(&scratch);
        let program = with_libraries(version.command(&executable), crypto, ssl, &certificate);
        Self { scratch, program, library }
    }

    /// With the library inside and without any symbol.
    pub(super) fn stripped(name: &str) -> Self {
        let scratch = Scratch::new();
        let executable = compile_stripped(&scratch, "keys.c", &Version::named(name), &[]);
        let certificate = Certificate::new(&scratch);
        let program = with_libraries(Command::new(&executable), "-", "-", &certificate);
        let library = executable.to_str().unwrap().to_owned();
        Self { scratch, program, library }
    }

    /// Captures its keys and compares them with those that it logs.
    pub(super) fn assert_captured(mut self, arguments: &[&str]) {
        let arguments = [&["--libssl", &self.library], arguments].concat();
        let capture = KeyCapture::start(&self.scratch, &arguments);
        let program = self.program.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(program);
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
}

fn loaded(name: &str) {
    BothEnds::loading(name).assert_captured(&[]);
}

fn inside(name: &str) {
    BothEnds::stripped(name).assert_captured(&[]);
}

macro_rules! libraries {
    ($how:ident: $($test:ident = $name:literal,)*) => {
        $(#[test]
        fn $test() {
            e2e::needs_bpf!();
            $how($name);
        })*
    };
}

libraries! { loaded:
    openssl_1_0_2_by_its_master_key = "wheel-openssl-1.0.2",
    openssl_1_1_0_by_its_master_key = "openssl-1.1.0",
    openssl_1_1_1 = "bullseye-run",
    openssl_3_not_optimised = "openssl-3-O0",
    openssl_4_0 = "openssl-4.0",
    boringssl_of_android_10 = "android-10",
    boringssl_of_android_13 = "android-13",
    boringssl_of_android_14 = "android-14",
    boringssl = "boringssl-run",
    aws_lc = "aws-lc-run",
    libressl_by_its_master_key = "libressl-2.0",
}

libraries! { inside:
    boringssl_in_a_stripped_program = "boringssl-run",
    aws_lc_in_a_stripped_program = "aws-lc-run",
}
