//! HTTP/3: QUIC's packets and keys in one file.

use super::readers::capinfos;
use super::tshark::{complaints, fields};
use data_encoding::HEXLOWER;
use e2e::certificate::Certificate;
use e2e::process::{LIMIT, Process, run};
use e2e::suite::Suite;
use e2e::{Capture, Payload, Scratch};
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Instant;

/// A stream of QUIC by the port of who sent it and its number.
type Streams = BTreeMap<(String, u64), Vec<u8>>;

/// What tshark decrypts: each stream, put in order.
fn streams(file: &std::path::Path) -> Streams {
    let frame = ["stream_id", "off", "offset", "length"].map(|name| format!("quic.stream.{name}"));
    let mut wanted = vec!["udp.srcport"];
    wanted.extend(frame.iter().map(String::as_str));
    wanted.push("quic.stream_data");
    let mut streams = Streams::new();
    for packet in fields(file, "quic.stream_data", &wanted) {
        let columns: Vec<Vec<&str>> =
            packet.split('\t').map(|column| column.split(',').collect()).collect();
        let [port, ids, has_offset, offsets, lengths, data] = &columns[..] else {
            panic!("{packet}")
        };
        let (mut offsets, mut data) = (offsets.iter(), data.iter());
        for ((id, has_offset), length) in ids.iter().zip(has_offset).zip(lengths) {
            let offset = if *has_offset == "1" { offsets.next().unwrap() } else { "0" };
            let (offset, length): (usize, usize) =
                (offset.parse().unwrap(), length.parse().unwrap());
            if length == 0 {
                continue;
            }
            let bytes = HEXLOWER.decode(data.next().unwrap().as_bytes()).unwrap();
            assert_eq!(bytes.len(), length);
            let stream = streams.entry((port[0].to_owned(), id.parse().unwrap())).or_default();
            stream.resize(stream.len().max(offset + length), 0);
            stream[offset..offset + length].copy_from_slice(&bytes);
        }
    }
    streams
}

/// A number of RFC 9000 section 16.
fn number(bytes: &mut &[u8]) -> usize {
    let length = 1 << (bytes[0] >> 6);
    let (number, rest) = bytes.split_at(length);
    *bytes = rest;
    let first = usize::from(number[0] & 0x3f);
    number[1..].iter().fold(first, |number, byte| number << 8 | usize::from(*byte))
}

/// The contents of the DATA frames of a request or response (RFC 9114 section 7.2.1).
fn body(mut stream: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while !stream.is_empty() {
        let kind = number(&mut stream);
        let length = number(&mut stream);
        let (content, rest) = stream.split_at(length);
        if kind == 0 {
            body.extend_from_slice(content);
        }
        stream = rest;
    }
    body
}

/// Whether somebody receives at this UDP port.
fn is_bound(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
    sockets.contains(&format!("0100007F:{port:04X} "))
}

#[test]
fn http3_is_decrypted_to_its_last_byte() {
    e2e::needs_bpf!();
    let suite = Suite::named("bookworm-http3");
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    // Long enough for many datagrams to be handed to the kernel at once.
    let page = format!("{}{}", Payload::marker(), Payload::marker().repeat(10_000));
    let files = scratch.join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("page"), &page).unwrap();
    let downloads = scratch.join("downloads");
    std::fs::create_dir(&downloads).unwrap();
    let types = scratch.write("mime.types", "text/plain txt\n");
    let port = UdpSocket::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();

    let library = suite.library("libgnutls.so.30");
    let file = scratch.join("capture.pcapng");
    let arguments = ["-m", "pcapng", "-i", "lo", "--gnutls", library.to_str().unwrap(), "-w"];
    let filter = format!("udp port {port}");
    let arguments = [&arguments[..], &[file.to_str().unwrap(), &filter]].concat();
    let capture = Capture::of("gnutls", &scratch, &arguments);

    let mut server = suite.program("gtlsserver");
    server.arg("--quiet").arg("--htdocs").arg(&files).arg("--mime-types-file").arg(&types);
    server.args(["127.0.0.1", &port.to_string()]);
    server.arg(&certificate.key).arg(&certificate.certificate);
    let server =
        Process::start(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    let limit = Instant::now() + LIMIT;
    while !is_bound(port) {
        assert!(Instant::now() < limit, "the server does not listen");
        std::thread::yield_now();
    }
    let mut client = suite.program("gtlsclient");
    client.arg("--quiet").arg("--exit-on-all-streams-close");
    client.arg(format!("--download={}", downloads.display()));
    client.args(["127.0.0.1", &port.to_string(), &format!("https://localhost:{port}/page")]);
    let _ = run(&mut client).success();
    let ended = capture.stop();
    drop(server);

    assert_eq!(std::fs::read_to_string(downloads.join("page")).unwrap(), page);
    ended.assert_whole();
    let packets = |name: &str| ended.number(&format!("/packets/{name}"));
    assert_eq!(packets("seen"), packets("written"), "{}", ended.summary);
    assert_eq!(packets("without_key"), 0, "{}", ended.summary);
    assert!(packets("seen") > 2 * page.len() as u64 / 3000, "datagrams stand alone");
    let decrypted = body(&streams(&file)[&(port.to_string(), 0)]);
    assert_eq!(String::from_utf8(decrypted).unwrap(), page);
    assert!(capinfos(&file).contains("Strict time order:   True"));
    assert_eq!(complaints(&file, &[]), BTreeMap::new());
}
