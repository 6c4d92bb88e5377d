//! `SSL_sendfile`: the library never has the file's bytes, so the sender shows how many there were and
//! where, and the receiver shows them. Needs a kernel that does TLS by itself (the module `tls`):
//! `script/vm-test` has some.

use e2e::calls;
use e2e::certificate::Certificate;
use e2e::peer::libssl;
use e2e::process::Process;
use e2e::stream::{self, streams};
use e2e::version::Version;
use e2e::{Capture, Direction, Payload, Scratch, digest, needs_bpf};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What one call of the program sent, or one line of the capture says.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Written(Vec<u8>),
    FromAFile(u64),
}

/// True if the kernel can be asked to do TLS. If not, says so, or fails if
/// `ECAPTURE_REQUIRE_KERNEL_TLS=1`.
fn kernel_does_tls() -> bool {
    let known = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").unwrap_or_default();
    let does = known.split_whitespace().any(|name| name == "tls");
    if !does {
        let required = std::env::var_os("ECAPTURE_REQUIRE_KERNEL_TLS");
        assert!(required.is_none_or(|value| value != "1"), "this kernel only has {known}");
        // Not with eprintln: the test harness hides that of tests that pass.
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: this kernel has no TLS (its module `tls` is not loaded)")
            .unwrap();
    }
    does
}

fn every_byte_of_a_file(make: impl Fn(&Path) -> Command, crypto: &Path, ssl: &Path) {
    if !kernel_does_tls() {
        return;
    }
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let content = Payload::text(3_000_000);
    let received = scratch.join("received");
    let mut program = make(&calls::compile_sendfile(&scratch));
    program.args([crypto, ssl, &certificate.certificate, &certificate.key]);
    program.arg(scratch.write("file", &content)).arg(&received);
    let mut program = Process::start(program.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdout = program.stdout_lines();
    stdout.wait_for("\"ready\"", |line| line == "ready");

    let capture = Capture::raw(&scratch, &["--libssl", ssl.to_str().unwrap()]);
    program.stdin().write_all(b"go\n").unwrap();
    assert!(program.wait().success());
    let said = stdout.finish();
    let captured = capture.stop();
    let lines = captured.lines();

    let (whole, rest) = content.split_at(100_000);
    let all = [b"before", whole, b"between", rest, b"behind"].concat();
    assert_eq!(digest(&fs::read(&received).unwrap()), digest(&all), "what was received");
    let child = said.iter().find_map(|line| line.strip_prefix("child ")).unwrap();
    let child = streams(&lines, &[child.parse().unwrap()]);
    let shown = stream::of(&child, Direction::Recv);
    assert_eq!(shown.len(), 1);
    assert_eq!(digest(&shown[0].bytes), digest(&all), "what the receiver shows");

    let mut texts = [&b"before"[..], b"between", b"behind"].into_iter();
    let expected: Vec<Sent> = said
        .iter()
        .filter_map(|line| match line.split_once(' ') {
            Some(("write", _)) => Some(Sent::Written(texts.next().unwrap().to_vec())),
            Some(("sendfile", len)) => Some(Sent::FromAFile(len.parse().unwrap())),
            _ => None,
        })
        .collect();
    let mut at = 0;
    let shown: Vec<Sent> = lines
        .iter()
        .filter(|line| line.pid == program.pid() && line.dir == Direction::Send)
        .map(|line| {
            let len = line.len.unwrap();
            assert_eq!(line.offset, Some(at), "each byte once: {line:?}");
            at += len;
            match line.kind.as_str() {
                "data" => Sent::Written(line.data().unwrap()),
                "hole" => {
                    assert_eq!(line.cause.as_deref(), Some("sendfile"), "{line:?}");
                    Sent::FromAFile(len)
                }
                other => panic!("unexpected kind {other}: {line:?}"),
            }
        })
        .collect();
    assert_eq!(shown, expected, "call for call");
    assert_eq!(at, all.len() as u64);
    assert_eq!(captured.number("/sendfile_bytes"), content.len() as u64);
}

#[test]
fn of_the_distribution() {
    needs_bpf!();
    let ssl = libssl();
    let crypto = ssl.with_file_name("libcrypto.so.3");
    every_byte_of_a_file(|program| Command::new(program), &crypto, &ssl);
}

fn of_version(name: &str) {
    let version = Version::named(name);
    let [crypto, ssl] = version.libraries();
    every_byte_of_a_file(|program| version.command(program), crypto.as_ref(), ssl.as_ref());
}

#[test]
fn of_openssl_3_5() {
    needs_bpf!();
    of_version("trixie-run");
}

#[test]
fn of_openssl_3_6() {
    needs_bpf!();
    of_version("sid-run");
}
