//! Plays a script of events into a flow, and keeps the records in a form that can be compared.

use event::{
    BodyCoding, Chunk, Completeness, ConnId, Connection, Content, Direction, Event, Field, Hole,
    HoleCause, Library, Record, Start, Timestamp, Unparsed,
};
use flow::{Flow, FlowStats, Options};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const CONN: ConnId = ConnId(7);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    Data {
        dir: Direction,
        offset: u64,
        bytes: Vec<u8>,
        unparsed: Option<Unparsed>,
    },
    Message(Message),
    Part(Part),
    WebSocket {
        dir: Direction,
        kind: &'static str,
        payload: Vec<u8>,
        last: bool,
        note: Option<&'static str>,
    },
    Sse {
        exchange: u64,
        raw: Vec<u8>,
        event: Option<Vec<u8>>,
        data: Vec<u8>,
    },
    Hole {
        dir: Direction,
        offset: u64,
        len: u64,
        cause: HoleCause,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) exchange: u64,
    pub(crate) stream: Option<u32>,
    pub(crate) of_request: bool,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) last: bool,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) coding: BodyCoding,
    pub(crate) truncated: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) dir: Direction,
    pub(crate) ts: u64,
    pub(crate) exchange: u64,
    pub(crate) stream: Option<u32>,
    pub(crate) start: String,
    pub(crate) answers: Option<String>,
    pub(crate) latency: Option<Duration>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) coding: BodyCoding,
    pub(crate) encoded_len: u64,
    pub(crate) completeness: Completeness,
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn owned_fields(fields: &[Field<'_>]) -> Vec<(String, String)> {
    fields.iter().map(|field| (text(&field.name), text(&field.value))).collect()
}

pub(crate) fn own(record: &Record<'_>) -> Shown {
    let dir = record.dir;
    match &record.content {
        Content::Data(data) => Shown::Data {
            dir,
            offset: data.offset,
            bytes: data.bytes.to_vec(),
            unparsed: data.unparsed,
        },
        Content::Http(http) => {
            let (start, answers, latency) = match &http.start {
                Start::Request(line) => {
                    let authority = line.authority.as_deref().map(text).unwrap_or_default();
                    let line =
                        format!("{} {} @{authority}", text(&line.method), text(&line.target));
                    (line, None, None)
                }
                Start::Response(line) => (
                    format!("{} {}", line.status, text(&line.reason)),
                    line.answers.as_ref().map(|(m, t)| format!("{} {}", text(m), text(t))),
                    line.latency,
                ),
            };
            Shown::Message(Message {
                dir,
                ts: record.ts.0,
                exchange: http.exchange,
                stream: http.stream,
                start,
                answers,
                latency,
                headers: owned_fields(http.headers),
                trailers: owned_fields(http.trailers),
                body: http.body.to_vec(),
                coding: http.coding.clone(),
                encoded_len: http.encoded_len,
                completeness: http.completeness,
            })
        }
        Content::BodyPart(part) => Shown::Part(Part {
            exchange: part.exchange,
            stream: part.stream,
            of_request: part.of_request,
            offset: part.offset,
            bytes: part.bytes.to_vec(),
            last: part.last,
            trailers: owned_fields(part.trailers),
            coding: part.coding.clone(),
            truncated: part.truncated,
        }),
        Content::WebSocket(message) => Shown::WebSocket {
            dir,
            kind: message.kind.as_str(),
            payload: message.payload.to_vec(),
            last: message.last,
            note: message.note,
        },
        Content::ServerSentEvent(event) => Shown::Sse {
            exchange: event.exchange,
            raw: event.raw.to_vec(),
            event: event.event.map(<[u8]>::to_vec),
            data: event.data.to_vec(),
        },
        Content::Hole(hole) => {
            Shown::Hole { dir, offset: hole.offset, len: hole.len, cause: hole.cause }
        }
    }
}

/// A flow with one open connection, and what it has shown.
pub(crate) struct Play {
    pub(crate) flow: Flow,
    pub(crate) shown: Vec<Shown>,
    pub(crate) now: u64,
    position: [u64; 2],
}

impl Play {
    pub(crate) fn new(options: Options) -> Self {
        let mut play =
            Self { flow: Flow::new(options), shown: Vec::new(), now: 0, position: [0; 2] };
        play.open(CONN);
        play
    }

    pub(crate) fn open(&mut self, id: ConnId) {
        let connection = Connection {
            id,
            ts: Timestamp(self.now),
            pid: 1,
            uid: 0,
            comm: Arc::from("test"),
            exe: None,
            library: Arc::new(Library { path: "libssl.so.3".into(), build_id: None }),
            local: None,
            remote: None,
        };
        self.event(Event::Open(connection));
    }

    pub(crate) fn event(&mut self, event: Event<'_>) {
        let shown = &mut self.shown;
        self.flow.event(event, &mut |record: &Record<'_>| shown.push(own(record)));
    }

    /// One library call in one chunk, one microsecond after the last.
    pub(crate) fn call(&mut self, dir: Direction, bytes: &[u8]) -> &mut Self {
        self.chunk(dir, bytes, true)
    }

    pub(crate) fn chunk(&mut self, dir: Direction, bytes: &[u8], end_of_call: bool) -> &mut Self {
        let offset = self.position[dir as usize];
        self.chunk_at(dir, offset, bytes, end_of_call);
        self.position[dir as usize] += bytes.len() as u64;
        self
    }

    pub(crate) fn chunk_at(
        &mut self,
        dir: Direction,
        offset: u64,
        bytes: &[u8],
        end_of_call: bool,
    ) {
        self.now += 1000;
        let ts = Timestamp(self.now);
        self.event(Event::Chunk(Chunk { conn: CONN, ts, tid: 1, dir, offset, end_of_call, bytes }));
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.call(Direction::Send, bytes.as_ref())
    }

    pub(crate) fn recv(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.call(Direction::Recv, bytes.as_ref())
    }

    pub(crate) fn hole(&mut self, dir: Direction, len: u64, cause: HoleCause) -> &mut Self {
        let (ts, offset) = (Timestamp(self.now), self.position[dir as usize]);
        self.event(Event::Hole(Hole { conn: CONN, ts, tid: 1, dir, offset, len, cause }));
        self.position[dir as usize] += len;
        self
    }

    /// Leaves out `len` bytes without saying so.
    pub(crate) fn skip(&mut self, dir: Direction, len: u64) -> &mut Self {
        self.position[dir as usize] += len;
        self
    }

    pub(crate) fn tick_after(&mut self, passed: Duration) -> &mut Self {
        self.now += passed.as_nanos() as u64;
        self.event(Event::Tick { ts: Timestamp(self.now) });
        self
    }

    pub(crate) fn close(&mut self) -> &mut Self {
        self.event(Event::Close { conn: CONN, ts: Timestamp(self.now) });
        self
    }

    pub(crate) fn finish(&mut self) -> &mut Self {
        let shown = &mut self.shown;
        self.flow.finish(&mut |record: &Record<'_>| shown.push(own(record)));
        self
    }

    /// What was shown since the last time.
    pub(crate) fn take(&mut self) -> Vec<Shown> {
        std::mem::take(&mut self.shown)
    }

    pub(crate) fn take_messages(&mut self) -> Vec<Message> {
        let message = |shown| match shown {
            Shown::Message(message) => message,
            other => panic!("not a message: {other:?}"),
        };
        self.take().into_iter().map(message).collect()
    }

    pub(crate) fn take_message(&mut self) -> Message {
        let mut messages = self.take_messages();
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    /// Checks that every accepted byte was shown; to be asked after the end.
    pub(crate) fn balance(&self) -> FlowStats {
        let stats = self.flow.stats();
        assert_eq!(stats.accepted.total(), stats.shown.total(), "{stats:?}");
        assert_eq!(stats.held, 0);
        assert!(!self.flow.wants_tick());
        stats
    }
}

pub(crate) fn play() -> Play {
    Play::new(Options::default())
}
