//! Exchanges whose response is not complete yet.

use super::entry::{Body, Entry, Request, Response, WebSocketFrame};
use event::{
    BodyPart, Completeness, ConnId, Content, HttpMessage, Record, ServerSentEvent, Start,
    WebSocketMessage,
};
use std::collections::{BTreeMap, HashMap};

/// So many exchanges wait at most; then the oldest is written as it is.
const MOST: usize = 10_000;
/// So many bytes of bodies wait at most; then the oldest exchange is written as it is.
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
        self.bytes += body.held();
        let entry = self.entry(key, record);
        let ended = message.completeness != Completeness::BodyFollows;
        match &message.start {
            Start::Request(line) => {
                entry.request = Some(Request::new(record, message, line, body));
            }
            // An interim response is followed by the real one.
            Start::Response(line) if (100..200).contains(&line.status) && line.status != 101 => {}
            Start::Response(line) => {
                entry.response = Some(Response::new(record, message, line, body));
                if line.status == 101 {
                    self.upgraded.insert(key.0, key.1);
                } else if ended {
                    self.write(key, None, done);
                }
            }
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
        self.bytes += message.payload.len();
        entry.web_socket.get_or_insert_default().push(WebSocketFrame::new(record, message));
    }

    fn entry(&mut self, key: Key, record: &Record<'_>) -> &mut Entry {
        let Self { entries, order, count, .. } = self;
        let (_, entry) = entries.entry(key).or_insert_with(|| {
            *count += 1;
            order.insert(*count, key);
            (*count, Entry::new(record))
        });
        entry
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
