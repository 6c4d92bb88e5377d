//! HTTP/2 (RFC 9113): both directions of a connection, and its streams.

mod block;
pub(crate) mod frame;
mod hpack;
mod messages;
mod stream;
mod streams;

use crate::context::{Context, Input, Mark};
use crate::detect::HTTP2_PREFACE;
use crate::message::Asked;
use crate::protocol::{Ending, Fed};
use block::Block;
use event::{Direction, Field, Hole, Timestamp, Unparsed};
use frame::{Header, Kind};
pub(crate) use hpack::FieldList;
use stream::{REQUEST, RESPONSE, Side};
use streams::Streams;

const MISSING: Unparsed = Unparsed::Incomplete("bytes before this are missing");
const UNKNOWN_STREAM: Unparsed =
    Unparsed::Incomplete("the head of this stream's message was not seen");

/// One connection.
#[derive(Debug)]
pub(crate) struct Http2 {
    /// Which direction the client speaks in, as soon as that is known.
    client: Option<Direction>,
    halves: [Half; 2],
    streams: Streams,
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
        http2.streams.begin_asked(1, exchange, asked);
        http2
    }

    fn new(client: Option<Direction>, from_the_beginning: bool, cap: usize) -> Self {
        let half =
            || Half { hpack: hpack::Decoder::new(from_the_beginning, cap), state: State::Frame };
        Self { client, halves: [half(), half()], streams: Streams::default() }
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
        if bytes.len() < total {
            return Progress::NeedMore;
        }
        match header.kind {
            Kind::Headers | Kind::PushPromise => self.header_block(ctx, input, at, &header),
            Kind::Continuation => Progress::Malformed("a CONTINUATION frame continues nothing"),
            Kind::RstStream => {
                ctx.shared.shown.framing += total as u64;
                self.streams.cut(ctx, header.stream, "the stream was reset");
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
        self.streams
            .with(stream, |stream| {
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
        self.streams.with(id, |stream| stream.finish(ctx, side, mark, trailers, None));
        self.streams.forget_if_done(ctx, id);
    }

    /// Handles a `HEADERS` or `PUSH_PROMISE` frame with all that continues it.
    fn header_block(
        &mut self,
        ctx: &mut Context<'_>,
        input: &Input<'_>,
        at: usize,
        header: &Header,
    ) -> Progress {
        let limit = ctx.options.head_limit;
        let assembled = Block::assemble(header, input.rest(at), input.mark_at(at), limit);
        let block = match assembled {
            Ok(Some(block)) => block,
            Ok(None) => return Progress::NeedMore,
            Err(why) => return Progress::Malformed(why),
        };
        let mut fields = std::mem::take(&mut ctx.shared.field_list);
        let hpack = &mut self.halves[input.dir as usize].hpack;
        match hpack.decode(&block.bytes, limit, &mut fields) {
            Ok(()) => {
                ctx.shared.shown.heads += block.bytes.len() as u64;
                ctx.shared.shown.framing += (block.total - block.bytes.len()) as u64;
                self.head(ctx, input.dir, &block, &fields);
            }
            Err(why) => {
                // The frames are in order, so the connection goes on without this block.
                hpack.lose();
                let part = Input { bytes: &input.bytes[..at + block.total], ..*input };
                part.raw_from(at, ctx, Unparsed::Malformed(why));
            }
        }
        fields.clear();
        ctx.shared.field_list = fields;
        Progress::Consumed(block.total)
    }

    pub(crate) fn hole(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, hole: Hole) {
        pending.raw_from(0, ctx, Unparsed::Incomplete("bytes after this are missing"));
        if let State::Data(mut payload) = *self.state(hole.dir)
            && payload.data as u64 >= hole.len
        {
            payload.data -= hole.len as usize;
            let side = self.side_of(hole.dir);
            let shown = self.streams.with(payload.stream, |stream| {
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
            for id in self.streams.ids() {
                self.streams.with(id, |stream| {
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
        for id in self.streams.ids() {
            self.streams.cut(ctx, id, ending.why());
        }
    }

    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>, now: Timestamp) {
        self.streams.tick(ctx, now);
    }

    pub(crate) fn wants_tick(&self) -> bool {
        self.streams.held_back() > 0
    }

    pub(crate) fn held(&self) -> usize {
        self.streams.held() + self.halves.iter().map(|half| half.hpack.held()).sum::<usize>()
    }
}
