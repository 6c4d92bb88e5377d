//! HTTP/2 (RFC 9113): both directions of a connection, and its streams.

pub(crate) mod frame;
mod hpack;
mod stream;

use crate::coding::Codings;
use crate::context::{Context, Input, Mark};
use crate::detect::HTTP2_PREFACE;
use crate::head::{Head, StartLine};
use crate::message::{Asked, Message, Meta, Presentation};
use crate::protocol::{Ending, Fed};
use crate::websocket::WebSocket;
use event::{Direction, Field, Hole, HttpVersion, Timestamp, Unparsed};
use foldhash::fast::FixedState;
use frame::{Header, Kind};
use hpack::FieldList;
use std::collections::{HashMap, VecDeque};
use stream::{REQUEST, RESPONSE, Side, Stream};

/// A header block in more frames than this is an attack (a "CONTINUATION flood").
const MOST_CONTINUATIONS: usize = 128;

const MISSING: Unparsed = Unparsed::Incomplete("bytes before this are missing");
const UNKNOWN_STREAM: Unparsed =
    Unparsed::Incomplete("the head of this stream's message was not seen");

/// One connection.
#[derive(Debug)]
pub(crate) struct Http2 {
    /// Which direction the client speaks in, as soon as that is known.
    client: Option<Direction>,
    halves: [Half; 2],
    streams: HashMap<u32, Stream, FixedState>,
    /// The streams in the order in which they began; may name some that are done.
    order: VecDeque<u32>,
    fields: FieldList,
    /// What the streams hold, and how many of their sides only a tick will show.
    held: usize,
    held_back: usize,
}

/// One direction.
#[derive(Debug)]
struct Half {
    hpack: hpack::Decoder,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The client's preface comes.
    Preface,
    /// A frame begins here.
    Frame,
    /// Within the payload of a `DATA` frame.
    Data(Payload),
    /// Within a frame that is too large to hold.
    Oversized(usize),
    /// No frame is recognised until a call begins with some.
    Lost(Unparsed),
}

/// What is left of a `DATA` frame.
#[derive(Debug, Clone, Copy)]
struct Payload {
    stream: u32,
    data: usize,
    padding: usize,
    end_stream: bool,
}

enum Progress {
    Consumed(usize),
    NeedMore,
    Malformed(&'static str),
}

/// A header block with everything that its frames say.
struct Block<'a> {
    stream: u32,
    promised: Option<u32>,
    end_stream: bool,
    mark: Mark,
    bytes: &'a [u8],
}

/// The pseudo-header fields of a block.
#[derive(Debug, Default)]
struct Pseudo<'a> {
    method: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
    status: Option<u16>,
}

impl Http2 {
    /// A connection from its first byte on; `client` is the client's direction.
    pub(crate) fn from_the_beginning(client: Direction, cap: usize) -> Self {
        let mut http2 = Self::new(Some(client), true, cap);
        http2.halves[client as usize].state = State::Preface;
        http2
    }

    /// A connection whose first bytes were not seen.
    pub(crate) fn midway(cap: usize) -> Self {
        Self::new(None, false, cap)
    }

    /// A connection that was HTTP/1 until its client asked for HTTP/2: stream 1 is open and its
    /// request complete (RFC 7540 section 3.2).
    pub(crate) fn upgraded(
        client: Direction,
        cap: usize,
        exchange: u64,
        asked: Option<(Asked, Timestamp)>,
    ) -> Self {
        let mut http2 = Self::from_the_beginning(client, cap);
        let sides = [Side::Done, Side::Idle];
        let stream = Stream { exchange, asked, sides, ..Stream::default() };
        http2.held += stream.held();
        http2.streams.insert(1, stream);
        http2.order.push_back(1);
        http2
    }

    fn new(client: Option<Direction>, from_the_beginning: bool, cap: usize) -> Self {
        let half =
            || Half { hpack: hpack::Decoder::new(from_the_beginning, cap), state: State::Frame };
        Self {
            client,
            halves: [half(), half()],
            streams: HashMap::default(),
            order: VecDeque::new(),
            fields: FieldList::default(),
            held: 0,
            held_back: 0,
        }
    }

    /// Notes that the beginning of a direction was shown raw.
    pub(crate) fn lose(&mut self, dir: Direction) {
        let half = &mut self.halves[dir as usize];
        half.hpack.lose();
        half.state = State::Lost(MISSING);
    }

