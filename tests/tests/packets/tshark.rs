//! What tshark makes of a file in one sequential pass, with the keys in the file and no others.

use e2e::process::{command, run};
use std::collections::BTreeMap;
use std::path::Path;

/// Runs tshark over `file`; it must have nothing to complain about.
pub(super) fn tshark(file: &Path, arguments: &[&str]) -> String {
    let mut tshark = command("tshark");
    // No settings of whoever runs the test, so no key log either.
    tshark.env("HOME", "/nonexistent").arg("-n").arg("-r").arg(file).args(arguments);
    let outcome = run(&mut tshark).success();
    assert_silent(&outcome.stderr);
    String::from_utf8(outcome.stdout).unwrap()
}

/// Fails if tshark complained.
pub(super) fn assert_silent(stderr: &str) {
    let complaints: Vec<_> =
        stderr.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// One line for each packet that `filter` takes: these fields, tab-separated.
pub(super) fn fields(file: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut arguments = vec!["-Y", filter, "-T", "fields"];
    for field in fields {
        arguments.extend(["-e", field]);
    }
    tshark(file, &arguments).lines().map(str::to_owned).collect()
}

/// Joins segments that were out of order on their way, as they are on loopback when a program moves to
/// another CPU while it sends; tcpdump records them so too.
pub(super) const OUT_OF_ORDER: &[&str] = &["-o", "tcp.reassemble_out_of_order:TRUE"];

/// The plaintext of one TLS connection.
#[derive(Debug, Default)]
pub(super) struct Plaintext {
    /// What the client said.
    pub(super) client: Vec<u8>,
    /// What the server said.
    pub(super) server: Vec<u8>,
}

/// The plaintext of each connection over TCP.
pub(super) fn plaintexts(file: &Path) -> Vec<Plaintext> {
    let streams = fields(file, "tcp.flags.syn==1", &["tcp.stream"]);
    let last = streams.iter().filter_map(|stream| stream.parse().ok()).max();
    let Some(last) = last else { return Vec::new() };
    let taps: Vec<_> = (0..=last).map(|stream: usize| format!("follow,tls,raw,{stream}")).collect();
    let mut arguments = [&["-q"], OUT_OF_ORDER].concat();
    for tap in &taps {
        arguments.extend(["-z", tap]);
    }
    follow(&tshark(file, &arguments))
}

/// Reads what `-z follow,tls,raw` printed.
pub(super) fn follow(printed: &str) -> Vec<Plaintext> {
    printed.split("Follow: tls,raw").skip(1).map(one).collect()
}

/// Its lines are hexadecimal; those of the second node are indented.
fn one(text: &str) -> Plaintext {
    let mut ways = [Vec::new(), Vec::new()];
    for line in text.lines() {
        if let Ok(bytes) = data_encoding::HEXLOWER.decode(line.trim().as_bytes()) {
            ways[usize::from(line.starts_with('\t'))].extend(bytes);
        }
    }
    let [plain, indented] = ways;
    // Which node is the first is not to be relied on: a client's first bytes are a request.
    let client_first = starts_request(&plain) || starts_response(&indented);
    let (client, server) = if client_first { (plain, indented) } else { (indented, plain) };
    Plaintext { client, server }
}

fn starts_request(bytes: &[u8]) -> bool {
    [&b"GET "[..], b"PUT ", b"PRI "].iter().any(|method| bytes.starts_with(method))
}

fn starts_response(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1")
}

/// Expert information of a note or worse, how often each is there.
pub(super) fn complaints(file: &Path, arguments: &[&str]) -> BTreeMap<String, u32> {
    let printed = tshark(file, &[&["-q", "-z", "expert,note"], arguments].concat());
    let mut complaints = BTreeMap::new();
    for line in printed.lines() {
        let mut words = line.split_whitespace();
        if let Some(frequency) = words.next().and_then(|word| word.parse().ok()) {
            complaints.insert(words.collect::<Vec<_>>().join(" "), frequency);
        }
    }
    complaints
}

/// What makes a packet over TCP that packet, in an order of its own.
pub(super) fn identities(file: &Path, filter: &str) -> Vec<String> {
    let identity = ["ip.id", "tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw"];
    let rest = ["tcp.flags", "tcp.len", "tcp.checksum", "tcp.options", "frame.len"];
    let mut packets = fields(file, filter, &[&identity[..], &rest].concat());
    packets.sort();
    packets
}
