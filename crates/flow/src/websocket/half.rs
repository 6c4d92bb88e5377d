//! One direction of a WebSocket: frames to messages.

use super::deflate::{Agreement, Inflater};
use super::frame::{self, Header, Opcode, Parsed};
use super::message::{self, Message};
use crate::context::{Context, Input, Mark};
use event::{Direction, Timestamp, Unparsed};
use std::fmt;

const MISSING: &str = "a part of the message is missing";
const COMPRESSED: &str = "still compressed: the data it refers to are missing or malformed";
const NO_ROOM: &str = "still compressed: too much is held to inflate it";

/// Payload is unmasked and inflated in pieces of this size.
const PIECE: usize = 4 << 10;

/// One direction.
#[derive(Debug)]
pub(super) struct Half {
    dir: Direction,
    of_client: bool,
    state: State,
    message: Option<Message>,
    agreement: Option<Agreement>,
    inflater: Inflating,
    /// Bytes of an incomplete frame header or control frame, if nobody else keeps them.
    pub(super) pending: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Frame,
    Payload(Payload),
    Lost(Unparsed),
}

/// What is left of a data frame.
#[derive(Debug, Clone, Copy)]
struct Payload {
    left: u64,
    position: u64,
    mask: Option<[u8; 4]>,
    fin: bool,
}

/// The context in which compressed messages are inflated.
enum Inflating {
    /// None has come yet, or each has its own.
    Fresh,
    Ready(Box<Inflater>),
    /// Something that later messages may refer to is missing.
    Lost,
}

impl fmt::Debug for Inflating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "Fresh",
            Self::Ready(_) => "Ready",
            Self::Lost => "Lost",
        })
    }
}

impl Half {
    pub(super) fn new(dir: Direction, of_client: bool, agreement: Option<Agreement>) -> Self {
        Self {
            dir,
            of_client,
            state: State::Frame,
            message: None,
            agreement,
            inflater: Inflating::Fresh,
            pending: Vec::new(),
        }
    }

    /// Gives back how much was consumed.
    pub(super) fn feed(&mut self, ctx: &mut Context<'_>, input: &Input<'_>) -> usize {
        let mut at = 0;
        while at < input.bytes.len() {
            let bytes = input.rest(at);
            let mark = input.mark_at(at);
            match self.state {
                State::Frame => {
                    let done = match frame::parse(bytes) {
                        Parsed::NeedMore => Ok(None),
                        Parsed::Malformed(why) => Err(why),
                        Parsed::Header(header) => self.frame(ctx, mark, &header, bytes),
                    };
                    match done {
                        Ok(Some(len)) => at += len,
                        Ok(None) => break,
                        Err(why) => {
                            self.malformed(ctx, mark, why);
                            input.raw_from(at, ctx, Unparsed::Malformed(why));
                            at = input.bytes.len();
                        }
                    }
                }
                State::Payload(payload) => at += self.payload(ctx, mark, payload, bytes),
                State::Lost(why) => {
                    let begins = at == 0 && input.call_start;
                    if begins && frame::is_likely_run(bytes, self.of_client) {
                        self.state = State::Frame;
                    } else {
                        input.raw_from(at, ctx, why);
                        at = input.bytes.len();
                    }
                }
            }
        }
        at
    }

    fn malformed(&mut self, ctx: &mut Context<'_>, mark: Mark, why: &'static str) {
        if let Some(message) = self.message.take() {
            self.show(ctx, Message { note: Some(why), mark, ..message }, true);
        }
        self.inflater = Inflating::Lost;
        self.state = State::Lost(Unparsed::Malformed(why));
    }

