//! Secrets on their way into decryption secrets blocks, and those that the next file will need.

use super::block::{Block, kind};
use event::Secret;
use std::collections::{HashMap, VecDeque};

/// `TLSK`: the block holds lines of an NSS key log.
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// A few MiB per thousand connections.
const MOST_CONNECTIONS: usize = 65_536;
/// Bytes of lines that are repeated of one connection. A line has 235 at most, and a connection of TLS
/// 1.3 with everything ten of them; more comes of key updates, which readers compute themselves.
const MOST_LINES: usize = 4 << 10;

type ClientRandom = [u8; 32];

/// The secrets that are not written yet and, if files are rotated, those of connections that live.
pub(super) struct Keys {
    pending: Vec<u8>,
    remember: bool,
    live: HashMap<ClientRandom, Vec<u8>>,
    /// The order in which connections came, to forget the oldest; may name some that have ended.
    order: VecDeque<ClientRandom>,
}

impl Keys {
    pub(super) fn new(remember: bool) -> Self {
        Self { pending: Vec::new(), remember, live: HashMap::new(), order: VecDeque::new() }
    }

    /// Takes a secret for the next block.
    pub(super) fn add(&mut self, secret: &Secret) {
        let start = self.pending.len();
        write_line(secret, &mut self.pending);
        if !self.remember {
            return;
        }
        let lines = self.live.entry(secret.client_random).or_insert_with(|| {
            self.order.push_back(secret.client_random);
            Vec::new()
        });
        let line = &self.pending[start..];
        if lines.len() + line.len() <= MOST_LINES {
            lines.extend_from_slice(line);
        }
        while self.live.len() > MOST_CONNECTIONS {
            let Some(oldest) = self.order.pop_front() else { break };
            self.live.remove(&oldest);
        }
    }

    /// The connection is over: later files need not know its secrets.
    pub(super) fn forget(&mut self, client_random: &ClientRandom) {
        self.live.remove(client_random);
        if self.order.len() > 2 * self.live.len() + 64 {
            self.order.retain(|random| self.live.contains_key(random));
        }
    }

    /// Writes what was added since the last time as one block.
    pub(super) fn write_pending(&mut self, out: &mut Vec<u8>) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        write_block(&self.pending, out);
        self.pending.clear();
        true
    }

    /// Writes the secrets of all connections that live, for a new file. They include the pending
    /// ones.
    pub(super) fn write_live(&mut self, out: &mut Vec<u8>) {
        if !self.remember {
            return;
        }
        self.pending.clear();
        for random in &self.order {
            if let Some(lines) = self.live.get(random) {
                self.pending.extend_from_slice(lines);
            }
        }
        self.write_pending(out);
    }
}

fn write_block(lines: &[u8], out: &mut Vec<u8>) {
    Block::begin(kind::DECRYPTION_SECRETS, out)
        .u32(TLS_KEY_LOG)
        .u32(lines.len() as u32)
        .padded(lines)
        .end();
}

/// One line of `draft-ietf-tls-keylogfile`: label, client random, secret.
fn write_line(secret: &Secret, out: &mut Vec<u8>) {
    let hex = |bytes: &[u8], out: &mut Vec<u8>| {
        out.push(b' ');
        out.extend_from_slice(data_encoding::HEXLOWER.encode(bytes).as_bytes());
    };
    out.extend_from_slice(secret.label.as_bytes());
    hex(&secret.client_random, out);
    hex(&secret.secret, out);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Library, Timestamp};

    fn secret(random: u8, label: &str) -> Secret {
        Secret {
            ts: Timestamp(0),
            pid: 1,
            tid: 1,
            uid: 0,
            comm: "curl".into(),
            library: Library { path: String::new(), build_id: None }.into(),
            label: label.to_owned(),
            client_random: [random; 32],
            secret: vec![0xab; 48],
        }
    }

    /// The lines of the only block in `block`.
    fn lines(block: &[u8]) -> Vec<String> {
        let len = u32::from_le_bytes(block[12..16].try_into().unwrap()) as usize;
        assert_eq!(block.len(), 16 + len.next_multiple_of(4) + 4);
        String::from_utf8(block[16..16 + len].to_vec())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_line_is_label_random_and_secret() {
        let mut keys = Keys::new(false);
        keys.add(&secret(0x0f, "CLIENT_RANDOM"));
        let mut out = Vec::new();
        assert!(keys.write_pending(&mut out));
        let expected = format!("CLIENT_RANDOM {} {}", "0f".repeat(32), "ab".repeat(48));
        assert_eq!(lines(&out), [expected]);
        assert!(!keys.write_pending(&mut out), "nothing is written twice");
    }

    #[test]
    fn a_new_file_gets_the_secrets_of_connections_that_live() {
        let mut keys = Keys::new(true);
        for random in 1..=3 {
            keys.add(&secret(random, "A"));
        }
        keys.add(&secret(1, "B"));
        let mut out = Vec::new();
        keys.write_pending(&mut out);
        keys.forget(&[2; 32]);
        keys.add(&secret(4, "A"));
        out.clear();
        keys.write_live(&mut out);
        let starts: Vec<String> = lines(&out).iter().map(|line| line[..4].to_owned()).collect();
        assert_eq!(starts, ["A 01", "B 01", "A 03", "A 04"]);
        assert!(!keys.write_pending(&mut out), "those not yet written are among them");
    }

    #[test]
    fn memory_is_bounded() {
        let mut keys = Keys::new(true);
        let mut out = Vec::new();
        for number in 0..70_000_u32 {
            let mut secret = secret(0, "A");
            secret.client_random[..4].copy_from_slice(&number.to_le_bytes());
            keys.add(&secret);
            keys.write_pending(&mut out);
            out.clear();
            if number % 2 == 0 {
                keys.forget(&secret.client_random);
            }
        }
        assert_eq!(keys.live.len(), 35_000);
        assert!(keys.order.len() <= 2 * keys.live.len() + 65);
    }

    #[test]
    fn a_connection_that_changes_its_keys_for_ever_does_not_grow() {
        let mut keys = Keys::new(true);
        for number in 0..1000 {
            keys.add(&secret(1, &format!("CLIENT_TRAFFIC_SECRET_{number}")));
        }
        let mut out = Vec::new();
        keys.write_pending(&mut out);
        assert_eq!(lines(&out).len(), 1000, "the file at hand gets them all");
        out.clear();
        keys.write_live(&mut out);
        assert!(out.len() < MOST_LINES + 100);
        assert!(lines(&out)[0].starts_with("CLIENT_TRAFFIC_SECRET_0 "));
    }
}
