//! Puts the records of a statement together: its beginning, the parts of its text, its end.

use super::record::{self, Begin, End, Sample};
use super::title;
use crate::clock::Clock;
use crate::record::{END_OF_CALL, Header};
use event::{DatabaseSystem, Library, LossTable, Outcome, Query, QueryOperation};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of statements that have not ended. What comes beyond is left out.
const MOST_BYTES: usize = 1 << 30;
/// Statements that have not ended; more can only come of ends that were lost.
const MOST_OPEN: usize = 1 << 16;
/// Processes whose programs are remembered.
const MOST_PROGRAMS: usize = 4096;

/// A server that probes are attached to.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    pub(super) library: Arc<Library>,
    pub(super) system: DatabaseSystem,
}

struct Open {
    begin: Begin,
    ts: u64,
    text: Option<Vec<u8>>,
    /// The last part of the text is there.
    whole: bool,
    incomplete: Option<&'static str>,
}

/// Statements that have not ended, by the kernel side's name for them, which ascends with time.
pub(super) struct Assembler {
    clock: Clock,
    open: BTreeMap<u64, Open>,
    bytes: usize,
    programs: HashMap<u32, Option<Arc<str>>>,
    pub(super) lost: LossTable,
    pub(super) delivered: u64,
}

impl Assembler {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            open: BTreeMap::new(),
            bytes: 0,
            programs: HashMap::new(),
            lost: LossTable::default(),
            delivered: 0,
        }
    }

    /// Takes one record; hands out the statement that it ends.
    pub(super) fn take(
        &mut self,
        sample: &[u8],
        servers: &[Attached],
        handle: &mut impl FnMut(Query),
    ) {
        let Some((header, content)) = record::parse(sample) else {
            self.lost.add("malformed", 1, 0);
            return;
        };
        match content {
            Sample::Begin(begin) => {
                if self.open.len() >= MOST_OPEN
                    && let Some((_, oldest)) = self.open.pop_first()
                {
                    self.hand_out(oldest, None, servers, handle);
                }
                let ts = header.ts;
                let open = Open { begin: *begin, ts, text: None, whole: false, incomplete: None };
                self.open.insert(header.conn, open);
            }
            Sample::Text { bytes } => self.text(&header, bytes),
            // The kernel side has counted it.
            Sample::Unreadable => {
                if let Some(open) = self.open.get_mut(&header.conn) {
                    open.text.get_or_insert_default();
                    open.incomplete = Some("unreadable");
                }
            }
            Sample::End(end) => {
                // The kernel side counted a statement whose beginning was lost.
                if let Some(open) = self.open.remove(&header.conn) {
                    self.hand_out(open, Some((header.ts, end)), servers, handle);
                }
            }
        }
    }

    /// Hands out what has not ended.
    pub(super) fn rest(&mut self, servers: &[Attached], handle: &mut impl FnMut(Query)) {
        while let Some((_, open)) = self.open.pop_first() {
            self.hand_out(open, None, servers, handle);
        }
    }

    fn text(&mut self, header: &Header, bytes: &[u8]) {
        let Some(open) = self.open.get_mut(&header.conn) else {
            self.lost.add("unknown_statement", 0, bytes.len() as u64);
            return;
        };
        let text = open.text.get_or_insert_default();
        if open.incomplete.is_some() || header.offset != text.len() as u64 {
            // What is behind a hole is not shown: it would look like a statement of its own.
            open.incomplete = open.incomplete.or(Some("lost"));
            self.lost.add("gap", 0, bytes.len() as u64);
        } else if self.bytes + bytes.len() > MOST_BYTES {
            open.incomplete = Some("too large");
            self.lost.add("memory", 1, bytes.len() as u64);
        } else {
            text.extend_from_slice(bytes);
            self.bytes += bytes.len();
        }
        open.whole |= header.flags & END_OF_CALL != 0;
    }

    fn hand_out(
        &mut self,
        open: Open,
        end: Option<(u64, End)>,
        servers: &[Attached],
        handle: &mut impl FnMut(Query),
    ) {
        let Open { begin, ts, text, whole, incomplete } = open;
        self.bytes -= text.as_ref().map_or(0, Vec::len).min(self.bytes);
        let Some(server) = servers.get(begin.server as usize) else {
            self.lost.add("malformed", 1, 0);
            return;
        };
        let operation = operation(server.system, begin.command, end.as_ref().map(|(_, end)| end));
        let cut = text.is_some() && !whole;
        let session = begin.title.as_deref().and_then(title::session);
        let (user, schema, client) = match session {
            Some(session) => (Some(session.user), Some(session.database), Some(session.client)),
            None => (begin.user, begin.schema, None),
        };
        self.delivered += 1;
        handle(Query {
            ts: self.clock.at(ts),
            pid: begin.tgid,
            tid: begin.tid,
            uid: begin.uid,
            comm: begin.comm.as_str().into(),
            exe: self.program(begin.tgid),
            server: Arc::clone(&server.library),
            system: server.system,
            operation,
            connection: begin.connection,
            user,
            schema: schema.filter(|name| !name.is_empty()),
            client,
            text,
            incomplete: incomplete.or(cut.then_some("lost")),
            outcome: outcome(server.system, end.as_ref().map(|(_, end)| end)),
            rows: end.as_ref().and_then(|(_, end)| rows(end)),
            duration: end.map(|(at, _)| Duration::from_nanos(at.saturating_sub(ts))),
        });
    }

    fn program(&mut self, pid: u32) -> Option<Arc<str>> {
        if self.programs.len() >= MOST_PROGRAMS {
            self.programs.clear();
        }
        self.programs
            .entry(pid)
            .or_insert_with(|| {
                let link = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
                Some(link.to_string_lossy().into())
            })
            .clone()
    }
}

