//! Exchanges whose response is not complete yet.

use super::entry::{Body, Entry, Request, Response, WebSocketFrame};
use event::{
    BodyPart, Completeness, ConnId, Content, HttpMessage, Record, ServerSentEvent, Start,
    WebSocketMessage,
};
use std::collections::{BTreeMap, HashMap};

/// So many exchanges wait at most; then the oldest is written as it is.
const MOST: usize = 10_000;
/// So many bytes wait at most; then the oldest exchange is written as it is.
const MOST_BYTES: usize = 256 << 20;
/// What of one body is kept.
const MOST_OF_A_BODY: usize = 64 << 20;

/// The connection's own number for it makes an exchange unique.
type Key = (ConnId, u64);

#[derive(Default)]
pub(super) struct Pending {
    entries: HashMap<Key, (u64, Entry)>,
    /// By age.
    order: BTreeMap<u64, Key>,
    /// The last exchange of each connection that became a WebSocket.
    upgraded: HashMap<ConnId, u64>,
    count: u64,
    /// What `entries` hold.
    bytes: usize,
}

impl Pending {
    pub(super) fn record(&mut self, record: &Record<'_>, mut done: impl FnMut(Entry)) {
        match &record.content {
            Content::Http(message) => self.message(record, message, &mut done),
            Content::BodyPart(part) => self.part(record, part, &mut done),
            Content::ServerSentEvent(event) => self.event(record, event),
            Content::WebSocket(message) => self.web_socket(record, message),
            Content::Data(_) | Content::Hole(_) => {}
        }
        while (self.entries.len() > MOST || self.bytes > MOST_BYTES)
            && let Some((_, key)) = self.order.first_key_value()
        {
            let key = *key;
            self.write(key, Some("written before it was complete: too many wait"), &mut done);
        }
    }

    pub(super) fn finish(&mut self, mut done: impl FnMut(Entry)) {
        while let Some((_, key)) = self.order.first_key_value() {
            let key = *key;
            self.write(key, None, &mut done);
        }
    }

    fn message(
        &mut self,
        record: &Record<'_>,
        message: &HttpMessage<'_>,
        done: &mut impl FnMut(Entry),
    ) {
        let key = (record.conn.id, message.exchange);
        let mut body = Body::new(message, MOST_OF_A_BODY);
        if let Completeness::Truncated(why) = message.completeness {
            body.note(why);
        }
        let (entry, before) = self.entry(key, record);
        let ended = message.completeness != Completeness::BodyFollows;
        let mut status = None;
        match &message.start {
            Start::Request(line) => {
                entry.request = Some(Request::new(record, message, line, body));
            }
            // An interim response is followed by the real one.
            Start::Response(line) if (100..200).contains(&line.status) && line.status != 101 => {}
            Start::Response(line) => {
                entry.response = Some(Response::new(record, message, line, body));
                status = Some(line.status);
            }
        }
        let now = entry.messages_held();
        self.bytes = self.bytes - before + now;
        match status {
            Some(101) => {
                self.upgraded.insert(key.0, key.1);
            }
            Some(_) if ended => self.write(key, None, done),
            _ => {}
        }
    }

    fn part(&mut self, record: &Record<'_>, part: &BodyPart<'_>, done: &mut impl FnMut(Entry)) {
        let key = (record.conn.id, part.exchange);
        let Some((_, entry)) = self.entries.get_mut(&key) else { return };
        let Some(body) = entry.body(part.of_request, record.ts) else { return };
        let before = body.held();
        body.push(part.bytes, MOST_OF_A_BODY);
        body.coding(&part.coding);
        if let Some(why) = part.truncated {
            body.note(why);
        }
        self.bytes += body.held() - before;
        if part.last && !part.of_request {
            self.write(key, None, done);
        }
    }

    fn event(&mut self, record: &Record<'_>, event: &ServerSentEvent<'_>) {
        let key = (record.conn.id, event.exchange);
        let Some((_, entry)) = self.entries.get_mut(&key) else { return };
        let Some(body) = entry.body(false, record.ts) else { return };
        let before = body.held();
        body.push(event.raw, MOST_OF_A_BODY);
        body.push(b"\n\n", MOST_OF_A_BODY);
        self.bytes += body.held() - before;
    }

    fn web_socket(&mut self, record: &Record<'_>, message: &WebSocketMessage<'_>) {
        let conn = record.conn.id;
        let Some(exchange) = self.upgraded.get(&conn) else { return };
        let Some((_, entry)) = self.entries.get_mut(&(conn, *exchange)) else { return };
        let frame = WebSocketFrame::new(record, message);
        self.bytes += frame.held();
        entry.web_socket.get_or_insert_default().push(frame);
    }