    /// Handles a frame's header, and all of a control frame. Gives back how much that was, if it is
    /// all there.
    fn frame(
        &mut self,
        ctx: &mut Context<'_>,
        mark: Mark,
        header: &Header,
        bytes: &[u8],
    ) -> Result<Option<usize>, &'static str> {
        if header.compressed
            && (self.agreement.is_none() || !matches!(header.opcode, Opcode::Data(_)))
        {
            return Err("a WebSocket frame is compressed though that was not agreed");
        }
        let kind = match header.opcode {
            Opcode::Control(kind) => {
                let total = header.len + header.payload as usize;
                let Some(payload) = bytes.get(header.len..total) else { return Ok(None) };
                ctx.shared.shown.framing += header.len as u64;
                ctx.shared.shown.bodies += header.payload;
                let mut payload = payload.to_vec();
                frame::unmask(&mut payload, header.mask.unwrap_or_default(), 0);
                let message = Message { kind, mark, compressed: false, bytes: payload, note: None };
                self.show(ctx, message, true);
                return Ok(Some(total));
            }
            Opcode::Data(_) if self.message.is_some() => {
                return Err("a WebSocket message begins within another");
            }
            Opcode::Data(kind) => Some(kind),
            Opcode::Continuation if self.message.is_some() => None,
            Opcode::Continuation => {
                return Err("a WebSocket frame continues a message that was not begun");
            }
        };
        ctx.shared.shown.framing += header.len as u64;
        if let Some(kind) = kind {
            let compressed = header.compressed;
            let note = if compressed { self.begin_inflating(ctx) } else { None };
            self.message = Some(Message { kind, mark, compressed, bytes: Vec::new(), note });
        }
        let payload =
            Payload { left: header.payload, position: 0, mask: header.mask, fin: header.fin };
        self.state = State::Payload(payload);
        if header.payload == 0 {
            self.frame_ended(ctx, payload);
        }
        Ok(Some(header.len))
    }

    /// Readies the inflater for a message; tells if the message must be shown compressed.
    fn begin_inflating(&mut self, ctx: &Context<'_>) -> Option<&'static str> {
        match &mut self.inflater {
            Inflating::Ready(inflater) => inflater.begin(),
            Inflating::Lost => return Some(COMPRESSED),
            Inflating::Fresh if !ctx.may_hold(Inflater::HELD) => {
                self.inflater = Inflating::Lost;
                return Some(NO_ROOM);
            }
            Inflating::Fresh => self.inflater = Inflating::Ready(Box::new(Inflater::new())),
        }
        None
    }

    /// Handles what is there of a data frame's payload; gives back how much.
    fn payload(
        &mut self,
        ctx: &mut Context<'_>,
        mark: Mark,
        mut payload: Payload,
        bytes: &[u8],
    ) -> usize {
        let len = usize::try_from(payload.left).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.get(..len).unwrap_or_default();
        ctx.shared.shown.bodies += len as u64;
        let mut clear = [0; PIECE];
        for piece in bytes.chunks(PIECE) {
            let clear = &mut clear[..piece.len()];
            clear.copy_from_slice(piece);
            if let Some(mask) = payload.mask {
                frame::unmask(clear, mask, payload.position);
            }
            payload.position += piece.len() as u64;
            payload.left -= piece.len() as u64;
            self.take(ctx, mark, clear);
        }
        self.state = State::Payload(payload);
        if payload.left == 0 {
            self.frame_ended(ctx, payload);
        }
        len
    }

    /// Adds unmasked bytes to the message.
    fn take(&mut self, ctx: &mut Context<'_>, mark: Mark, bytes: &[u8]) {
        let Some(mut message) = self.message.take() else { return };
        let inflate = message.compressed && message.note.is_none();
        match &mut self.inflater {
            Inflating::Ready(inflater) if inflate => {
                let expansion = message::expansion(ctx);
                let result = inflater.inflate(bytes, expansion, &mut |part| {
                    message::add(ctx, self.dir, &mut message, mark, part);
                });
                if let Err(why) = result {
                    message.note = Some(why);
                    self.inflater = Inflating::Lost;
                }
            }
            _ => message::add(ctx, self.dir, &mut message, mark, bytes),
        }
        self.message = Some(message);
    }

    fn frame_ended(&mut self, ctx: &mut Context<'_>, payload: Payload) {
        self.state = State::Frame;
        if !payload.fin {
            return;
        }
        let Some(mut message) = self.message.take() else { return };
        if message.compressed {
            let inflate = message.note.is_none();
            if let Inflating::Ready(inflater) = &mut self.inflater
                && inflate
            {
                let mark = message.mark;
                let ended = inflater.end(message::expansion(ctx), &mut |part| {
                    message::add(ctx, self.dir, &mut message, mark, part);
                });
                if let Err(why) = ended {
                    message.note = Some(why);
                    self.inflater = Inflating::Lost;
                }
            }
            if self.agreement.is_some_and(|agreement| agreement.no_context_takeover) {
                self.inflater = Inflating::Fresh;
            }
        }
        self.show(ctx, message, true);
    }

    /// Goes on after missing bytes.
    pub(super) fn hole(&mut self, ctx: &mut Context<'_>, len: u64) {
        if let Some(message) = &mut self.message {
            if message.compressed {
                self.inflater = Inflating::Lost;
            }
            message.note = Some(MISSING);
            if !message.bytes.is_empty() {
                let bytes = std::mem::take(&mut message.bytes);
                message::show(ctx, self.dir, message, &bytes, false);
            }
        }
        match &mut self.state {
            State::Payload(payload) if payload.left >= len => {
                payload.left -= len;
                payload.position += len;
                let payload = *payload;
                if payload.left == 0 {
                    self.frame_ended(ctx, payload);
                }
            }
            _ => {
                if let Some(message) = self.message.take() {
                    self.show(ctx, message, true);
                }
                // Messages may be missing that later ones refer to.
                self.inflater = Inflating::Lost;
                self.state = State::Lost(Unparsed::Incomplete("bytes before this are missing"));
            }
        }
    }

    pub(super) fn show_pending(&mut self, ctx: &mut Context<'_>, why: &'static str) {
        let pending = std::mem::take(&mut self.pending);
        let mark = self.message.as_ref().map(|message| message.mark);
        let mark = mark.unwrap_or(Mark { ts: ctx.connection.ts, tid: 0 });
        ctx.raw(mark, self.dir, 0, &pending, Some(Unparsed::Incomplete(why)));
    }

    pub(super) fn cut(&mut self, ctx: &mut Context<'_>, why: &'static str) {
        if let Some(message) = self.message.take() {
            self.show(ctx, Message { note: Some(why), ..message }, true);
        }
        self.state = State::Lost(Unparsed::Incomplete(why));
        self.inflater = Inflating::Lost;
    }

    pub(super) fn tick(&mut self, ctx: &mut Context<'_>, now: Timestamp) {
        if let Some(message) = &mut self.message
            && !message.bytes.is_empty()
            && now.since(message.mark.ts) >= ctx.options.stream_after
        {
            let bytes = std::mem::take(&mut message.bytes);
            message::show(ctx, self.dir, message, &bytes, false);
        }
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.message.as_ref().is_some_and(|message| !message.bytes.is_empty())
    }

    pub(super) fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.bytes.len());
        let inflater = match self.inflater {
            Inflating::Ready(_) => Inflater::HELD,
            Inflating::Fresh | Inflating::Lost => 0,
        };
        message + inflater + self.pending.len()
    }

    #[expect(clippy::needless_pass_by_value, reason = "what was shown is done with")]
    fn show(&self, ctx: &mut Context<'_>, message: Message, last: bool) {
        message::show(ctx, self.dir, &message, &message.bytes, last);
    }
}
