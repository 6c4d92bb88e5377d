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
pub(crate) struct Plaintext {
    /// What the client said.
    pub(crate) client: Vec<u8>,
    /// What the server said.
    pub(crate) server: Vec<u8>,
}

/// The plaintext of each connection over TCP whose beginning is in the file.
pub(crate) fn plaintexts(file: &Path) -> Vec<Plaintext> {
    let columns = ["tcp.stream", "tcp.flags.ack", "tcp.srcport", "tcp.dstport"];
    let mut servers = BTreeMap::new();
    for line in fields(file, "tcp.flags.syn==1", &columns) {
        let [stream, ack, from, to] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not {columns:?}: {line}")
        };
        // Older releases print numbers.
        let is_servers = ["1", "True"].contains(&ack);
        let port = if is_servers { from } else { to };
        servers.insert(stream.parse().unwrap(), port.parse().unwrap());
    }
    let taps: Vec<_> =
        servers.keys().map(|stream: &usize| format!("follow,tls,raw,{stream}")).collect();
    if taps.is_empty() {
        return Vec::new();
    }
    let mut arguments = [&["-q"], OUT_OF_ORDER].concat();
    for tap in &taps {
        arguments.extend(["-z", tap]);
    }
    follow(&tshark(file, &arguments), |stream| servers[&stream])
}

/// Reads what `-z follow,tls,raw` printed, in the order of the streams; `server` tells the port of a
/// stream's server.
pub(super) fn follow(printed: &str, server: impl Fn(usize) -> u16) -> Vec<Plaintext> {
    let texts = printed.split("Follow: tls,raw").skip(1);
    let plaintexts: BTreeMap<_, _> = texts.map(|text| one(text, &server)).collect();
    plaintexts.into_values().collect()
}

/// Its lines are hexadecimal; those of the second node are indented.
fn one(text: &str, server: impl Fn(usize) -> u16) -> (usize, Plaintext) {
    let value_of = |start: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("no {start:?} in {text}"))
    };
    let stream = value_of("Filter: tcp.stream eq ").parse().unwrap();
    let mut ways = [Vec::new(), Vec::new()];
    for line in text.lines() {
        if let Ok(bytes) = data_encoding::HEXLOWER.decode(line.trim().as_bytes()) {
            ways[usize::from(line.starts_with('\t'))].extend(bytes);
        }
    }
    let [plain, indented] = ways;
    // Which node is the first is not to be relied on.
    let is_first = value_of("Node 0: ").ends_with(&format!(":{}", server(stream)));
    let (server, client) = if is_first { (plain, indented) } else { (indented, plain) };
    (stream, Plaintext { client, server })
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
