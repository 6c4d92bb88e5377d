//! What tshark makes of a file in one sequential pass.

use std::path::Path;
use std::process::Command;

/// Which protocols are inside, where tshark cannot know.
const DECODE_AS: [&str; 9] = [
    "tls.port==46004,http",
    "tls.port==46005,http",
    "tls.port==46006,http",
    "tls.port==46007,http",
    "tls.port==46008,http",
    "tls.port==46011,http",
    "tcp.port==46011,smtp",
    "udp.port==46010,dtls",
    "udp.port==46012,quic",
];

/// All that differs if something was not decrypted.
const FIELDS: [&str; 14] = [
    "frame.time_epoch",
    "tcp.port",
    "udp.port",
    "_ws.col.Protocol",
    "_ws.col.Info",
    "tls.handshake.type",
    "dtls.handshake.type",
    "tls.alert_message.desc",
    "http.file_data",
    "http2.data.data",
    "http2.header.value",
    "http3.frame_payload",
    "quic.stream_data",
    "data.data",
];

/// Runs tshark over `file`; stderr must stay empty.
pub(crate) fn tshark(file: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("tshark");
    // No settings of whoever runs the test.
    command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8").arg("-n").arg("-r").arg(file);
    for rule in DECODE_AS {
        command.args(["-d", rule]);
    }
    let output = command.args(arguments).output().expect("tshark is installed");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<_> =
        complaints.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{complaints:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is in each packet, in the order of time. `keys` is a key log to use besides those in the
/// file.
pub(crate) fn packets(file: &Path, keys: Option<&Path>) -> Vec<String> {
    let keys = keys.map(|keys| format!("tls.keylog_file:{}", keys.display()));
    let mut arguments = vec!["-T", "fields"];
    for field in FIELDS {
        arguments.extend(["-e", field]);
    }
    if let Some(keys) = &keys {
        arguments.extend(["-o", keys]);
    }
    let mut packets: Vec<_> = tshark(file, &arguments).lines().map(str::to_owned).collect();
    packets.sort();
    packets
}

/// The plaintext of each TLS connection over TCP, first one direction, then the other. `keys` is a key
/// log to use besides those in the file.
pub(crate) fn plaintexts(file: &Path, keys: Option<&Path>) -> Vec<Vec<u8>> {
    let streams = tshark(file, &["-T", "fields", "-e", "tcp.stream"]);
    let last: usize = streams.lines().filter_map(|stream| stream.parse().ok()).max().unwrap();
    let taps: Vec<_> = (0..=last).map(|stream| format!("follow,tls,raw,{stream}")).collect();
    let keys = keys.map(|keys| format!("tls.keylog_file:{}", keys.display()));
    let mut arguments = vec!["-q"];
    for tap in &taps {
        arguments.extend(["-z", tap]);
    }
    if let Some(keys) = &keys {
        arguments.extend(["-o", keys]);
    }
    let printed = tshark(file, &arguments);
    let follow = printed.split("Follow: tls,raw").skip(1);
    follow.map(|text| [direction(text, false), direction(text, true)].concat()).collect()
}

/// What went one way in what the tap printed: its lines are hexadecimal, those of one end indented.
fn direction(printed: &str, indented: bool) -> Vec<u8> {
    let decode = |line: &str| data_encoding::HEXLOWER.decode(line.trim().as_bytes()).ok();
    let ours = printed.lines().filter(|line| line.starts_with('\t') == indented);
    ours.filter_map(decode).flatten().collect()
}
