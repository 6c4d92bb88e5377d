//! Packets and secrets made by hand, for tests.

use crate::{ClientRandom, LinkType, dissect};
use event::{Direction, Library, Packet, Secret, Timestamp};
use std::sync::Arc;

pub(crate) const MILLISECOND: u64 = 1_000_000;
pub(crate) const SYN: u8 = 2;
pub(crate) const FIN: u8 = 1;
pub(crate) const RST: u8 = 4;
const ACK: u8 = 16;

/// One end of a TCP connection that writes packets.
pub(crate) struct Connection {
    port: u16,
    seq: [u32; 2],
}

impl Connection {
    /// Between `port` and 443 on one host.
    pub(crate) fn new(port: u16) -> Self {
        Self { port, seq: [u32::MAX - 10, 7] }
    }

    pub(crate) fn client(&mut self, payload: &[u8]) -> Vec<u8> {
        self.segment(0, 0, payload)
    }

    pub(crate) fn server(&mut self, payload: &[u8]) -> Vec<u8> {
        self.segment(1, 0, payload)
    }

    /// A segment of client (0) or server (1).
    pub(crate) fn segment(&mut self, from: usize, flags: u8, payload: &[u8]) -> Vec<u8> {
        let ports = if from == 0 { [self.port, 443] } else { [443, self.port] };
        let mut packet = vec![0; 12];
        packet.extend_from_slice(&[8, 0, 0x45, 0]);
        packet.extend_from_slice(&(40 + payload.len() as u16).to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        packet.extend_from_slice(&self.seq[from].to_be_bytes());
        packet.extend_from_slice(&self.seq[1 - from].to_be_bytes());
        packet.extend_from_slice(&[0x50, flags | ACK, 1, 0, 0, 0, 0, 0]);
        packet.extend_from_slice(payload);
        let len = payload.len() as u32 + u32::from(flags & SYN != 0);
        self.seq[from] = self.seq[from].wrapping_add(len);
        assert!(dissect(LinkType::Ethernet, &packet).is_some());
        packet
    }
}

pub(crate) fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    record.extend_from_slice(&(body.len() as u16).to_be_bytes());
    record.extend_from_slice(body);
    record
}

pub(crate) fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = (body.len() as u32).to_be_bytes().to_vec();
    message[0] = kind;
    message.extend_from_slice(body);
    record(22, &message)
}

pub(crate) fn client_hello(random: ClientRandom) -> Vec<u8> {
    handshake(1, &[&[3, 3], &random[..], &[0, 0, 2, 0x13, 1, 1, 0]].concat())
}

pub(crate) fn server_hello(random: [u8; 32], is_13: bool) -> Vec<u8> {
    let extensions: &[u8] = if is_13 { &[0, 6, 0, 43, 0, 2, 3, 4] } else { &[] };
    handshake(2, &[&[3, 3], &random[..], &[0, 0x13, 1, 0], extensions].concat())
}

pub(crate) fn packet(ts: u64, bytes: &[u8]) -> Packet<'_> {
    Packet {
        ts: Timestamp(ts),
        interface: 0,
        dir: Direction::Recv,
        original_len: bytes.len() as u32,
        bytes,
        owner: None,
    }
}

pub(crate) fn secret(client_random: ClientRandom, label: &str) -> Secret {
    Secret {
        ts: Timestamp(0),
        pid: 1,
        tid: 1,
        uid: 0,
        comm: "test".into(),
        library: Arc::new(Library { path: String::new(), build_id: None }),
        label: label.to_owned(),
        client_random,
        secret: vec![1; 32],
    }
}