    /// The entry with this key, which begins with `record` if there is none; and what its messages
    /// add to `bytes` so far.
    fn entry(&mut self, key: Key, record: &Record<'_>) -> (&mut Entry, usize) {
        let Self { entries, order, count, .. } = self;
        let before = entries.get(&key).map_or(0, |(_, entry)| entry.messages_held());
        let (_, entry) = entries.entry(key).or_insert_with(|| {
            *count += 1;
            order.insert(*count, key);
            (*count, Entry::new(record))
        });
        (entry, before)
    }

    fn write(&mut self, key: Key, why: Option<&'static str>, done: &mut impl FnMut(Entry)) {
        let Some((number, mut entry)) = self.entries.remove(&key) else { return };
        self.order.remove(&number);
        if self.upgraded.get(&key.0) == Some(&key.1) {
            self.upgraded.remove(&key.0);
        }
        self.bytes = self.bytes.saturating_sub(entry.held());
        entry.comment = entry.comment.or(why);
        done(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{
        BodyCoding, Connection, Direction, Field, HttpVersion, Library, RequestLine, StatusLine,
        Timestamp, WebSocketMessageKind,
    };
    use std::sync::Arc;

    fn connection() -> Connection {
        Connection {
            id: ConnId(1),
            ts: Timestamp(0),
            pid: 1,
            uid: 0,
            comm: "test".into(),
            exe: None,
            library: Arc::new(Library { path: "/lib/libssl.so.3".to_owned(), build_id: None }),
            local: None,
            remote: None,
        }
    }

    /// Exchanges on one connection, and the entries that are done.
    struct Play {
        conn: Connection,
        pending: Pending,
        done: Vec<Entry>,
    }

    impl Play {
        fn new() -> Self {
            Self { conn: connection(), pending: Pending::default(), done: Vec::new() }
        }

        fn record(&mut self, dir: Direction, content: Content<'_>) {
            let record = Record { ts: Timestamp(1), conn: &self.conn, tid: 1, dir, content };
            self.pending.record(&record, |entry| self.done.push(entry));
            let held: usize = self.pending.entries.values().map(|(_, entry)| entry.held()).sum();
            assert_eq!(self.pending.bytes, held);
        }

        fn message(&mut self, dir: Direction, exchange: u64, start: Start<'_>, value: &[u8]) {
            let headers = [Field { name: b"X".as_slice().into(), value: value.into() }];
            let message = HttpMessage {
                version: HttpVersion::Http11,
                stream: None,
                exchange,
                start,
                headers: &headers,
                trailers: &[],
                body: b"body".into(),
                coding: BodyCoding::Identity,
                encoded_len: 4,
                ended: Timestamp(1),
                completeness: Completeness::Whole,
            };
            self.record(dir, Content::Http(message));
        }

        fn ask(&mut self, exchange: u64, value: &[u8]) {
            let (method, target) = (b"GET".as_slice().into(), b"/".as_slice().into());
            let start = Start::Request(RequestLine { method, target, authority: None });
            self.message(Direction::Send, exchange, start, value);
        }

        fn answer(&mut self, exchange: u64, status: u16) {
            let reason = b"".as_slice().into();
            let line = StatusLine { status, reason, answers: None, latency: None };
            self.message(Direction::Recv, exchange, Start::Response(line), b"");
        }
    }

    #[test]
    fn what_waits_is_counted_as_long_as_it_waits() {
        let mut play = Play::new();
        play.ask(1, b"a");
        play.ask(1, b"the same exchange once more");
        play.answer(1, 100);
        play.ask(2, b"b");
        play.answer(1, 200);
        assert_eq!((play.done.len(), play.pending.entries.len()), (1, 1));
        play.answer(2, 200);
        assert_eq!((play.done.len(), play.pending.bytes), (2, 0));
    }

    #[test]
    fn long_heads_do_not_wait_without_end() {
        let mut play = Play::new();
        let long = vec![b'x'; 1 << 20];
        (0..300).for_each(|exchange| play.ask(exchange, &long));
        assert!(play.pending.bytes <= MOST_BYTES);
        assert!(play.done.len() >= 300 - (MOST_BYTES >> 20));
    }

    #[test]
    fn empty_frames_of_a_websocket_take_room_too() {
        let mut play = Play::new();
        play.ask(1, b"");
        play.answer(1, 101);
        let before = play.pending.bytes;
        for _ in 0..10 {
            let kind = WebSocketMessageKind::Ping;
            let message = WebSocketMessage { kind, payload: b"", last: true, note: None };
            play.record(Direction::Send, Content::WebSocket(message));
        }
        assert!(play.pending.bytes >= before + 10 * size_of::<WebSocketFrame>());
    }
}
