//! The keys of `GnuTLS`: what a program writes itself when `SSLKEYLOGFILE` says so, and no other.

use e2e::certificate::Certificate;
use e2e::keylog::{KeyCapture, assert_same, own};
use e2e::openssl::{FileServer, distribution};
use e2e::process::run;
use e2e::suite::Suite;
use e2e::{Payload, Scratch};

fn equal(name: &str, version: &str) {
    let suite = Suite::named(name);
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    scratch.write("file.txt", Payload::text(1000));
    let mut openssl = distribution();
    openssl.current_dir(scratch.path());
    let server = FileServer::start(openssl, &certificate);
    let library = suite.library("libgnutls.so.30");
    let capture = KeyCapture::of("gnutls", &scratch, &["--gnutls", library.to_str().unwrap()]);
    let log = scratch.join("own.keys");
    let mut wget = suite.program("wget");
    wget.args(["--no-hsts", "--no-config", "--tries=1", "-4", "--output-document", "/dev/null"]);
    wget.args(["--ciphers", &format!("NORMAL:-VERS-ALL:+{version}")]);
    wget.arg("--ca-certificate").arg(&certificate.certificate);
    wget.arg(format!("https://localhost:{}/file.txt", server.port));
    let _ = run(wget.env("SSLKEYLOGFILE", &log)).success();
    server.finish();
    let (captured, _) = capture.stop();
    assert_same(&captured, &own(&log));
}

macro_rules! suites {
    ($($suite:ident = $name:literal,)*) => {
        $(mod $suite {
            #[test]
            fn tls_1_3() {
                e2e::needs_bpf!();
                super::equal($name, "VERS-TLS1.3");
            }

            #[test]
            fn tls_1_2() {
                e2e::needs_bpf!();
                super::equal($name, "VERS-TLS1.2");
            }
        })*
    };
}

suites! {
    bullseye = "bullseye-gnutls",
    bookworm = "bookworm-gnutls",
    trixie = "trixie-gnutls",
    sid = "sid-gnutls",
}
