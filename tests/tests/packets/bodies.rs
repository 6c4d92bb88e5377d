//! Every body of every request and response comes out of the file as it went over the wire.

use super::scene::{PacketCapture, Scene};
use super::tshark::{Plaintext, plaintexts};
use e2e::process::run;
use e2e::{Payload, digest, http1, http2};
use std::collections::BTreeMap;
use std::fs;

/// What curl is asked for.
#[derive(Clone, Copy)]
struct Asked {
    http: &'static str,
    tls: &'static str,
    transfers: usize,
    address: &'static str,
}

/// Which end is captured.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Both,
    Client,
    Server,
}

/// Bodies, how often each was there.
type Bodies = BTreeMap<String, usize>;

#[derive(Debug, Default, PartialEq)]
struct Transferred {
    uploads: Bodies,
    downloads: Bodies,
}

fn count(bodies: &mut Bodies, body: &[u8]) {
    if !body.is_empty() {
        *bodies.entry(digest(body)).or_default() += 1;
    }
}

/// Makes the files, and a configuration for curl in which each second transfer is an upload.
fn prepare(scene: &Scene, asked: Asked) -> Transferred {
    let mut transferred = Transferred::default();
    let mut requests = Vec::new();
    for number in 0..asked.transfers {
        // From less than a record to more than a packet; one that is much more.
        let len = if number < 2 { 1 << 20 } else { fastrand::usize(100..100_000) };
        let body = Payload::binary(len);
        let url = format!("https://{}:{}/{number}", asked.address, scene.nginx.port);
        let (http, tls) = (asked.http, asked.tls);
        let common = format!("url = \"{url}\"\n{http}\ntls-max = {tls}\ntlsv{tls}\n");
        let sent = scene.path(&format!("sent-{number}"));
        let got = scene.path(&format!("got-{number}"));
        if number % 2 == 0 {
            count(&mut transferred.downloads, &body);
            scene.nginx.serve(&number.to_string(), &body);
            requests.push(format!("{common}output = \"{got}\"\n"));
        } else {
            count(&mut transferred.uploads, &body);
            fs::write(&sent, body).unwrap();
            requests.push(format!("{common}upload-file = \"{sent}\"\noutput = /dev/null\n"));
        }
    }
    let certificate = scene.nginx.certificate.certificate.display();
    let end = format!("cacert = \"{certificate}\"\nheader = \"Expect:\"\nfail\n");
    let requests: Vec<_> = requests.iter().map(|request| format!("{request}{end}")).collect();
    scene.scratch.write("requests", requests.join("next\n"));
    transferred
}

fn bodies(plaintexts: &[Plaintext], http: &str) -> Transferred {
    let mut transferred = Transferred::default();
    for Plaintext { client, server } in plaintexts {
        if http == "http2" {
            for body in http2::bodies(client).values() {
                count(&mut transferred.uploads, body);
            }
            for body in http2::bodies(server).values() {
                count(&mut transferred.downloads, body);
            }
        } else {
            for body in http1::bodies(client) {
                count(&mut transferred.uploads, &body);
            }
            for body in http1::bodies(server) {
                count(&mut transferred.downloads, &body);
            }
        }
    }
    transferred
}

fn assert_every_body(asked: Asked, end: End) {
    let scene = Scene::new();
    let expected = prepare(&scene, asked);
    let mut curl = e2e::process::command("curl");
    let at_once = asked.transfers.to_string();
    curl.args(["--disable", "--silent", "--show-error", "--noproxy", "*"]);
    curl.args(["--parallel", "--parallel-immediate", "--parallel-max", &at_once]);
    curl.args(["--config", &scene.path("requests")]);
    let file = if end == End::Client {
        let words = [curl.get_program()].into_iter().chain(curl.get_args());
        let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
        PacketCapture::start(&scene, &[&["--"], &words[..]].concat()).finish()
    } else {
        let worker = scene.nginx.workers[0].to_string();
        let arguments: &[&str] = if end == End::Server { &["--pid", &worker] } else { &[] };
        let capture = PacketCapture::start(&scene, arguments);
        let _ = run(&mut curl).success();
        capture.stop()
    };
    let plaintexts = plaintexts(&file);
    assert_eq!(bodies(&plaintexts, asked.http), expected);
    let connections = plaintexts.len();
    assert!(connections <= asked.transfers);
    if asked.http == "http1.1" {
        assert!(connections * 2 >= asked.transfers, "{connections} connections");
    }
}

const LOCAL: &str = "localhost";
const V6: &str = "[::1]";

macro_rules! exchanges {
    ($($test:ident: $http:literal, $tls:literal, $transfers:literal, $address:ident, $end:ident;)*) => {
        $(#[test]
        fn $test() {
            e2e::needs_bpf!();
            let (http, tls, transfers) = ($http, $tls, $transfers);
            assert_every_body(Asked { http, tls, transfers, address: $address }, End::$end);
        })*
    };
}

exchanges! {
    http1_over_tls_1_2_from_both_ends: "http1.1", "1.2", 2, LOCAL, Both;
    http1_over_tls_1_3_of_the_client_alone: "http1.1", "1.3", 10, LOCAL, Client;
    http1_over_tls_1_2_of_the_server_alone: "http1.1", "1.2", 10, V6, Server;
    http1_over_tls_1_3_with_100_connections: "http1.1", "1.3", 100, LOCAL, Both;
    http2_over_tls_1_2_of_the_client_alone: "http2", "1.2", 10, V6, Client;
    http2_over_tls_1_3_from_both_ends: "http2", "1.3", 2, V6, Both;
    http2_over_tls_1_3_of_the_server_alone: "http2", "1.3", 10, LOCAL, Server;
    http2_over_tls_1_2_with_100_transfers: "http2", "1.2", 100, LOCAL, Both;
}
