//! How fast packets go through the hold-back and the pcapng writer: `cargo run --release -p packet
//! --example holdback_speed [PACKETS]` prints packets per second for several kinds of traffic,
//! written to `/dev/null`.

use event::{ConnId, Direction, Library, Owner, Packet, Secret, Timestamp};
use packet::{Holdback, Limits, Out};
use sink::{Interface, Pcapng, Rotation, Section};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Nanoseconds between packets: a million in a second.
const SPACING: u64 = 1000;

fn ethernet(port: u16, from_client: bool, seq: u32, payload: &[u8]) -> Vec<u8> {
    let ports = if from_client { [port, 443] } else { [443, port] };
    let mut packet = vec![0; 12];
    packet.extend_from_slice(&[8, 0, 0x45, 0]);
    packet.extend_from_slice(&(40 + payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 0x50, 16, 1, 0, 0, 0, 0, 0]);
    packet.extend_from_slice(payload);
    packet
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let head = [kind, 3, 3, (body.len() >> 8) as u8, body.len() as u8];
    [&head, body].concat()
}

fn client_hello(random: [u8; 32]) -> Vec<u8> {
    record(22, &[&[1, 0, 0, 41, 3, 3], &random[..], &[0, 0, 2, 0x13, 1, 1, 0]].concat())
}

fn server_hello() -> Vec<u8> {
    let tail = [0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4];
    record(22, &[&[2, 0, 0, 46, 3, 3], &[7; 32][..], &tail].concat())
}

fn secret(client_random: [u8; 32], label: &str, library: &Arc<Library>) -> Secret {
    Secret {
        ts: Timestamp(0),
        pid: 1,
        tid: 1,
        uid: 0,
        comm: "speed".into(),
        library: library.clone(),
        label: label.to_owned(),
        client_random,
        secret: vec![1; 32],
    }
}

/// Holds back and writes; keeps the time.
struct Course {
    holdback: Holdback,
    file: Option<Pcapng>,
    owner: Arc<Owner>,
    now: u64,
    packets: u64,
}

impl Course {
    fn new(written: bool) -> Self {
        let interface = Interface {
            name: "lo".to_owned(),
            description: None,
            link_type: 1,
            snaplen: 0,
            filter: None,
            os: None,
        };
        let file = written.then(|| {
            let null = Path::new("/dev/null");
            let file = Pcapng::create(null, Section::default(), Rotation::default(), Timestamp(0));
            let mut file = file.unwrap_or_else(|error| panic!("{error}"));
            file.add_interface(interface);
            file
        });
        let owner = Arc::new(Owner { pid: 1, uid: 0, comm: "speed".into() });
        Self { holdback: Holdback::new(Limits::default()), file, owner, now: SPACING, packets: 0 }
    }

    fn packet(&mut self, bytes: &[u8]) {
        self.now += SPACING;
        self.packets += 1;
        let packet = Packet {
            ts: Timestamp(self.now),
            interface: 0,
            dir: Direction::Send,
            original_len: bytes.len() as u32,
            bytes,
            owner: Some(self.owner.clone()),
        };
        let file = &mut self.file;
        self.holdback.packet(&packet, &mut |out| write(file, &out));
    }

    fn secret(&mut self, secret: &Secret) {
        let file = &mut self.file;
        self.holdback.secret(secret, &mut |out| write(file, &out));
    }
}

fn write(file: &mut Option<Pcapng>, out: &Out<'_>) {
    let Some(file) = file else { return };
    match out {
        Out::Packet(packet) => {
            if let Err(error) = file.packet(packet, Some(ConnId(1))) {
                panic!("{error}");
            }
        }
        Out::Secret(secret) => file.secret(secret),
        Out::Ended(random) => file.forget(random),
    }
}

/// One round of a kind of traffic; the number of the round makes flows differ.
type Round = fn(&mut Course, u32);

fn plain(path: &mut Course, round: u32) {
    thread_local! {
        static PACKETS: Vec<Vec<u8>> =
            (0..1000).map(|port| ethernet(port, true, 0, &[b'x'; 100])).collect();
    }
    let _ = round;
    PACKETS.with(|packets| packets.iter().for_each(|packet| path.packet(packet)));
}

/// Plain traffic with a TLS flow whose keys never come among every thousand packets.
fn beside_keyless(path: &mut Course, round: u32) {
    let port = 2000 + (round % 50_000) as u16;
    let random = [(round % 251) as u8; 32];
    path.packet(&ethernet(port, true, 1, &client_hello(random)));
    path.packet(&ethernet(port, false, 0, &server_hello()));
    plain(path, round);
}

/// New TLS connections of twenty packets each, whose keys come some packets late.
fn handshakes(path: &mut Course, round: u32) {
    let library = Arc::new(Library { path: String::new(), build_id: None });
    for number in 0..50 {
        let round = round * 50 + number;
        let port = 2000 + (round % 60_000) as u16;
        let mut random = [0; 32];
        random[..4].copy_from_slice(&round.to_le_bytes());
        path.packet(&ethernet(port, true, 1, &client_hello(random)));
        path.packet(&ethernet(port, false, 0, &server_hello()));
        let data = record(23, &[1; 100]);
        for _ in 0..9 {
            path.packet(&ethernet(port, false, 60, &data));
            path.packet(&ethernet(port, true, 60, &data));
        }
        for label in [
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            "SERVER_TRAFFIC_SECRET_0",
            "CLIENT_TRAFFIC_SECRET_0",
        ] {
            path.secret(&secret(random, label, &library));
        }
    }
}

fn main() {
    let packets = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(5_000_000);
    let rounds = (packets / 1000).max(1);
    let cases: [(&str, Round); 3] = [
        ("not TLS", plain),
        ("not TLS, beside TLS without keys", beside_keyless),
        ("TLS handshakes, keys late", handshakes),
    ];
    for (name, round) in cases {
        for written in [false, true] {
            let mut path = Course::new(written);
            let start = Instant::now();
            (0..rounds).for_each(|number| round(&mut path, number));
            let rate = path.packets as f64 / start.elapsed().as_secs_f64() / 1e6;
            let how = if written { "held back and written" } else { "held back" };
            println!("{name}, {how}: {rate:.2} million packets/s");
            println!("    {:?}", path.holdback.stats());
        }
    }
}
