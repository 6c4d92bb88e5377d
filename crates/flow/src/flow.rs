//! The table of connections, and what each event means for it.

use crate::Options;
use crate::connection::{Link, Surroundings};
use crate::context::{Emit, Shared};
use crate::protocol::Ending;
use crate::stats::FlowStats;
use event::{ConnId, Event, Timestamp};
use foldhash::fast::FixedState;
use std::collections::{HashMap, VecDeque};

/// A connection is dropped from the table only when there are so many times more than those whose
/// parsing state is kept: then `probe` has forgotten to close them.
const KNOWN_PER_KEPT: usize = 8;

/// Makes records of events.
pub struct Flow {
    options: Options,
    links: HashMap<ConnId, Box<Link>, FixedState>,
    /// In the order in which idle ones are looked for; may name some that are gone.
    queue: VecDeque<ConnId>,
    /// How many of `links` have had their state given up and nothing come since.
    evicted: usize,
    /// Those, and some to which something came after all.
    evicted_queue: VecDeque<ConnId>,
    /// Those that wait for a tick, and some that did.
    waiting: Vec<ConnId>,
    /// How many really do.
    wanting: usize,
    shared: Shared,
    stats: FlowStats,
}

impl Flow {
    /// A flow that has seen nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            links: HashMap::default(),
            queue: VecDeque::new(),
            evicted: 0,
            evicted_queue: VecDeque::new(),
            waiting: Vec::new(),
            wanting: 0,
            shared: Shared::default(),
            stats: FlowStats::default(),
        }
    }

    /// Handles one event; what it makes showable is emitted before this returns.
    pub fn event(&mut self, event: Event<'_>, out: &mut impl Emit) {
        match event {
            Event::Open(connection) => self.open(connection, out),
            Event::Address { conn, local, remote } => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.connection.local = Some(local);
                    link.connection.remote = Some(remote);
                }
            }
            Event::Chunk(chunk) => {
                let len = chunk.bytes.len() as u64;
                if !self.with(chunk.conn, out, |link, around| link.chunk(around, &chunk)) {
                    self.stats.lost.add("unknown_connection", 1, len);
                }
            }
            Event::Hole(hole) => {
                self.with(hole.conn, out, |link, around| link.hole(around, hole));
            }
            Event::Close { conn, .. } => {
                self.close(conn, Ending::Closed, out);
            }
            Event::Tick { ts } => self.tick(ts, out),
        }
    }

    /// The capture is over: shows everything that is held.
    pub fn finish(&mut self, out: &mut impl Emit) {
        let mut conns: Vec<ConnId> = self.links.keys().copied().collect();
        conns.sort_unstable();
        for conn in conns {
            self.close(conn, Ending::CaptureEnded, out);
        }
        self.waiting.clear();
        self.queue.clear();
    }

    /// True if something is held that only a tick will show.
    pub fn wants_tick(&self) -> bool {
        self.wanting > 0
    }

    /// What went through so far.
    pub fn stats(&self) -> FlowStats {
        let mut lost = self.stats.lost.clone();
        if self.shared.gaps.bytes > 0 {
            lost.add("gap", self.shared.gaps.events, self.shared.gaps.bytes);
        }
        FlowStats {
            lost,
            held: self.shared.held,
            holes: self.shared.holes,
            shown: self.shared.shown,
            records: self.shared.records,
            ..self.stats.clone()
        }
    }

    fn open(&mut self, connection: event::Connection, out: &mut impl Emit) {
        let conn = connection.id;
        if self.links.contains_key(&conn) {
            return;
        }
        self.stats.connections += 1;
        self.links.insert(conn, Box::new(Link::new(connection)));
        self.queue.push_back(conn);
        if self.links.len() - self.evicted > self.options.connection_limit {
            self.evict(out);
        }
    }

    fn close(&mut self, conn: ConnId, ending: Ending, out: &mut impl Emit) {
        self.with(conn, out, |link, around| link.end(around, ending));
        if let Some(link) = self.links.remove(&conn) {
            self.evicted -= usize::from(link.evicted);
            self.wanting -= usize::from(link.wants_tick);
            self.shared.held -= link.held();
            self.shared.pending -= link.pending();
        }
        if self.queue.len() > 2 * self.links.len() + 64 {
            let links = &self.links;
            self.queue.retain(|conn| links.contains_key(conn));
            self.evicted_queue.retain(|conn| links.contains_key(conn));
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut impl Emit) {
        for conn in std::mem::take(&mut self.waiting) {
            if let Some(link) = self.links.get_mut(&conn) {
                link.waiting = false;
                self.with(conn, out, |link, around| link.tick(around, now));
            }
        }
    }

    /// Gives up the state of a connection to which nothing came since it was last looked at.
    fn evict(&mut self, out: &mut impl Emit) {
        // Each that was active is passed over once, so one is found in the second round at last.
        for _ in 0..=2 * self.queue.len() {
            let Some(conn) = self.queue.pop_front() else { break };
            let Some(link) = self.links.get_mut(&conn) else { continue };
            if std::mem::take(&mut link.active) {
                self.queue.push_back(conn);
                continue;
            }
            self.stats.evicted += 1;
            self.with(conn, out, |link, around| link.end(around, Ending::Evicted));
            if let Some(link) = self.links.get_mut(&conn) {
                link.evicted = true;
                self.evicted += 1;
                if !std::mem::replace(&mut link.in_evicted_queue, true) {
                    self.evicted_queue.push_back(conn);
                }
            }
            break;
        }
        while self.links.len() > self.options.connection_limit.saturating_mul(KNOWN_PER_KEPT) {
            let Some(conn) = self.evicted_queue.pop_front() else { break };
            let Some(link) = self.links.get_mut(&conn) else { continue };
            link.in_evicted_queue = false;
            if link.evicted {
                self.close(conn, Ending::Evicted, out);
            }
        }
    }

    /// Runs `handle` on a connection, and keeps the books about it. False if it is not known.
    fn with(
        &mut self,
        conn: ConnId,
        out: &mut impl Emit,
        handle: impl FnOnce(&mut Link, &mut Surroundings<'_>),
    ) -> bool {
        let Some(link) = self.links.get_mut(&conn) else { return false };
        let mut around = Surroundings {
            options: &self.options,
            stats: &mut self.stats,
            shared: &mut self.shared,
            emit: out,
        };
        handle(link, &mut around);
        if link.must_give_up(&around) {
            link.end(&mut around, Ending::NoRoom);
        }
        link.active = true;
        if link.evicted {
            link.evicted = false;
            self.evicted -= 1;
            self.queue.push_back(conn);
        }
        let (before, now) = link.count_held();
        self.shared.held = self.shared.held - before + now;
        self.shared.fresh = 0;
        let (before, now) = link.count_pending();
        self.shared.pending = self.shared.pending - before + now;
        let wants = link.is_held_back();
        let wanted = std::mem::replace(&mut link.wants_tick, wants);
        self.wanting = self.wanting - usize::from(wanted) + usize::from(link.wants_tick);
        if link.wants_tick && !std::mem::replace(&mut link.waiting, true) {
            self.waiting.push(conn);
        }
        true
    }
}
