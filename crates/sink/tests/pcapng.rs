//! Files of the pcapng writer, read back by another implementation.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use event::{ConnId, Direction, Library, Owner, Packet, Secret, Timestamp};
use pcap_parser::traits::{PcapNGPacketBlock as _, PcapReaderIterator as _};
use pcap_parser::{Block, OptionCode, PcapBlockOwned, PcapError, PcapNGReader};
use sink::{Interface, InterfaceCounts, OutputState, Pcapng, PcapngError, Rotation, Section};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_795_305_908 * SECOND + 7;

/// A block as the other implementation sees it, in words.
fn blocks(bytes: &[u8]) -> Vec<String> {
    let mut reader = PcapNGReader::new(1 << 20, bytes).unwrap();
    let mut blocks = Vec::new();
    loop {
        match reader.next() {
            Ok((len, PcapBlockOwned::NG(block))) => {
                blocks.push(describe(&block));
                reader.consume(len);
            }
            Err(PcapError::Eof) => return blocks,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
            Ok((_, PcapBlockOwned::Legacy(_) | PcapBlockOwned::LegacyHeader(_))) => {
                panic!("not pcapng")
            }
        }
    }
}

fn describe(block: &Block<'_>) -> String {
    match block {
        Block::SectionHeader(shb) => {
            assert_eq!(shb.section_len, -1);
            assert_eq!((shb.major_version, shb.minor_version), (1, 0));
            let application = shb.options.iter().find(|option| option.code == OptionCode(4));
            format!("section {}", application.map_or("", |option| option.as_str().unwrap()))
        }
        Block::InterfaceDescription(idb) => {
            let name = idb.options.iter().find(|option| option.code == OptionCode(2)).unwrap();
            assert_eq!(idb.if_tsresol, 9);
            format!("interface {} {} {}", name.as_str().unwrap(), idb.linktype.0, idb.snaplen)
        }
        Block::EnhancedPacket(epb) => {
            let ts = u64::from(epb.ts_high) << 32 | u64::from(epb.ts_low);
            let flags = epb.options.iter().find(|option| option.code == OptionCode(2)).unwrap();
            let comment = epb.options.iter().find(|option| option.code == OptionCode(1));
            let comment = comment.map_or("", |option| option.as_str().unwrap());
            let text = String::from_utf8_lossy(epb.packet_data());
            let (at, flag) = ((ts - START) / SECOND, flags.value[0]);
            format!("packet {} {at} {text:?} of {} {flag} {comment}", epb.if_id, epb.origlen)
        }
        Block::DecryptionSecrets(dsb) => {
            assert_eq!(dsb.secrets_type.0, 0x544c_534b);
            let lines = std::str::from_utf8(&dsb.data[..dsb.secrets_len as usize]).unwrap();
            assert!(lines.ends_with('\n'));
            let starts: Vec<_> = lines.lines().map(|line| &line[..10]).collect();
            format!("secrets {starts:?}")
        }
        Block::InterfaceStatistics(isb) => {
            let counts: Vec<_> = isb.options.iter().filter(|option| option.code.0 > 3).collect();
            let counts = counts.iter().map(|option| {
                let value: [u8; 8] = option.value[..8].try_into().unwrap();
                format!("{}={}", option.code.0, u64::from_le_bytes(value))
            });
            let ts = u64::from(isb.ts_high) << 32 | u64::from(isb.ts_low);
            assert!((START..START + 200 * SECOND).contains(&ts));
            format!("statistics {} {}", isb.if_id, counts.collect::<Vec<_>>().join(" "))
        }
        other => panic!("{other:?}"),
    }
}

fn section() -> Section {
    Section { hardware: None, os: None, application: Some("ecapture 1".to_owned()) }
}

fn interface(name: &str) -> Interface {
    Interface {
        name: name.to_owned(),
        description: None,
        link_type: 1,
        snaplen: 0,
        filter: None,
        os: None,
    }
}

fn packet(interface: u32, at: u64, bytes: &[u8]) -> Packet<'_> {
    Packet {
        ts: Timestamp(START + at * SECOND),
        interface,
        dir: Direction::Recv,
        original_len: bytes.len() as u32 + 5,
        bytes,
        owner: None,
    }
}