    pub(crate) fn request_direction(&self) -> Direction {
        self.client.unwrap_or(Direction::Send)
    }

    fn state(&mut self, dir: Direction) -> &mut State {
        &mut self.halves[dir as usize].state
    }

    pub(crate) fn feed(&mut self, ctx: &mut Context<'_>, input: &Input<'_>) -> Fed {
        let mut at = 0;
        while at < input.bytes.len() {
            match self.go_on(ctx, input, at) {
                Progress::Consumed(len) => at += len,
                Progress::NeedMore => break,
                Progress::Malformed(why) => {
                    let why = Unparsed::Malformed(why);
                    self.halves[input.dir as usize].hpack.lose();
                    *self.state(input.dir) = State::Lost(why);
                    input.raw_from(at, ctx, why);
                    at = input.bytes.len();
                }
            }
        }
        Fed::consumed(at)
    }

    fn go_on(&mut self, ctx: &mut Context<'_>, input: &Input<'_>, at: usize) -> Progress {
        let bytes = input.rest(at);
        match self.state(input.dir) {
            State::Preface => {
                let len = bytes.len().min(HTTP2_PREFACE.len());
                if bytes[..len] != HTTP2_PREFACE[..len] {
                    return Progress::Malformed("the client's preface is wrong");
                }
                if len < HTTP2_PREFACE.len() {
                    return Progress::NeedMore;
                }
                ctx.shared.shown.framing += len as u64;
                *self.state(input.dir) = State::Frame;
                Progress::Consumed(len)
            }
            State::Frame => self.frame(ctx, input, at),
            State::Data(payload) => {
                let payload = *payload;
                self.data(ctx, input, at, payload)
            }
            State::Oversized(left) => {
                let len = bytes.len().min(*left);
                *left -= len;
                if *left == 0 {
                    *self.state(input.dir) = State::Frame;
                }
                let part = Input { bytes: &input.bytes[..at + len], ..*input };
                part.raw_from(at, ctx, Unparsed::Malformed("a frame is too large to hold"));
                Progress::Consumed(len)
            }
            State::Lost(why) => {
                let why = *why;
                if at == 0 && input.call_start && frame::is_likely_run(bytes) {
                    *self.state(input.dir) = State::Frame;
                    return Progress::Consumed(0);
                }
                input.raw_from(at, ctx, why);
                Progress::Consumed(bytes.len())
            }
        }
    }

    /// Handles the frame at `at`.
    fn frame(&mut self, ctx: &mut Context<'_>, input: &Input<'_>, at: usize) -> Progress {
        let bytes = input.rest(at);
        let Some(header) = Header::parse(bytes) else { return Progress::NeedMore };
        if let Some(why) = header.violation() {
            return Progress::Malformed(why);
        }
        if header.kind == Kind::Data {
            return self.data_begins(ctx, input, &header, bytes);
        }
        if header.len > ctx.options.head_limit {
            if matches!(header.kind, Kind::Headers | Kind::PushPromise | Kind::Continuation) {
                self.halves[input.dir as usize].hpack.lose();
            }
            *self.state(input.dir) = State::Oversized(frame::HEADER_LEN + header.len);
            return Progress::Consumed(0);
        }
        let total = frame::HEADER_LEN + header.len;
        let Some(payload) = bytes.get(frame::HEADER_LEN..total) else {
            return Progress::NeedMore;
        };
        match header.kind {
            Kind::Headers | Kind::PushPromise => {
                self.header_block(ctx, input, at, &header, payload)
            }
            Kind::Continuation => Progress::Malformed("a CONTINUATION frame continues nothing"),
            Kind::RstStream => {
                ctx.shared.shown.framing += total as u64;
                self.cut_stream(ctx, header.stream, "the stream was reset");
                Progress::Consumed(total)
            }
            _ => {
                ctx.shared.shown.framing += total as u64;
                Progress::Consumed(total)
            }
        }
    }

