//! Handshakes that are not the plain one, and DTLS.

use super::scene::PacketCapture;
use super::tshark::{fields, plaintexts};
use e2e::Scratch;
use e2e::certificate::Certificate;
use e2e::cgroup::Cgroup;
use e2e::process::program;
use e2e::s_client::Ends;
use std::process::Command;

/// `openssl` in a control group, so that its packets can be asked for.
fn openssl(cgroup: &Cgroup) -> Command {
    let mut sh = e2e::process::command("sh");
    sh.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
    sh.arg(cgroup.path().join("cgroup.procs")).arg(program("openssl"));
    sh
}

/// The packets of what both ends do.
fn captured(filter: &str, act: impl Fn(&Ends<'_>)) -> (Scratch, std::path::PathBuf) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let cgroup = Cgroup::new();
    let openssl = || openssl(&cgroup);
    let ends = Ends {
        scratch: &scratch,
        certificate: &certificate,
        server: &openssl,
        client: &openssl,
        server_arguments: Vec::new(),
        client_arguments: Vec::new(),
    };
    let arguments = ["--cgroup_path", cgroup.path().to_str().unwrap()];
    let capture = PacketCapture::filtered(&scratch, filter, &arguments);
    act(&ends);
    let file = capture.stop();
    (scratch, file)
}

#[test]
fn resumed_retried_and_mutual_ones_are_decrypted() {
    e2e::needs_bpf!();
    let (_scratch, file) = captured("tcp", |ends| {
        ends.resumption("-tls1_2");
        ends.resumption("-tls1_3");
        ends.mutual("-tls1_3");
        ends.hello_retry_request();
    });
    let plaintexts = plaintexts(&file);
    assert_eq!(plaintexts.len(), 2 + 2 + 1 + 1);
    for plaintext in &plaintexts {
        assert_eq!(plaintext.client, b"GET / HTTP/1.0\r\n\r\n");
        assert!(plaintext.server.starts_with(b"HTTP/1.0 200"));
    }
    // Handshake records too: each end's Finished, and in TLS 1.3 the certificates.
    let finished = fields(&file, "tls.handshake.type==20", &["tls.handshake.type"]).join(",");
    assert_eq!(finished.split(',').filter(|kind| *kind == "20").count(), 2 * plaintexts.len());
}

#[test]
fn updated_keys_and_early_data_are_decrypted() {
    e2e::needs_bpf!();
    let (_scratch, file) = captured("tcp", |ends| {
        ends.key_update();
        ends.early_data();
    });
    let plaintexts = plaintexts(&file);
    let said = |text: &[u8]| {
        let contains = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        plaintexts
            .iter()
            .any(|plaintext| contains(&plaintext.client) || contains(&plaintext.server))
    };
    for text in [&b"stressed\n"[..], b"desserts\n", b"before the handshake is over\n"] {
        assert!(said(text), "no {:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn dtls_is_decrypted() {
    e2e::needs_bpf!();
    let (_scratch, file) = captured("udp", |ends| {
        ends.dtls();
    });
    // Encrypted, a Finished is no handshake message that could be told.
    let finished = fields(&file, "dtls.handshake.type==20", &["udp.port"]);
    assert_eq!(finished.len(), 2, "{finished:?}");
}