fn operation(system: DatabaseSystem, command: u32, end: Option<&End>) -> Option<QueryOperation> {
    if system != DatabaseSystem::PostgreSql {
        // `enum_server_command`
        return match command {
            3 => Some(QueryOperation::Query),
            22 => Some(QueryOperation::Prepare),
            23 | 250 => Some(QueryOperation::Execute),
            _ => None,
        };
    }
    // The message that was read before probes were there is known by what followed.
    let flags = end.map_or(0, |end| end.flags);
    match u8::try_from(command).ok()? {
        b'Q' => Some(QueryOperation::Query),
        b'P' => Some(QueryOperation::Prepare),
        b'B' => Some(QueryOperation::Bind),
        b'E' => Some(QueryOperation::Execute),
        _ if flags & record::IS_SIMPLE != 0 => Some(QueryOperation::Query),
        _ if flags & record::EXECUTED != 0 => Some(QueryOperation::Execute),
        _ => None,
    }
}

fn outcome(system: DatabaseSystem, end: Option<&End>) -> Outcome {
    match end {
        None => Outcome::Unfinished,
        Some(end) if end.flags & record::HAS_ERROR == 0 => Outcome::Done,
        Some(end) if system == DatabaseSystem::PostgreSql => Outcome::Failed(sql_state(end.error)),
        Some(end) => Outcome::Failed(end.error.to_string()),
    }
}

/// Five characters of 6 bits each (`MAKE_SQLSTATE` of elog.h).
fn sql_state(code: u32) -> String {
    if code == 0 {
        // `ERRCODE_INTERNAL_ERROR` is what an error has that is given none.
        return "XX000".to_owned();
    }
    (0..5).map(|at| char::from(b'0' + (code >> (6 * at) & 0x3f) as u8)).collect()
}

fn rows(end: &End) -> Option<u64> {
    if end.flags & record::HAS_ROWS != 0 {
        return Some(end.rows);
    }
    // `SELECT 5`, `INSERT 0 1`
    end.tag.rsplit_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_states_are_unpacked() {
        // MAKE_SQLSTATE('4','2','P','0','1')
        let code = "42P01".bytes().rev().fold(0, |code, byte| code << 6 | u32::from(byte - b'0'));
        assert_eq!(sql_state(code), "42P01");
        assert_eq!(sql_state(0), "XX000");
    }

    #[test]
    fn rows_are_read_from_old_tags() {
        let rows = |tag: &str| {
            rows(&End { rows: 0, error: 0, flags: record::EXECUTED, tag: tag.to_owned() })
        };
        assert_eq!(rows("SELECT 5"), Some(5));
        assert_eq!(rows("INSERT 0 3"), Some(3));
        assert_eq!(rows("CREATE TABLE"), None);
    }
}
