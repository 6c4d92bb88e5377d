//! Which connection of the text a packet belongs to: by its process and its two ends.

use event::{ConnId, Connection, Event, Packet, Timestamp};
use packet::{LinkType, Side, dissect};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The last packets of a connection come after its TLS object is gone.
const LINGER: Duration = Duration::from_secs(5);

/// Process, lower end, higher end.
type Key = (u32, SocketAddr, SocketAddr);

/// The connections that are or were just open, and whose ends are known.
#[derive(Default)]
pub(super) struct Connections {
    by_ends: HashMap<Key, ConnId>,
    pids: HashMap<ConnId, u32>,
    keys: HashMap<ConnId, Key>,
    closed: VecDeque<(Timestamp, ConnId)>,
    links: Vec<LinkType>,
}

impl Connections {
    /// `links` are those of the captured interfaces, by their number.
    pub(super) fn new(links: Vec<LinkType>) -> Self {
        Self { links, ..Self::default() }
    }

    /// There are more interfaces now.
    pub(super) fn set_links(&mut self, links: Vec<LinkType>) {
        self.links = links;
    }

    /// Follows what becomes known.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Open(Connection { id, pid, local, remote, .. }) => {
                self.pids.insert(*id, *pid);
                if let (Some(local), Some(remote)) = (local, remote) {
                    self.insert(*id, *local, *remote);
                }
            }
            Event::Address { conn, local, remote } => self.insert(*conn, *local, *remote),
            Event::Close { conn, ts } => {
                self.pids.remove(conn);
                self.closed.push_back((*ts, *conn));
                self.forget(*ts);
            }
            Event::Chunk(_) | Event::Hole(_) | Event::Tick { .. } => {}
        }
    }

    /// Forgets what was closed long before `now`.
    fn forget(&mut self, now: Timestamp) {
        while let Some((ts, conn)) = self.closed.front().copied()
            && now.since(ts) > LINGER
        {
            self.closed.pop_front();
            if let Some(key) = self.keys.remove(&conn)
                && self.by_ends.get(&key) == Some(&conn)
            {
                self.by_ends.remove(&key);
            }
        }
    }

    fn insert(&mut self, conn: ConnId, local: SocketAddr, remote: SocketAddr) {
        let Some(pid) = self.pids.get(&conn) else { return };
        let key = key(*pid, local, remote);
        self.by_ends.insert(key, conn);
        self.keys.insert(conn, key);
    }

    /// The connection that `packet` belongs to.
    pub(super) fn of(&self, packet: &Packet<'_>) -> Option<ConnId> {
        let pid = packet.owner.as_ref()?.pid;
        if self.by_ends.is_empty() {
            return None;
        }
        let link = *self.links.get(packet.interface as usize)?;
        let flow = dissect(link, packet.bytes)?.key;
        self.by_ends.get(&key(pid, flow.end(Side::Low), flow.end(Side::High))).copied()
    }
}

fn key(pid: u32, one: SocketAddr, other: SocketAddr) -> Key {
    let (one, other) = (canonical(one), canonical(other));
    (pid, one.min(other), one.max(other))
}

/// IPv4 addresses mapped into IPv6 as IPv4; no scope, no flow label.
fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Direction, Library, Owner, Timestamp};
    use std::sync::Arc;

    fn open(id: u64, pid: u32, local: &str, remote: &str) -> Event<'static> {
        Event::Open(Connection {
            id: ConnId(id),
            ts: Timestamp(0),
            pid,
            uid: 0,
            comm: "x".into(),
            exe: None,
            library: Arc::new(Library { path: String::new(), build_id: None }),
            local: Some(local.parse().unwrap()),
            remote: Some(remote.parse().unwrap()),
        })
    }

    /// TCP from 10.0.0.1:4660 to 10.0.0.2:443, without a link header.
    fn bytes() -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        bytes.extend_from_slice(&[0x12, 0x34, 1, 187, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 16, 1, 0]);
        bytes.extend_from_slice(&[0, 0, 0, 0]);
        bytes
    }

    fn packet(bytes: &[u8], pid: u32) -> Packet<'_> {
        Packet {
            ts: Timestamp(0),
            interface: 0,
            dir: Direction::Send,
            original_len: 40,
            bytes,
            owner: Some(Arc::new(Owner { pid, uid: 0, comm: "x".into() })),
        }
    }

    #[test]
    fn a_packet_belongs_to_the_connection_of_its_process() {
        let mut connections = Connections::new(vec![LinkType::from_number(101)]);
        connections.event(&open(1, 5, "10.0.0.1:4660", "10.0.0.2:443"));
        connections.event(&open(2, 6, "[::ffff:10.0.0.2]:443", "[::ffff:10.0.0.1]:4660"));
        let bytes = bytes();
        assert_eq!(connections.of(&packet(&bytes, 5)), Some(ConnId(1)));
        assert_eq!(connections.of(&packet(&bytes, 6)), Some(ConnId(2)));
        assert_eq!(connections.of(&packet(&bytes, 7)), None);
        connections.event(&Event::Close { conn: ConnId(1), ts: Timestamp(9) });
        assert_eq!(connections.of(&packet(&bytes, 5)), Some(ConnId(1)));
        connections.event(&Event::Close { conn: ConnId(3), ts: Timestamp(10_000_000_000) });
        assert_eq!(connections.of(&packet(&bytes, 5)), None);
        assert_eq!(connections.of(&packet(&bytes, 6)), Some(ConnId(2)));
    }
}
