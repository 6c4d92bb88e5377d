//! From ring buffer samples to events.

use crate::clock::Clock;
use crate::record::{self, Announcement, Header};
use event::{Chunk, ConnId, Connection, Direction, Event, Hole, HoleCause, Library};
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

/// One connection, as long as its TLS object lives.
struct Known {
    id: ConnId,
    tgid: u32,
    ssl: u64,
    /// In each direction, where what comes next starts.
    next: [u64; 2],
    /// The data of an interrupted call: what will have been sent of it, the next call tells.
    held: Vec<u8>,
}

impl Known {
    /// `struct connection_key`
    fn key(&self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.ssl.to_ne_bytes());
        key[8..12].copy_from_slice(&self.tgid.to_ne_bytes());
        key
    }
}

/// Gives connections their names and turns samples into events.
pub(super) struct Decoder {
    clock: Clock,
    /// By the name that the kernel side uses.
    known: HashMap<u64, Known>,
    by_process: HashMap<u32, Vec<u64>>,
    last: u64,
    pub(super) delivered: u64,
    pub(super) unknown_events: u64,
    pub(super) unknown_bytes: u64,
}

impl Decoder {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            known: HashMap::new(),
            by_process: HashMap::new(),
            last: 0,
            delivered: 0,
            unknown_events: 0,
            unknown_bytes: 0,
        }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn connections(&self) -> u64 {
        self.last
    }

    /// `connections` is the kernel's table, from which the entries of ended processes are removed.
    pub(super) fn decode(
        &mut self,
        sample: &[u8],
        libraries: &[Arc<Library>],
        connections: &MapHandle,
        handle: &mut impl FnMut(Event<'_>),
    ) {
        // Our own programs write the samples: a malformed one cannot be, and is passed over.
        let Some((header, payload)) = record::parse(sample) else { return };
        match header.kind {
            record::DATA => self.data(&header, payload, handle),
            record::HELD => self.hold(&header, payload),
            record::RELEASED => self.release(&header, handle),
            record::UNREADABLE => self.hole(&header, HoleCause::Unreadable, handle),
            record::SENDFILE => self.hole(&header, HoleCause::Sendfile, handle),
            record::OPEN => {
                if let Some(announcement) = record::announcement(payload) {
                    self.open(&header, announcement, libraries, handle);
                }
            }
            record::ADDRESS => {
                let addresses = record::announcement(payload).and_then(|a| a.addresses);
                let known = self.known.get(&header.conn);
                if let (Some((local, remote)), Some(known)) = (addresses, known) {
                    handle(Event::Address { conn: known.id, local, remote });
                }
            }
            record::CLOSE => {
                self.close(header.conn, header.ts, record::ending(payload), handle);
            }
            record::EXIT => self.exit(&header, connections, handle),
            _ => {}
        }
    }

    fn data(&mut self, header: &Header, payload: &[u8], handle: &mut impl FnMut(Event<'_>)) {
        let Some(bytes) = payload.get(..header.len as usize) else { return };
        let Some(known) = self.known.get_mut(&header.conn) else {
            self.unknown_events += 1;
            self.unknown_bytes += bytes.len() as u64;
            return;
        };
        known.next[usize::from(header.direction & 1)] = header.offset + bytes.len() as u64;
        self.delivered += bytes.len() as u64;
        handle(Event::Chunk(Chunk {
            conn: known.id,
            ts: self.clock.at(header.ts),
            tid: header.id,
            dir: direction(header),
            offset: header.offset,
            end_of_call: header.flags & record::END_OF_CALL != 0,
            bytes,
        }));
    }

    fn hold(&mut self, header: &Header, payload: &[u8]) {
        let Some(bytes) = payload.get(..header.len as usize) else { return };
        if let Some(known) = self.known.get_mut(&header.conn) {
            known.held.clear();
            known.held.extend_from_slice(bytes);
        }
    }

    fn release(&mut self, header: &Header, handle: &mut impl FnMut(Event<'_>)) {
        let known = self.known.get_mut(&header.conn);
        let held = known.map(|known| std::mem::take(&mut known.held)).unwrap_or_default();
        if held.len() >= header.len as usize {
            self.data(header, &held, handle);
        } else {
            // Its record found the ring full, or the program's memory could not be read.
            self.unknown_events += 1;
            self.unknown_bytes += u64::from(header.len);
            self.hole(header, HoleCause::Lost, handle);
        }
    }

    fn hole(&mut self, header: &Header, cause: HoleCause, handle: &mut impl FnMut(Event<'_>)) {
        let Some(known) = self.known.get_mut(&header.conn) else { return };
        known.next[usize::from(header.direction & 1)] = header.offset + u64::from(header.len);
        handle(Event::Hole(Hole {
            conn: known.id,
            ts: self.clock.at(header.ts),
            tid: header.id,
            dir: direction(header),
            offset: header.offset,
            len: u64::from(header.len),
            cause,
        }));
    }

    fn open(
        &mut self,
        header: &Header,
        announcement: Announcement,
        libraries: &[Arc<Library>],
        handle: &mut impl FnMut(Event<'_>),
    ) {
        let Some(library) = libraries.get(announcement.library as usize) else { return };
        // Two threads that used a connection first at the same time both say so.
        if self.known.contains_key(&header.conn) {
            return;
        }
        self.last += 1;
        let id = ConnId(self.last);
        let Announcement { ssl, tgid, uid, comm, addresses, .. } = announcement;
        self.known.insert(header.conn, Known { id, tgid, ssl, next: [0; 2], held: Vec::new() });
        self.by_process.entry(tgid).or_default().push(header.conn);
        let exe = fs::read_link(format!("/proc/{tgid}/exe"))
            .ok()
            .map(|path| Arc::from(path.to_string_lossy().as_ref()));
        handle(Event::Open(Connection {
            id,
            ts: self.clock.at(header.ts),
            pid: tgid,
            uid,
            comm: comm.into(),
            exe,
            library: Arc::clone(library),
            local: addresses.map(|(local, _)| local),
            remote: addresses.map(|(_, remote)| remote),
        }));
    }

    /// Ends a connection of which `ending` bytes went by.
    fn close(
        &mut self,
        conn: u64,
        ts: u64,
        ending: Option<[u64; 2]>,
        handle: &mut impl FnMut(Event<'_>),
    ) {
        let Some(known) = self.known.remove(&conn) else { return };
        if let Some(siblings) = self.by_process.get_mut(&known.tgid)
            && let Some(at) = siblings.iter().position(|sibling| *sibling == conn)
        {
            siblings.swap_remove(at);
        }
        self.tell_missing(&known, ts, ending, handle);
        handle(Event::Close { conn: known.id, ts: self.clock.at(ts) });
    }

    /// What is missing at the end of each direction: nothing that follows would show it.
    fn tell_missing(
        &self,
        known: &Known,
        ts: u64,
        ending: Option<[u64; 2]>,
        handle: &mut impl FnMut(Event<'_>),
    ) {
        let Some(ending) = ending else { return };
        let directions = [Direction::Send, Direction::Recv];
        for (dir, (next, end)) in directions.into_iter().zip(known.next.into_iter().zip(ending)) {
            if end > next {
                handle(Event::Hole(Hole {
                    conn: known.id,
                    ts: self.clock.at(ts),
                    tid: 0,
                    dir,
                    offset: next,
                    len: end - next,
                    cause: HoleCause::Lost,
                }));
            }
        }
    }

    fn exit(
        &mut self,
        header: &Header,
        connections: &MapHandle,
        handle: &mut impl FnMut(Event<'_>),
    ) {
        for conn in self.by_process.remove(&header.id).unwrap_or_default() {
            let ending = self.known.get(&conn).and_then(|known| {
                let ending = ending(known, connections);
                // It may be gone already, if the table evicted it.
                let _ = connections.delete(&known.key());
                ending
            });
            self.close(conn, header.ts, ending, handle);
        }
    }

    /// When the capture ends: what is missing at the end of connections that go on.
    pub(super) fn finish(
        &self,
        ts: u64,
        connections: &MapHandle,
        handle: &mut impl FnMut(Event<'_>),
    ) {
        for known in self.known.values() {
            self.tell_missing(known, ts, ending(known, connections), handle);
        }
    }
}

/// How much went by on a connection, as the kernel side knows it.
fn ending(known: &Known, connections: &MapHandle) -> Option<[u64; 2]> {
    let value = connections.lookup(&known.key(), MapFlags::ANY).ok()??;
    record::ending_of_connection(&value)
}

fn direction(header: &Header) -> Direction {
    if header.direction == 0 { Direction::Send } else { Direction::Recv }
}
