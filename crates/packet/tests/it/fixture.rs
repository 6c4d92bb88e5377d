//! Real exchanges, recorded by `tests/data/record.sh`: one port per kind.
//!
//! | port | what |
//! |---|---|
//! | 46000 | TLS 1.3, HTTP/1.1: a download, an upload |
//! | 46001 | TLS 1.2, HTTP/1.1 |
//! | 46002 | TLS 1.3, HTTP/2 |
//! | 46003 | TLS 1.2, HTTP/2, IPv6 |
//! | 46004 | TLS 1.3, a session and its resumption |
//! | 46005 | TLS 1.2, a session and its resumption |
//! | 46006 | TLS 1.3 with `HelloRetryRequest` |
//! | 46007 | TLS 1.3 with certificates on both sides |
//! | 46008 | TLS 1.3, ChaCha20, no tickets |
//! | 46009 | TLS 1.3 with 0-RTT data |
//! | 46010 | DTLS 1.2 |
//! | 46011 | STARTTLS; the `ClientHello` in three segments |
//! | 46012 | QUIC, HTTP/3 |

use event::{Direction, Library, Owner, Packet, Secret, Timestamp};
use packet::{Holdback, HoldbackStats, Limits, LinkType, Out};
use pcap_parser::PcapBlockOwned;
use pcap_parser::traits::PcapReaderIterator as _;
use sink::{Interface, Pcapng, Section};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The body of every exchange.
pub(crate) fn body() -> Vec<u8> {
    std::fs::read(data("body")).unwrap()
}

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A packet as recorded.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) ts: Timestamp,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Exchanges {
    pub(crate) packets: Vec<Recorded>,
    pub(crate) secrets: Vec<Secret>,
}

/// What a hold-back is told, and when.
pub(crate) enum Input<'a> {
    Packet(&'a Recorded),
    Secret(&'a Secret),
}

impl Exchanges {
    /// Those that are kept with the tests.
    pub(crate) fn load() -> Self {
        Self::read(&data("exchanges.pcap"), &data("exchanges.keys"))
    }

    /// A recording and its key log.
    pub(crate) fn read(recording: &Path, keys: &Path) -> Self {
        let file = std::fs::File::open(recording).unwrap();
        let mut reader = pcap_parser::LegacyPcapReader::new(1 << 20, file).unwrap();
        let mut packets = Vec::new();
        loop {
            match reader.next() {
                Ok((len, block)) => {
                    if let PcapBlockOwned::Legacy(packet) = block {
                        let nanos = u64::from(packet.ts_sec) * 1_000_000_000;
                        let ts = Timestamp(nanos + u64::from(packet.ts_usec));
                        packets.push(Recorded { ts, bytes: packet.data.to_vec() });
                    }
                    reader.consume(len);
                }
                Err(pcap_parser::PcapError::Eof) => break,
                Err(pcap_parser::PcapError::Incomplete(_)) => reader.refill().unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
        let keys = std::fs::read_to_string(keys).unwrap();
        let lines = keys.lines().filter(|line| !line.starts_with('#'));
        let mut all = Self { packets, secrets: lines.map(secret).collect() };
        for at in 0..all.secrets.len() {
            all.secrets[at].ts = all.hello_of(&all.secrets[at]);
        }
        all
    }

    /// When the `ClientHello` of a secret's connection was sent. QUIC's cannot be read here; there is
    /// only one.
    fn hello_of(&self, secret: &Secret) -> Timestamp {
        let random = &secret.client_random;
        let has_random = |p: &&Recorded| p.bytes.windows(32).any(|run| run == random);
        let is_quic =
            |p: &&Recorded| p.bytes[23] == 17 && p.bytes[36..38] == 46012_u16.to_be_bytes();
        let hello = self.packets.iter().find(has_random);
        hello.or_else(|| self.packets.iter().find(is_quic)).unwrap().ts
    }

    /// Everything in the order in which it comes if each secret comes `delay` nanoseconds after the
    /// `ClientHello` of its connection.
    pub(crate) fn inputs(
        &self,
        mut delay: impl FnMut(usize) -> i64,
    ) -> Vec<(Timestamp, Input<'_>)> {
        let packets = self.packets.iter().map(|packet| (packet.ts, Input::Packet(packet)));
        let secrets = self.secrets.iter().enumerate().map(|(at, secret)| {
            (Timestamp(secret.ts.0.saturating_add_signed(delay(at))), Input::Secret(secret))
        });
        let mut inputs: Vec<_> = packets.chain(secrets).collect();
        inputs.sort_by_key(|(ts, _)| *ts);
        inputs
    }
}

fn secret(line: &str) -> Secret {
    let mut words = line.split(' ');
    let hex = || data_encoding::HEXLOWER_PERMISSIVE;
    let label = words.next().unwrap().to_owned();
    Secret {
        ts: Timestamp(0),
        pid: 1,
        tid: 1,
        uid: 0,
        comm: "recorded".into(),
        library: Arc::new(Library { path: String::new(), build_id: None }),
        label,
        client_random: hex().decode(words.next().unwrap().as_bytes()).unwrap().try_into().unwrap(),
        secret: hex().decode(words.next().unwrap().as_bytes()).unwrap(),
    }
}

pub(crate) fn packet<'a>(recorded: &'a Recorded, owner: &Arc<Owner>) -> Packet<'a> {
    Packet {
        ts: recorded.ts,
        interface: 0,
        dir: Direction::Send,
        original_len: recorded.bytes.len() as u32,
        bytes: &recorded.bytes,
        owner: Some(owner.clone()),
    }
}

pub(crate) fn owner() -> Arc<Owner> {
    Arc::new(Owner { pid: 41, uid: 1000, comm: "curl".into() })
}

pub(crate) fn loopback() -> Interface {
    Interface {
        name: "lo".to_owned(),
        description: Some("loopback".to_owned()),
        link_type: 1,
        snaplen: 0,
        filter: Some("portrange 46000-46020".to_owned()),
        os: Some("Linux".to_owned()),
    }
}

/// Writes a file from inputs, as the program does.
pub(crate) fn write(
    path: &Path,
    limits: Limits,
    inputs: &[(Timestamp, Input<'_>)],
) -> HoldbackStats {
    let section = Section {
        hardware: Some("x86_64".to_owned()),
        os: Some("Linux".to_owned()),
        application: Some("ecapture test".to_owned()),
    };
    let mut file = Pcapng::create(path, section, sink::Rotation::default(), Timestamp(0)).unwrap();
    let mut holdback = Holdback::new(limits);
    let number = file.add_interface(loopback());
    holdback.interface(number, LinkType::from_number(1));
    let mut out = |out: Out<'_>| match out {
        Out::Packet(packet) => drop(file.packet(&packet, None).unwrap()),
        Out::Secret(secret) => file.secret(secret),
        Out::Ended(random) => file.forget(&random),
    };
    let owner = owner();
    for (now, input) in inputs {
        // As a program does that sleeps until then.
        while let Some(deadline) = holdback.next_deadline().filter(|deadline| deadline < now) {
            holdback.tick(deadline, &mut out);
        }
        holdback.tick(*now, &mut out);
        match input {
            Input::Packet(recorded) => holdback.packet(&packet(recorded, &owner), &mut out),
            Input::Secret(secret) => holdback.secret(secret, &mut out),
        }
    }
    holdback.finish(&mut out);
    let stats = holdback.stats();
    file.finish().unwrap();
    assert_eq!(file.stats().packets, stats.passed + stats.held, "no packet is lost");
    stats
}
