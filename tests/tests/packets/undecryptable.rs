//! Connections whose packets nobody can decrypt: the balance and the file say how many, and why.

use super::readers::capinfos;
use super::scene::{KeepAlive, PacketCapture, Scene};
use super::tshark::fields;
use e2e::{Capture, Payload};

#[test]
fn a_connection_that_is_older_than_the_capture_is_told_and_a_new_one_is_not() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    scene.nginx.serve("page", Payload::marker().as_bytes());
    let mut old = KeepAlive::start(&scene);
    old.request();
    let capture = PacketCapture::start(&scene, &[]);
    old.request();
    let mut new = KeepAlive::start(&scene);
    new.request();
    old.finish();
    new.finish();
    let (ended, file) = capture.end();
    let counts = &ended.summary["packets"]["undecryptable"];
    assert_eq!((&counts["older"], &counts["without_key"]), (&1.into(), &0.into()), "{counts}");
    let said = "TLS connections that nobody can decrypt: 1 older than the capture";
    assert!(ended.stderr.iter().any(|line| line.contains(said)), "{:#?}", ended.stderr);
    // As everything else in the file, it must not trouble a reader.
    assert!(capinfos(&file).contains("Number of interfaces in file: 1"));
    let content = std::fs::read(&file).unwrap();
    assert!(content.windows(said.len()).any(|window| window == said.as_bytes()));
    assert_eq!(fields(&file, "http.response", &["tcp.port"]).len(), 1);
}

#[test]
fn a_connection_of_a_library_that_is_not_captured_is_told() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    scene.nginx.serve("page", Payload::marker().as_bytes());
    let mut old = KeepAlive::start(&scene);
    old.request();
    // OpenSSL at both ends, and GnuTLS asked for.
    let file = scene.path("gnutls.pcapng");
    let arguments = ["-m", "pcapng", "-i", "lo", "-w", &file, &scene.filter()];
    let capture = Capture::of("gnutls", &scene.scratch, &arguments);
    old.request();
    for _ in 0..2 {
        let mut new = KeepAlive::start(&scene);
        new.request();
        new.finish();
    }
    old.finish();
    let ended = capture.stop();
    ended.assert_whole();
    let counts = &ended.summary["packets"]["undecryptable"];
    assert_eq!((&counts["older"], &counts["without_key"]), (&1.into(), &2.into()), "{counts}");
}