    fn data_begins(
        &mut self,
        ctx: &mut Context<'_>,
        input: &Input<'_>,
        header: &Header,
        bytes: &[u8],
    ) -> Progress {
        let mut before = frame::HEADER_LEN;
        let (mut data, mut padding) = (header.len, 0);
        if header.has(frame::PADDED) {
            if header.len == 0 {
                return Progress::Malformed("a frame is too short for its padding");
            }
            let Some(len) = bytes.get(before) else { return Progress::NeedMore };
            padding = usize::from(*len);
            before += 1;
            let Some(rest) = (header.len - 1).checked_sub(padding) else {
                return Progress::Malformed("a frame is too short for its padding");
            };
            data = rest;
        }
        ctx.shared.shown.framing += before as u64;
        let end_stream = header.has(frame::END_STREAM);
        let payload = Payload { stream: header.stream, data, padding, end_stream };
        if data + padding == 0 {
            self.data_ended(ctx, input.dir, input.mark, payload);
        } else {
            *self.state(input.dir) = State::Data(payload);
        }
        Progress::Consumed(before)
    }

    /// Handles what is there of a `DATA` frame's payload.
    fn data(
        &mut self,
        ctx: &mut Context<'_>,
        input: &Input<'_>,
        at: usize,
        mut payload: Payload,
    ) -> Progress {
        let bytes = input.rest(at);
        let (data, rest) = bytes.split_at(payload.data.min(bytes.len()));
        let padding = payload.padding.min(rest.len());
        payload.data -= data.len();
        payload.padding -= padding;
        ctx.shared.shown.framing += padding as u64;
        let mark = input.mark_at(at);
        let from = (mark, input.offset + at as u64);
        if !data.is_empty() && !self.body(ctx, input.dir, payload.stream, from, data) {
            let part = Input { bytes: &input.bytes[..at + data.len()], ..*input };
            part.raw_from(at, ctx, UNKNOWN_STREAM);
        }
        if payload.data + payload.padding == 0 {
            self.data_ended(ctx, input.dir, mark, payload);
        } else {
            *self.state(input.dir) = State::Data(payload);
        }
        Progress::Consumed(data.len() + padding)
    }

    fn data_ended(&mut self, ctx: &mut Context<'_>, dir: Direction, mark: Mark, data: Payload) {
        *self.state(dir) = State::Frame;
        if data.end_stream {
            self.end_side(ctx, dir, data.stream, mark, &[]);
        }
    }

    /// Which side of a stream a direction carries.
    fn side_of(&self, dir: Direction) -> Option<usize> {
        self.client.map(|client| if client == dir { REQUEST } else { RESPONSE })
    }

    /// Gives a part of a body to its message; false if there is none.
    fn body(
        &mut self,
        ctx: &mut Context<'_>,
        dir: Direction,
        stream: u32,
        (mark, offset): (Mark, u64),
        data: &[u8],
    ) -> bool {
        let Some(side) = self.side_of(dir) else { return false };
        self.with_stream(stream, |stream| {
            if let Some(websocket) = &mut stream.websocket {
                websocket.push(ctx, dir, mark, offset, data);
                return true;
            }
            match &mut stream.sides[side] {
                Side::Open(message) => {
                    message.push(ctx, mark, data);
                    true
                }
                _ => false,
            }
        })
        .unwrap_or(false)
    }

