//! `-m pcapng`: packets of programs that use `GnuTLS`, with the keys that decrypt them.

use crate::packets::scene::PacketCapture;
use crate::packets::tshark::plaintexts;
use e2e::nginx::Nginx;
use e2e::process::run;
use e2e::suite::Suite;
use e2e::{Payload, Scratch, digest, http1};
use std::fs;

/// One pass of tshark over the file, with the keys in it and no others, gives every body.
fn decrypted(name: &str, version: &str) {
    let suite = Suite::named(name);
    let scratch = Scratch::new();
    let nginx = Nginx::with_tls_1_3(&scratch);
    let download = Payload::binary(300_000);
    let upload = Payload::binary(200_000);
    nginx.serve("down", &download);
    let library = suite.library("libgnutls.so.30");
    let module = ["gnutls", "--gnutls", library.to_str().unwrap()];
    let capture = PacketCapture::of(&module, &scratch, &format!("port {}", nginx.port), &[]);
    let wget = || {
        let mut wget = suite.program("wget");
        wget.args(["--quiet", "--no-hsts", "--no-config", "--tries=1", "-4", "--output-document"]);
        wget.arg(scratch.join("got")).args(["--ciphers", &format!("NORMAL:-VERS-ALL:+{version}")]);
        wget.arg("--ca-certificate").arg(&nginx.certificate.certificate);
        wget
    };
    let _ = run(wget().arg(nginx.url("down"))).success();
    assert_eq!(digest(&fs::read(scratch.join("got")).unwrap()), digest(&download));
    let sent = scratch.write("sent", &upload);
    let _ =
        run(wget().arg("--method=PUT").arg("--body-file").arg(sent).arg(nginx.url("up"))).success();
    let plaintexts = plaintexts(&capture.stop());
    nginx.stop();
    let [got, put] = &plaintexts[..] else { panic!("{} connections", plaintexts.len()) };
    let digests = |bytes: &[u8]| -> Vec<String> {
        http1::bodies(bytes).iter().map(|body| digest(body)).collect()
    };
    assert_eq!(digests(&got.client), [digest(b"")]);
    assert_eq!(digests(&got.server), [digest(&download)]);
    assert_eq!(digests(&put.client), [digest(&upload)]);
    assert_eq!(digests(&put.server), [digest(b"")]);
}

macro_rules! suites {
    ($($suite:ident = $name:literal,)*) => {
        $(mod $suite {
            #[test]
            fn tls_1_3() {
                e2e::needs_bpf!();
                super::decrypted($name, "VERS-TLS1.3");
            }

            #[test]
            fn tls_1_2() {
                e2e::needs_bpf!();
                super::decrypted($name, "VERS-TLS1.2");
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