fn secret(random: u8, label: &str) -> Secret {
    Secret {
        ts: Timestamp(0),
        pid: 1,
        tid: 1,
        uid: 0,
        comm: "test".into(),
        library: Arc::new(Library { path: String::new(), build_id: None }),
        label: label.to_owned(),
        client_random: [random; 32],
        secret: vec![1; 32],
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn everything_comes_back_as_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("save.pcapng");
    let mut file = Pcapng::create(&path, section(), Rotation::default(), Timestamp(START)).unwrap();
    let lo = file.add_interface(interface("lo"));
    file.packet(&packet(lo, 1, b"one"), None).unwrap();
    file.secret(&secret(1, "SECRET_A"));
    file.secret(&secret(1, "SECRET_B"));
    let owner = Arc::new(Owner { pid: 41, uid: 0, comm: "cu\nrl".into() });
    let two = Packet { owner: Some(owner), dir: Direction::Send, ..packet(lo, 2, b"two!") };
    file.packet(&two, Some(ConnId(7))).unwrap();
    let eth0 = file.add_interface(Interface { snaplen: 4, ..interface("eth0") });
    file.packet(&packet(eth0, 3, b"three"), None).unwrap();
    file.secret(&secret(2, "SECRET_C"));
    let counts = InterfaceCounts {
        received: Some(9),
        dropped: Some(3),
        filter_accepted: Some(5),
        started: Some(Timestamp(START)),
        ended: Some(Timestamp(START + 9)),
    };
    file.set_counts(lo, counts);
    assert_eq!(file.finish().unwrap(), OutputState::Closed);
    let stats = file.stats();
    assert_eq!((stats.packets, stats.secrets, stats.files, stats.discarded), (3, 3, 1, 0));
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(stats.bytes, bytes.len() as u64);
    assert_eq!(
        blocks(&bytes),
        [
            "section ecapture 1",
            "interface lo 1 262144",
            r#"packet 0 1 "one" of 8 1 "#,
            r#"secrets ["SECRET_A 0", "SECRET_B 0"]"#,
            r#"packet 0 2 "two!" of 9 2 pid=41 comm=cu\x0arl uid=0 conn=7"#,
            "interface eth0 1 4",
            r#"packet 1 3 "thre" of 10 1 "#,
            r#"secrets ["SECRET_C 0"]"#,
            "statistics 0 4=9 5=3 6=5 8=2",
            "statistics 1 8=1",
        ]
    );
}

#[test]
fn a_packet_that_readers_would_refuse_is_cut_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("save.pcapng");
    let mut file = Pcapng::create(&path, section(), Rotation::default(), Timestamp(START)).unwrap();
    file.add_interface(interface("lo"));
    let large = vec![b'x'; 300_000];
    file.packet(&packet(0, 1, &large), None).unwrap();
    file.finish().unwrap();
    assert_eq!(file.stats().cut, 1);
    let packets = blocks(&std::fs::read(&path).unwrap());
    let expected = format!("packet 0 1 {:?} of 300005 1 ", "x".repeat(262_144));
    assert!(packets.contains(&expected));
}