    fn end_side(
        &mut self,
        ctx: &mut Context<'_>,
        dir: Direction,
        id: u32,
        mark: Mark,
        trailers: &[Field<'_>],
    ) {
        let Some(side) = self.side_of(dir) else { return };
        self.with_stream(id, |stream| stream.finish(ctx, side, mark, trailers, None));
        self.forget_if_done(ctx, id);
    }

    fn forget_if_done(&mut self, ctx: &mut Context<'_>, id: u32) {
        if self.streams.get(&id).is_some_and(Stream::is_done) {
            self.cut_stream(ctx, id, "the stream has ended");
        }
    }

    fn cut_stream(&mut self, ctx: &mut Context<'_>, id: u32, why: &'static str) {
        self.with_stream(id, |stream| stream.cut(ctx, why));
        if let Some(stream) = self.streams.remove(&id) {
            self.held -= stream.held();
            self.held_back -= stream.held_back();
        }
        if self.order.len() > 2 * self.streams.len() + 16 {
            let streams = &self.streams;
            self.order.retain(|id| streams.contains_key(id));
        }
    }

    /// Works on a stream, and keeps the books about it.
    fn with_stream<R>(&mut self, id: u32, work: impl FnOnce(&mut Stream) -> R) -> Option<R> {
        let stream = self.streams.get_mut(&id)?;
        let (held, held_back) = (stream.held(), stream.held_back());
        let result = work(stream);
        self.held = self.held - held + stream.held();
        self.held_back = self.held_back - held_back + stream.held_back();
        Some(result)
    }

    /// Handles a `HEADERS` or `PUSH_PROMISE` frame with all that continues it: nothing may come
    /// between (RFC 9113 section 4.3), so they are one unit.
    fn header_block(
        &mut self,
        ctx: &mut Context<'_>,
        input: &Input<'_>,
        at: usize,
        header: &Header,
        payload: &[u8],
    ) -> Progress {
        let first = match fragment(header, payload) {
            Ok(first) => first,
            Err(why) => return Progress::Malformed(why),
        };
        let bytes = input.rest(at);
        let mut total = frame::HEADER_LEN + header.len;
        let mut joined = Vec::new();
        let mut ended = header.has(frame::END_HEADERS);
        let mut continuations = 0;
        while !ended {
            let rest = bytes.get(total..).unwrap_or_default();
            let Some(next) = Header::parse(rest) else { return Progress::NeedMore };
            if next.kind != Kind::Continuation || next.stream != header.stream {
                return Progress::Malformed("a header block is interrupted");
            }
            continuations += 1;
            total += frame::HEADER_LEN + next.len;
            if total > ctx.options.head_limit || continuations > MOST_CONTINUATIONS {
                return Progress::Malformed("a header block is too large");
            }
            let Some(more) = rest.get(frame::HEADER_LEN..frame::HEADER_LEN + next.len) else {
                return Progress::NeedMore;
            };
            if joined.is_empty() {
                joined.extend_from_slice(first.bytes);
            }
            joined.extend_from_slice(more);
            ended = next.has(frame::END_HEADERS);
        }
        let block = Block {
            stream: header.stream,
            promised: first.promised,
            end_stream: header.kind == Kind::Headers && header.has(frame::END_STREAM),
            mark: input.mark_at(at),
            bytes: if continuations == 0 { first.bytes } else { &joined },
        };
        let mut fields = std::mem::take(&mut self.fields);
        let hpack = &mut self.halves[input.dir as usize].hpack;
        let decoded = hpack.decode(block.bytes, ctx.options.head_limit, &mut fields);
        match decoded {
            Ok(()) => {
                ctx.shared.shown.heads += block.bytes.len() as u64;
                ctx.shared.shown.framing += (total - block.bytes.len()) as u64;
                self.head(ctx, input.dir, &block, &fields);
            }
            Err(why) => {
                // The frames are in order, so the connection goes on without this block.
                hpack.lose();
                let part = Input { bytes: &input.bytes[..at + total], ..*input };
                part.raw_from(at, ctx, Unparsed::Malformed(why));
            }
        }
        fields.clear();
        self.fields = fields;
        Progress::Consumed(total)
    }

    /// Handles the fields of a block: the head of a message, or its trailers.
    fn head(&mut self, ctx: &mut Context<'_>, dir: Direction, block: &Block<'_>, list: &FieldList) {
        let pseudo = Pseudo::of(list);
        let mut fields = ctx.take_fields();
        fields.extend(list.regular());
        if let Some(promised) = block.promised {
            // The server asks on the client's behalf (RFC 9113 section 8.4).
            self.client = self.client.or(Some(dir.reverse()));
            let request = Block { stream: promised, end_stream: true, ..*block };
            self.message(ctx, dir, REQUEST, &request, &pseudo, &fields);
        } else {
            let side = self.side_of(dir).or(match (pseudo.method, pseudo.status) {
                (Some(_), None) => Some(REQUEST),
                (None, Some(_)) => Some(RESPONSE),
                _ => None,
            });
            // If nothing tells which side this is, it is the answer to something older.
            let side = side.unwrap_or(RESPONSE);
            let client = if side == REQUEST { dir } else { dir.reverse() };
            self.client = self.client.or(Some(client));
            let is_open = self
                .streams
                .get(&block.stream)
                .is_some_and(|stream| !matches!(stream.sides[side], Side::Idle));
            if is_open && pseudo.status.is_none() && pseudo.method.is_none() {
                self.end_side(ctx, dir, block.stream, block.mark, &fields);
            } else {
                self.message(ctx, dir, side, block, &pseudo, &fields);
            }
        }
        ctx.give_back(fields);
    }

    /// Begins a message on a side of a stream.
    fn message(
        &mut self,
        ctx: &mut Context<'_>,
        dir: Direction,
        side: usize,
        block: &Block<'_>,
        pseudo: &Pseudo<'_>,
        fields: &[Field<'_>],
    ) {
        let id = block.stream;
        if !self.streams.contains_key(&id) {
            self.begin_stream(ctx, id);
        }
        let from_client = self.client == Some(dir);
        let stream_id = id;
        self.with_stream(id, |stream| {
            let status = pseudo.status.unwrap_or(0);
            let interim = side == RESPONSE && matches!(status, 100..=199);
            if !matches!(stream.sides[side], Side::Idle) {
                let why = "another head came before the end of the body";
                stream.finish(ctx, side, block.mark, &[], Some(why));
            }
            let start = pseudo.start(side);
            let head = Head { version: HttpVersion::Http2, start, fields };
            let asked = stream.asked.as_ref();
            let latency = asked.map(|(_, ts)| block.mark.ts.since(*ts));
            let tunnels = side == RESPONSE && (200..=299).contains(&status);
            let websocket = stream.websocket.is_some();
            let answers = match side {
                RESPONSE if !interim => stream.asked.take().map(|(asked, _)| asked),
                _ => None,
            };
            if let StartLine::Request { method, target, .. } = start {
                let text = [method, target].concat();
                let asked = Asked { text, method_len: method.len() };
                stream.asked = Some((asked, block.mark.ts));
                if method == b"CONNECT" && pseudo.protocol == Some(b"websocket") && from_client {
                    stream.websocket = Some(Box::new(WebSocket::new(dir, &[])));
                }
            }
            let meta = Meta {
                mark: block.mark,
                dir,
                exchange: stream.exchange,
                stream: Some(stream_id),
                of_request: side == REQUEST,
                answers,
                latency: if side == RESPONSE { latency } else { None },
            };
            let (codings, presentation) = body_facts(fields, ctx.options.body_limit);
            if websocket && tunnels {
                let extensions = fields
                    .iter()
                    .filter(|field| field.name.eq_ignore_ascii_case(b"sec-websocket-extensions"));
                let extensions: Vec<_> = extensions.map(|field| &*field.value).collect();
                let extensions = extensions.join(b",".as_slice());
                let websocket = WebSocket::new(dir.reverse(), &extensions);
                stream.websocket = Some(Box::new(websocket));
            } else if websocket && side == RESPONSE && !interim {
                stream.websocket = None;
            }
            if interim || block.end_stream || stream.websocket.is_some() {
                Message::complete(ctx, meta, &head, codings, &[]);
                stream.sides[side] = if interim {
                    Side::Idle
                } else if block.end_stream {
                    Side::Done
                } else {
                    Side::Tunnel
                };
            } else {
                let message = Message::begin(ctx, meta, &head, codings, presentation);
                stream.sides[side] = Side::Open(Box::new(message));
            }
        });
        self.forget_if_done(ctx, id);
    }

    fn begin_stream(&mut self, ctx: &mut Context<'_>, id: u32) {
        while self.streams.len() >= ctx.options.stream_limit.max(1) {
            let Some(oldest) = self.order.pop_front() else { break };
            self.cut_stream(ctx, oldest, "there are too many streams to go on holding it");
        }
        let stream = Stream { exchange: ctx.next_exchange(), ..Stream::default() };
        self.held += stream.held();
        self.streams.insert(id, stream);
        self.order.push_back(id);
    }

    pub(crate) fn hole(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, hole: Hole) {
        pending.raw_from(0, ctx, Unparsed::Incomplete("bytes after this are missing"));
        if let State::Data(mut payload) = *self.state(hole.dir)
            && payload.data as u64 >= hole.len
        {
            payload.data -= hole.len as usize;
            let side = self.side_of(hole.dir);
            let shown = self.with_stream(payload.stream, |stream| {
                let side = side.and_then(|side| stream.sides.get_mut(side));
                if let Some(Side::Open(message)) = side {
                    message.hole(ctx, hole);
                    return;
                }
                if let Some(websocket) = &mut stream.websocket {
                    websocket.lose(ctx, hole.dir);
                }
                ctx.hole(hole);
            });
            if shown.is_none() {
                ctx.hole(hole);
            }
            if payload.data + payload.padding == 0 {
                let mark = Mark { ts: hole.ts, tid: hole.tid };
                self.data_ended(ctx, hole.dir, mark, payload);
            } else {
                *self.state(hole.dir) = State::Data(payload);
            }
            return;
        }
        self.lose(hole.dir);
        self.damage(ctx, hole);
    }

    /// Shows a hole in which frames of any stream may have been: no body of that direction can be
    /// trusted to be whole.
    fn damage(&mut self, ctx: &mut Context<'_>, hole: Hole) {
        if let Some(side) = self.side_of(hole.dir) {
            let mut ids: Vec<u32> = self.streams.keys().copied().collect();
            ids.sort_unstable();
            for id in ids {
                self.with_stream(id, |stream| {
                    if let Side::Open(message) = &mut stream.sides[side] {
                        message.damage(ctx, 0);
                    }
                    if let Some(websocket) = &mut stream.websocket {
                        websocket.lose(ctx, hole.dir);
                    }
                });
            }
        }
        ctx.hole(hole);
    }

    pub(crate) fn end(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, ending: Ending) {
        pending.raw_from(0, ctx, Unparsed::Incomplete(ending.why()));
        self.lose(pending.dir);
        let mut ids: Vec<u32> = self.streams.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.cut_stream(ctx, id, ending.why());
        }
    }

    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>, now: Timestamp) {
        if self.held_back == 0 {
            return;
        }
        let mut ids: Vec<u32> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.held_back() > 0)
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        for id in ids {
            self.with_stream(id, |stream| stream.tick(ctx, now));
        }
    }

    pub(crate) fn wants_tick(&self) -> bool {
        self.held_back > 0
    }

    pub(crate) fn held(&self) -> usize {
        self.held + self.halves.iter().map(|half| half.hpack.held()).sum::<usize>()
    }
}

