//! `-m pcapng`: packets of Go programs, with the keys that decrypt them.

use super::pids;
use crate::packets::scene::PacketCapture;
use crate::packets::tshark::plaintexts;
use e2e::go::{Build, Client, Peer, Server, Transfers, certificate, transfer};
use e2e::{http1, http2, needs_bpf};

/// What the programs speak, and how the bodies are found in it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Protocol {
    Http1,
    Http2,
    /// All of a direction is one.
    Raw,
}

impl Protocol {
    fn flag(self) -> &'static [&'static str] {
        match self {
            Self::Http1 => &[],
            Self::Http2 => &["-http2"],
            Self::Raw => &["-raw"],
        }
    }

    fn bodies(self, bytes: &[u8]) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => http1::bodies(bytes),
            Self::Http2 => http2::bodies(bytes).into_values().collect(),
            Self::Raw => vec![bytes.to_vec()],
        }
    }
}

const SIZES: &str = "1,200,20000,4096,100000,16385,300000";

/// One pass of tshark over the file, with the keys in it and no others, gives every body.
#[track_caller]
fn assert_decrypted(go: &str, build: Build, tls: &str, protocol: Protocol, by_pid: bool) {
    let peer = Peer::build(go, build);
    let (scratch, certificate) = certificate();
    let server = Server::start(&peer, &certificate, protocol.flag());
    let flags = ["-version", tls, "-workers", "8", "-calls", "7", "-sizes", SIZES];
    let client = Client::start(&peer, &server, None, &[protocol.flag(), &flags].concat());
    let module = ["gotls", "--elfpath", peer.file.to_str().unwrap()];
    let (filter, only) = (format!("port {}", server.port), pids(&[client.pid(), server.pid()]));
    let (filter, arguments) =
        if by_pid { ("tcp", vec!["--pid", &only]) } else { (&*filter, Vec::new()) };
    let capture = PacketCapture::of(&module, &scratch, filter, &arguments);
    let transfers = client.run();
    server.stop();
    let mut decrypted = Transfers::new();
    for plaintext in plaintexts(&capture.stop()) {
        for (from_client, bytes) in [(true, plaintext.client), (false, plaintext.server)] {
            for body in protocol.bodies(&bytes) {
                *decrypted.entry(transfer(from_client, &body)).or_default() += 1;
            }
        }
    }
    assert!(!transfers.is_empty());
    assert_eq!(decrypted, transfers);
}

macro_rules! decrypted {
    ($($test:ident: $go:literal $build:ident, $tls:literal, $protocol:ident, $by_pid:literal;)*) => {
        $(#[test]
        fn $test() {
            needs_bpf!();
            assert_decrypted($go, Build::$build, $tls, Protocol::$protocol, $by_pid);
        })*
    };
}

decrypted! {
    go_1_15_over_tls_1_2: "1.15" Plain, "12", Http1, false;
    go_1_15_over_tls_1_3_of_two_processes: "1.15" Stripped, "13", Raw, true;
    go_1_24_with_http2: "1.24" Pie, "13", Http2, false;
    go_1_27_over_tls_1_2_of_two_processes: "1.27" Stripped, "12", Http2, true;
    go_1_27_over_tls_1_3: "1.27" Plain, "13", Http1, false;
}