#[test]
fn rotated_files_are_complete_and_only_the_last_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let rotation = Rotation { size: Some(2000), keep: Some(3), ..Rotation::default() };
    let path = dir.path().join("save.pcapng");
    let mut file = Pcapng::create(&path, section(), rotation, Timestamp(START)).unwrap();
    file.add_interface(interface("lo"));
    file.secret(&secret(1, "LIVES"));
    file.secret(&secret(2, "ENDS"));
    for at in 0..100 {
        if at == 50 {
            file.add_interface(interface("eth0"));
            file.forget(&[2; 32]);
        }
        file.packet(&packet(0, at, &[b'x'; 100]), None).unwrap();
    }
    file.finish().unwrap();
    assert_eq!(file.stats().packets, 100);
    assert!(file.stats().files > 5, "{:?}", file.stats());
    let files = files(dir.path());
    assert_eq!(files.len(), 3);
    let mut next = None;
    for path in &files {
        let bytes = std::fs::read(path).unwrap();
        let statistics = 2 * 40;
        assert!(bytes.len() <= 2000 + statistics, "{}", bytes.len());
        let blocks = blocks(&bytes);
        assert_eq!(
            blocks[..4],
            [
                "section ecapture 1",
                "interface lo 1 262144",
                "interface eth0 1 262144",
                r#"secrets ["LIVES 0101"]"#
            ]
        );
        assert!(blocks[blocks.len() - 2].starts_with("statistics 0"));
        assert!(blocks[blocks.len() - 1].starts_with("statistics 1"));
        for block in &blocks[4..blocks.len() - 2] {
            let at: u64 = block.split(' ').nth(2).unwrap().parse().unwrap();
            assert!(next.is_none_or(|next| next == at), "{block}");
            next = Some(at + 1);
        }
    }
    assert_eq!(next, Some(100));
    let first = files[0].file_name().unwrap().to_str().unwrap();
    let number = file.stats().files - 2;
    assert!(first.starts_with(&format!("save_{number:05}_202611220")), "{first}");
}

#[test]
fn files_begin_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let rotation = Rotation { interval: Some(Duration::from_secs(10)), ..Rotation::default() };
    let path = dir.path().join("save");
    let mut file = Pcapng::create(&path, section(), rotation, Timestamp(START)).unwrap();
    file.add_interface(interface("lo"));
    for at in [1, 9, 10, 19, 20, 100] {
        file.packet(&packet(0, at, b"x"), None).unwrap();
    }
    file.finish().unwrap();
    let names: Vec<_> =
        files(dir.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        [
            "save_00001_20261122000508",
            "save_00002_20261122000518",
            "save_00003_20261122000528",
            "save_00004_20261122000648"
        ]
    );
}

#[test]
fn a_fifos_reader_sees_a_packet_as_soon_as_it_is_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    let status = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(status.success());
    let reader = {
        let path = path.clone();
        std::thread::spawn(move || std::fs::File::open(path).unwrap())
    };
    let mut file = Pcapng::create(&path, section(), Rotation::default(), Timestamp(START)).unwrap();
    let mut reader = reader.join().unwrap();
    file.add_interface(interface("lo"));
    file.packet(&packet(0, 1, b"one"), None).unwrap();
    file.flush().unwrap();
    let mut bytes = vec![0; 1000];
    let len = reader.read(&mut bytes).unwrap();
    assert_eq!(blocks(&bytes[..len]).last().unwrap(), r#"packet 0 1 "one" of 8 1 "#);
    drop(reader);
    file.packet(&packet(0, 2, b"two"), None).unwrap();
    assert_eq!(file.flush().unwrap(), OutputState::Closed, "the reader went away: no error");
    file.packet(&packet(0, 3, b"three"), None).unwrap();
    assert_eq!((file.stats().packets, file.stats().discarded), (1, 2));
}

#[test]
fn a_full_disk_is_an_error_once_and_what_is_lost_is_counted() {
    let path = Path::new("/dev/full");
    let mut file = Pcapng::create(path, section(), Rotation::default(), Timestamp(START)).unwrap();
    file.add_interface(interface("lo"));
    file.packet(&packet(0, 1, b"one"), None).unwrap();
    let error = file.flush().unwrap_err();
    assert!(matches!(error, PcapngError::Write { written: 0, .. }));
    let message = error.to_string();
    assert!(message.starts_with("writing to /dev/full failed after 0 bytes: No space left"));
    assert_eq!(file.packet(&packet(0, 2, b"two"), None).unwrap(), OutputState::Failed);
    assert_eq!(file.finish().unwrap(), OutputState::Failed);
    assert_eq!((file.stats().packets, file.stats().discarded), (0, 2));
}

#[test]
fn an_interface_that_was_never_added_is_an_error() {
    let mut file =
        Pcapng::create(Path::new("/dev/null"), section(), Rotation::default(), Timestamp(0))
            .unwrap();
    let error = file.packet(&packet(3, 1, b"one"), None).unwrap_err();
    assert!(matches!(error, PcapngError::UnknownInterface(3)));
    assert_eq!(file.stats().discarded, 1);
}
