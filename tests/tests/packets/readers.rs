//! Readers that are stricter than tshark, and tshark's own complaints.

use super::recording::Recording;
use super::scene::{PacketCapture, Scene};
use super::tshark::{complaints, identities};
use e2e::Payload;
use e2e::process::{command, run};
use pcap_parser::traits::PcapReaderIterator as _;
use pcap_parser::{Block, PcapBlockOwned, PcapError, PcapNGReader};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One file of ours and one of tcpdump's of the same packets.
struct Both {
    scene: Scene,
    ours: PathBuf,
    tcpdumps: PathBuf,
    keys: String,
}

impl Both {
    /// A download, an upload and a refused request, one after the other.
    fn new() -> Self {
        let scene = Scene::new();
        let body = scene.scratch.write("sent", Payload::binary(300_000));
        scene.nginx.serve("body", &Payload::binary(300_000));
        let keys = scene.path("keys");
        let tcpdump = Recording::start(&scene.scratch, scene.nginx.port);
        // Without what ends tcpdump's recording.
        let filter = format!("tcp {}", scene.filter());
        let capture = PacketCapture::filtered(&scene.scratch, &filter, &[]);
        for version in ["1.2", "1.3"] {
            let curl = || {
                let mut curl = scene.curl();
                curl.args(["--tls-max", version, "--output", "/dev/null"]);
                curl.env("SSLKEYLOGFILE", &keys);
                curl
            };
            let _ = run(curl().arg(scene.nginx.url("body"))).success();
            let _ = run(curl().arg("-T").arg(&body).arg(scene.nginx.url("up"))).success();
            assert!(!run(curl().arg(scene.nginx.url("none"))).status.success());
        }
        let ours = capture.stop();
        let tcpdumps = tcpdump.stop();
        Self { scene, ours, tcpdumps, keys }
    }
}

#[test]
fn capinfos_and_expert_information_find_what_they_find_in_tcpdumps_file() {
    e2e::needs_bpf!();
    let both = Both::new();
    assert_eq!(identities(&both.ours, "tcp"), identities(&both.tcpdumps, "tcp"));

    let keys = format!("tls.keylog_file:{}", both.keys);
    let theirs = complaints(&both.tcpdumps, &["-o", &keys]);
    let ours = complaints(&both.ours, &[]);
    let surplus: Vec<_> = ours
        .iter()
        .filter(|(complaint, count)| theirs.get(*complaint).is_none_or(|their| their < *count))
        .collect();
    assert!(surplus.is_empty(), "{surplus:#?} but tcpdump's file: {theirs:#?}");

    let printed = capinfos(&both.ours);
    for line in ["Strict time order:   True", "Number of interfaces in file: 1"] {
        assert!(printed.contains(line), "no {line:?}: {printed}");
    }
    let filter = format!("Filter string = tcp {}", both.scene.filter());
    assert!(printed.contains(&filter), "{printed}");
}

/// What capinfos says; it must not complain.
pub(super) fn capinfos(file: &Path) -> String {
    let mut capinfos = command("capinfos");
    let outcome = run(capinfos.arg(file)).success();
    super::tshark::assert_silent(&outcome.stderr);
    String::from_utf8(outcome.stdout).unwrap()
}

#[test]
fn a_second_reader_finds_each_secret_before_the_packets_and_the_counts_at_the_end() {
    e2e::needs_bpf!();
    let both = Both::new();
    let blocks = Blocks::read(&both.ours);
    // Two of TLS 1.2 would be three lines, three of TLS 1.3 five each.
    assert_eq!(blocks.secrets, 3 + 3 * 5);
    assert_eq!(blocks.packets, identities(&both.ours, "tcp").len());
    assert_eq!(blocks.received, [Some(blocks.packets as u64)], "one statistics block");
    assert_eq!(blocks.dropped, [Some(0)]);
    assert!(blocks.truncated == 0 && blocks.statistics_are_last);
}

/// What another reader of the format finds.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) secrets: usize,
    pub(super) packets: usize,
    pub(super) truncated: usize,
    pub(super) longest: u32,
    pub(super) received: Vec<Option<u64>>,
    pub(super) dropped: Vec<Option<u64>>,
    statistics_are_last: bool,
}

impl Blocks {
    pub(super) fn read(file: &Path) -> Self {
        Self::read_from(File::open(file).unwrap())
    }

    pub(super) fn read_from(input: impl Read) -> Self {
        let mut reader = PcapNGReader::new(1 << 20, input).unwrap();
        let mut blocks = Self::default();
        loop {
            match reader.next() {
                Ok((len, block)) => {
                    let PcapBlockOwned::NG(block) = block else { panic!("not a block") };
                    blocks.count(&block);
                    reader.consume(len);
                }
                Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
                Err(PcapError::Eof) => return blocks,
                Err(error) => panic!("block {}: {error}", blocks.packets),
            }
        }
    }

    fn count(&mut self, block: &Block<'_>) {
        match block {
            Block::EnhancedPacket(packet) => {
                self.packets += 1;
                self.truncated += usize::from(packet.caplen < packet.origlen);
                self.longest = self.longest.max(packet.caplen);
                assert!(packet.caplen <= packet.origlen);
            }
            Block::DecryptionSecrets(secrets) => {
                // "TLSK" (draft-ietf-opsawg-pcapng, 4.7).
                assert_eq!(secrets.secrets_type.0, 0x544c_534b);
                let data = &secrets.data[..secrets.secrets_len as usize];
                self.secrets +=
                    data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
            }
            Block::InterfaceStatistics(statistics) => {
                let number = |code| {
                    let option = statistics.options.iter().find(|option| option.code.0 == code)?;
                    Some(u64::from_le_bytes(option.value().try_into().ok()?))
                };
                // isb_ifrecv and isb_ifdrop
                self.received.push(number(4));
                self.dropped.push(number(5));
            }
            _ => {}
        }
        self.statistics_are_last = matches!(block, Block::InterfaceStatistics(_));
    }
}