/// A frame's part of a header block.
struct Fragment<'a> {
    promised: Option<u32>,
    bytes: &'a [u8],
}

fn fragment<'a>(header: &Header, payload: &'a [u8]) -> Result<Fragment<'a>, &'static str> {
    const SHORT: &str = "a frame is too short for what its flags announce";
    let mut bytes = payload;
    let mut padding = 0;
    if header.has(frame::PADDED) {
        let (len, rest) = bytes.split_first().ok_or(SHORT)?;
        padding = usize::from(*len);
        bytes = rest;
    }
    let mut promised = None;
    if header.kind == Kind::PushPromise {
        let (id, rest) = bytes.split_first_chunk::<4>().ok_or(SHORT)?;
        promised = Some(u32::from_be_bytes(*id) & 0x7fff_ffff);
        bytes = rest;
    } else if header.has(frame::PRIORITY) {
        bytes = bytes.get(5..).ok_or(SHORT)?;
    }
    let len = bytes.len().checked_sub(padding).ok_or(SHORT)?;
    Ok(Fragment { promised, bytes: &bytes[..len] })
}

impl<'a> Pseudo<'a> {
    fn of(list: &'a FieldList) -> Self {
        let mut pseudo = Self::default();
        for (name, value) in list.iter().filter(|(name, _)| name.starts_with(b":")) {
            match name {
                b":method" => pseudo.method = Some(value),
                b":path" => pseudo.path = Some(value),
                b":authority" => pseudo.authority = Some(value),
                b":protocol" => pseudo.protocol = Some(value),
                b":status" => {
                    let digits = std::str::from_utf8(value).ok();
                    pseudo.status = digits.and_then(|digits| digits.parse().ok()).or(Some(0));
                }
                _ => {}
            }
        }
        pseudo
    }

    /// What stands for a start line; `?` for what was sent before the capture began.
    fn start(&self, side: usize) -> StartLine<'a> {
        if side == REQUEST {
            let authority = self.authority;
            let method = self.method.unwrap_or(b"?");
            // CONNECT has an authority and no path (RFC 9113 section 8.5).
            let target = self.path.or(authority.filter(|_| method == b"CONNECT"));
            StartLine::Request { method, target: target.unwrap_or(b"?"), authority }
        } else {
            StartLine::Response { status: self.status.unwrap_or(0), reason: &[] }
        }
    }
}

/// What the fields say about the body.
fn body_facts(fields: &[Field<'_>], body_limit: usize) -> (Codings, Presentation) {
    let mut codings = Codings::default();
    let mut content_type: &[u8] = &[];
    let mut len = None;
    for field in fields {
        match &*field.name {
            b"content-encoding" => codings.add(&field.value),
            b"content-type" => content_type = &field.value,
            b"content-length" => {
                len = std::str::from_utf8(&field.value).ok().and_then(|len| len.parse().ok());
            }
            _ => {}
        }
    }
    (codings, Presentation::of(content_type, len, body_limit))
}
