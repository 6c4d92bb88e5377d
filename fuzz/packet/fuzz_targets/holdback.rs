//! Any bytes are a script of packets and secrets: whatever it says, nothing panics, every packet
//! comes out once, and no flow is reordered.
//!
//! The first byte chooses limits. Then come packets: a byte that says which flow and side, a byte
//! for the time since the last, a byte for the length, and that many bytes of payload, which are
//! wrapped in Ethernet, IP and TCP or UDP, or, for one choice, are the packet. Another choice is a
//! secret.
//!
//! `cargo +nightly fuzz run --fuzz-dir fuzz/packet holdback -- -dict=fuzz/packet/dict
//! -max_total_time=60 -timeout=5 -rss_limit_mb=1024`

#![no_main]

use event::{Direction, Library, Packet, Secret, Timestamp};
use libfuzzer_sys::fuzz_target;
use packet::{FlowKey, Holdback, Limits, LinkType, Out, dissect};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const LABELS: [&str; 6] = [
    "CLIENT_RANDOM",
    "CLIENT_EARLY_TRAFFIC_SECRET",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
];

fn limits(choice: u8) -> Limits {
    Limits {
        order: Duration::from_millis(u64::from(choice & 7) * 80),
        bytes: if choice & 8 == 0 { 1 << 20 } else { 2000 },
        flows: if choice & 16 == 0 { 100 } else { 2 },
        ..Limits::default()
    }
}

/// What a flow's ends have sent: next sequence numbers.
type Sequences = HashMap<u8, [u32; 2]>;

fn wrap(choice: u8, payload: &[u8], sequences: &mut Sequences) -> Vec<u8> {
    let (flow, side) = (choice >> 1 & 7, usize::from(choice & 1));
    let is_udp = flow >= 5;
    let ports = if side == 0 { [u16::from(flow), 443] } else { [443, u16::from(flow)] };
    let protocol = if is_udp { 17 } else { 6 };
    let mut packet = vec![0; 12];
    packet.extend_from_slice(&[8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0]);
    packet.extend_from_slice(&[127, 0, 0, 1, 127, 0, 0, 1]);
    packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    if is_udp {
        packet.extend_from_slice(&[0, 0, 0, 0]);
    } else {
        let seq = sequences.entry(flow).or_default();
        packet.extend_from_slice(&seq[side].to_be_bytes());
        packet.extend_from_slice(&seq[1 - side].to_be_bytes());
        packet.extend_from_slice(&[0x50, 16 | (choice >> 6 & 1), 0, 0, 0, 0, 0, 0]);
        // Now and then a gap.
        seq[side] += payload.len() as u32 + u32::from(choice >> 7);
    }
    packet.extend_from_slice(payload);
    packet
}

fn secret(choice: u8, random: &[u8]) -> Secret {
    let mut client_random = [0; 32];
    for (to, from) in client_random.iter_mut().zip(random) {
        *to = *from;
    }
    Secret {
        ts: Timestamp(0),
        pid: 1,
        tid: 1,
        uid: 0,
        comm: "fuzz".into(),
        library: Arc::new(Library { path: String::new(), build_id: None }),
        label: LABELS[usize::from(choice) % LABELS.len()].to_owned(),
        client_random,
        secret: vec![choice; 32],
    }
}

fuzz_target!(|script: &[u8]| {
    let Some((first, mut script)) = script.split_first() else { return };
    let mut holdback = Holdback::new(limits(*first));
    let mut sent: HashMap<Option<FlowKey>, Vec<Vec<u8>>> = HashMap::new();
    let mut got = sent.clone();
    let mut sequences = Sequences::new();
    let mut now = 0;
    let key = |bytes: &[u8]| dissect(LinkType::Ethernet, bytes).map(|segment| segment.key);
    let mut sink = |out: Out<'_>| {
        if let Out::Packet(packet) = out {
            got.entry(key(packet.bytes)).or_default().push(packet.bytes.to_vec());
        }
    };
    while let [choice, pause, len, rest @ ..] = script {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        script = rest;
        now += u64::from(*pause) * 1_000_000;
        let bytes = match choice {
            0xf0..=0xf7 => {
                holdback.secret(&secret(*pause, payload), &mut sink);
                continue;
            }
            0xf8..=0xff => payload.to_vec(),
            _ => wrap(*choice, payload, &mut sequences),
        };
        sent.entry(key(&bytes)).or_default().push(bytes.clone());
        let packet = Packet {
            ts: Timestamp(now),
            interface: 0,
            dir: Direction::Send,
            original_len: bytes.len() as u32,
            bytes: &bytes,
            owner: None,
        };
        holdback.packet(&packet, &mut sink);
    }
    holdback.finish(&mut sink);
    // Packets without a flow are in the order of time among themselves too, as nothing holds them.
    assert_eq!(sent, got);
});
