//! Every kind of handshake, with every version of OpenSSL that can say what its keys are, at either end.

use e2e::Scratch;
use e2e::certificate::Certificate;
use e2e::keylog::{KeyCapture, assert_same, own};
use e2e::s_client::Ends;
use e2e::version::Version;

#[derive(Clone, Copy, PartialEq)]
enum End {
    Client,
    Server,
}

fn version(name: &str) -> Version {
    if name == "host" { Version::of_host() } else { Version::named(name) }
}

/// Captures the keys of one end only, and compares them with its own key log.
fn assert_every_handshake(name: &str, end: End) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let (watched, other) = (version(name).copied(&scratch), version(name));
    let log = scratch.join("own.keys");
    let arguments = vec!["-keylogfile".to_owned(), log.to_str().unwrap().to_owned()];
    let (watched, other) = (|| watched.openssl(), || other.openssl());
    let ends = match end {
        End::Client => Ends {
            scratch: &scratch,
            certificate: &certificate,
            server: &other,
            client: &watched,
            server_arguments: Vec::new(),
            client_arguments: arguments,
        },
        End::Server => Ends {
            scratch: &scratch,
            certificate: &certificate,
            server: &watched,
            client: &other,
            server_arguments: arguments,
            client_arguments: Vec::new(),
        },
    };
    let library = scratch.join("copied-libraries");
    let library = std::fs::read_dir(&library)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().contains("libssl"))
        .unwrap();
    let capture = KeyCapture::start(&scratch, &["--libssl", library.to_str().unwrap()]);
    for protocol in ["-tls1_2", "-tls1_3"] {
        ends.full_handshake(protocol);
        ends.resumption(protocol);
        ends.mutual(protocol);
    }
    ends.hello_retry_request();
    ends.key_update();
    ends.early_data();
    ends.dtls();
    let (captured, _) = capture.stop();
    let own = own(&log);
    assert_same(&captured, &own);
    for label in [
        "CLIENT_RANDOM ",
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET ",
        "SERVER_TRAFFIC_SECRET_0 ",
        "EXPORTER_SECRET ",
        "CLIENT_EARLY_TRAFFIC_SECRET ",
        "EARLY_EXPORTER_SECRET ",
    ] {
        assert!(
            own.iter().any(|line| line.starts_with(label)),
            "no {label}: not every kind was there"
        );
    }
}

macro_rules! versions {
    ($($test:ident = $name:literal,)*) => {
        mod client {
            $(#[test]
            fn $test() {
                e2e::needs_bpf!();
                super::assert_every_handshake($name, super::End::Client);
            })*
        }
        mod server {
            $(#[test]
            fn $test() {
                e2e::needs_bpf!();
                super::assert_every_handshake($name, super::End::Server);
            })*
        }
    };
}

versions! {
    openssl_1_1_1 = "bullseye-run",
    openssl_3_0 = "host",
    openssl_3_5 = "trixie-run",
    openssl_3_6 = "sid-run",
}
