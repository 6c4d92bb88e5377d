//! What strict readers say of the files.

use crate::fixture::{Exchanges, data, write};
use crate::tshark::tshark;
use packet::Limits;
use pcap_parser::traits::{PcapNGPacketBlock as _, PcapReaderIterator as _};
use pcap_parser::{Block, PcapBlockOwned, PcapError, PcapNGReader};
use std::path::{Path, PathBuf};
use std::process::Command;

const MILLISECOND: i64 = 1_000_000;

/// All exchanges, keys 100 ms late.
fn capture(dir: &Path) -> PathBuf {
    let file = dir.join("capture.pcapng");
    write(&file, Limits::default(), &Exchanges::load().inputs(|_| 100 * MILLISECOND));
    file
}

fn capinfos(file: &Path) -> String {
    let output = Command::new("capinfos").arg(file).output().expect("capinfos is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn capinfos_reads_every_field() {
    let dir = tempfile::tempdir().unwrap();
    let printed = capinfos(&capture(dir.path()));
    let squeezed: Vec<String> =
        printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let packets = Exchanges::load().packets.len();
    for expected in [
        "File type: Wireshark/... - pcapng",
        "File encapsulation: Ethernet",
        "File timestamp precision: nanoseconds (9)",
        "Strict time order: True",
        "Capture hardware: x86_64",
        "Capture oper-sys: Linux",
        "Capture application: ecapture test",
        "Number of interfaces in file: 1",
        "Name = lo",
        "Description = loopback",
        "Filter string = portrange 46000-46020",
        "Operating system = Linux",
        "Time precision = nanoseconds (9)",
        "Number of stat entries = 1",
        &format!("Number of packets = {packets}"),
    ] {
        assert!(squeezed.iter().any(|line| line == expected), "{expected}:\n{printed}");
    }
}

#[test]
fn wireshark_finds_nothing_wrong_that_was_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let keys = format!("tls.keylog_file:{}", data("exchanges.keys").display());
    let of_recording = tshark(&data("exchanges.pcap"), &["-q", "-z", "expert", "-o", &keys]);
    let of_ours = tshark(&capture(dir.path()), &["-q", "-z", "expert"]);
    // Comments count as expert information of their own.
    let parts = |printed: &str| -> Vec<String> {
        let rows = printed.lines().filter(|line| line.starts_with(' '));
        let is_ours = |line: &&str| !line.contains("Comment") && !line.contains("Frequency");
        rows.filter(is_ours).map(str::to_owned).collect()
    };
    assert_eq!(parts(&of_ours), parts(&of_recording));
    assert!(!of_ours.contains("Errors") && !of_ours.contains("Malformed"), "{of_ours}");
}

#[test]
fn owners_and_directions_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let fields = ["-T", "fields", "-e", "frame.comment", "-e", "frame.packet_flags_direction"];
    let shown = tshark(&capture(dir.path()), &fields);
    assert_eq!(shown.lines().count(), Exchanges::load().packets.len());
    for line in shown.lines() {
        assert_eq!(line, "pid=41 comm=curl uid=1000\t0x00000002");
    }
}

#[test]
fn another_reader_finds_every_packet_and_every_key_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::open(capture(dir.path())).unwrap();
    let mut reader = PcapNGReader::new(1 << 20, file).unwrap();
    let (mut packets, mut keys) = (Vec::new(), String::new());
    loop {
        match reader.next() {
            Ok((len, block)) => {
                match block {
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        let ts = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                        packets.push((ts, packet.packet_data().to_vec()));
                    }
                    PcapBlockOwned::NG(Block::DecryptionSecrets(secrets)) => {
                        let lines = &secrets.data[..secrets.secrets_len as usize];
                        keys += std::str::from_utf8(lines).unwrap();
                    }
                    _ => {}
                }
                reader.consume(len);
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
    let recorded = Exchanges::load().packets.into_iter();
    assert_eq!(packets, recorded.map(|packet| (packet.ts.0, packet.bytes)).collect::<Vec<_>>());
    let mut keys: Vec<_> = keys.lines().collect();
    keys.sort_unstable();
    let recorded = std::fs::read_to_string(data("exchanges.keys")).unwrap();
    let mut recorded: Vec<_> = recorded.lines().collect();
    recorded.sort_unstable();
    assert_eq!(keys, recorded);
}
