//! What strict readers say of the files.

use crate::fixture::{Exchanges, data, write};
use crate::tshark::tshark;
use packet::Limits;
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
