//! One HTTP/2 stream: a request and its response.

use crate::context::{Context, Mark};
use crate::message::{Asked, Message};
use crate::websocket::WebSocket;
use event::{Direction, Field, Timestamp};
use std::time::Duration;

/// Index of a side in a stream.
pub(super) const REQUEST: usize = 0;
pub(super) const RESPONSE: usize = 1;

/// How far one side of a stream is.
#[derive(Debug, Default)]
pub(super) enum Side {
    #[default]
    Idle,
    /// The head was seen.
    Open(Box<Message>),
    /// The head was shown whole; what follows is not a message's body.
    Tunnel,
    Done,
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) exchange: u64,
    /// The request, until its response comes.
    pub(super) asked: Option<(Asked, Timestamp)>,
    /// What an extended `CONNECT` asked for (RFC 8441).
    pub(super) websocket: Option<Box<WebSocket>>,
    pub(super) sides: [Side; 2],
}

impl Stream {
    pub(super) fn held(&self) -> usize {
        const STREAM: usize = size_of::<Stream>() + size_of::<u32>();
        let sides = self.sides.iter().map(|side| match side {
            Side::Open(message) => message.held(),
            _ => 0,
        });
        let websocket = self.websocket.as_ref().map_or(0, |websocket| websocket.held());
        let asked = self.asked.as_ref().map_or(0, |(asked, _)| asked.text.len());
        sides.sum::<usize>() + websocket + asked + STREAM
    }

    /// How many of its sides only a tick will show.
    pub(super) fn held_back(&self) -> usize {
        let held_back = |side: &&Side| matches!(side, Side::Open(m) if m.is_held_back());
        let websocket = self.websocket.as_ref().is_some_and(|websocket| websocket.is_held_back());
        self.sides.iter().filter(held_back).count() + usize::from(websocket)
    }

    pub(super) fn is_done(&self) -> bool {
        self.sides.iter().all(|side| matches!(side, Side::Done))
    }

    /// Notes what the request asks for. A few bytes of a header block may stand for a long target,
    /// so it is only remembered where there is room.
    pub(super) fn ask(
        &mut self,
        ctx: &mut Context<'_>,
        ts: Timestamp,
        method: &[u8],
        target: &[u8],
    ) {
        let len = method.len() + target.len();
        if !ctx.may_hold(len) {
            self.asked = None;
            return;
        }
        ctx.shared.fresh += len;
        let asked = Asked { text: [method, target].concat(), method_len: method.len() };
        self.asked = Some((asked, ts));
    }

    /// What a response answers, and after how long. A final one takes the request with it.
    pub(super) fn answer(
        &mut self,
        ts: Timestamp,
        interim: bool,
    ) -> (Option<Asked>, Option<Duration>) {
        let latency = self.asked.as_ref().map(|(_, asked_at)| ts.since(*asked_at));
        if interim {
            return (None, latency);
        }
        (self.asked.take().map(|(asked, _)| asked), latency)
    }

    /// Notes the protocol that an extended `CONNECT` asks for.
    pub(super) fn ask_for_protocol(&mut self, client: Direction, protocol: Option<&[u8]>) {
        if protocol == Some(b"websocket") {
            self.websocket = Some(Box::new(WebSocket::new(client, &[])));
        }
    }

    /// Notes whether that protocol was accepted.
    pub(super) fn answer_protocol(&mut self, client: Direction, status: u16, fields: &[Field<'_>]) {
        if self.websocket.take().is_some() && matches!(status, 200..=299) {
            let agreed: Vec<&[u8]> = fields
                .iter()
                .filter(|field| *field.name == *b"sec-websocket-extensions")
                .map(|field| &*field.value)
                .collect();
            let websocket = WebSocket::new(client, &agreed.join(b",".as_slice()));
            self.websocket = Some(Box::new(websocket));
        }
    }

    /// Ends a side.
    pub(super) fn finish(
        &mut self,
        ctx: &mut Context<'_>,
        side: usize,
        mark: Mark,
        trailers: &[Field<'_>],
        cut: Option<&'static str>,
    ) {
        let Some(side) = self.sides.get_mut(side) else { return };
        if let Side::Open(message) = std::mem::replace(side, Side::Done) {
            message.finish(ctx, mark, &[], trailers, cut);
        }
    }

    /// Ends both sides early.
    pub(super) fn cut(&mut self, ctx: &mut Context<'_>, why: &'static str) {
        for side in [REQUEST, RESPONSE] {
            let mark = match &self.sides[side] {
                Side::Open(message) => message.mark(),
                _ => continue,
            };
            self.finish(ctx, side, mark, &[], Some(why));
        }
        self.sides = [Side::Done, Side::Done];
        if let Some(websocket) = &mut self.websocket {
            websocket.cut(ctx, why);
        }
    }

    pub(super) fn tick(&mut self, ctx: &mut Context<'_>, now: Timestamp) {
        for side in &mut self.sides {
            if let Side::Open(message) = side
                && now.since(message.began()) >= ctx.options.stream_after
            {
                message.release(ctx);
            }
        }
        if let Some(websocket) = &mut self.websocket {
            websocket.tick_all(ctx, now);
        }
    }
}
