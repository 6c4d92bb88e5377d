//! The protocol of a connection, as far as it is known, and what every protocol must be able to do.

use crate::context::{Context, Input};
use crate::http1::Http1;
use crate::http2::Http2;
use crate::undetected::Undetected;
use crate::websocket::WebSocket;
use event::{Direction, Hole, Timestamp};

/// What a parser did with its input.
pub(crate) struct Fed {
    /// What comes after so many bytes it will want to see again, with more.
    pub(crate) consumed: usize,
    /// What the connection speaks from there on, if that changes.
    pub(crate) becomes: Option<Protocol>,
}

impl Fed {
    pub(crate) fn consumed(consumed: usize) -> Self {
        Self { consumed, becomes: None }
    }
}

/// Why nothing more will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The connection was closed.
    Closed,
    /// The capture ends.
    CaptureEnded,
    /// There are too many connections.
    Evicted,
    /// Too many connections wait for the rest of too much.
    NoRoom,
}

impl Ending {
    /// Why a message is truncated that was not complete then.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Closed => "the connection was closed",
            Self::CaptureEnded => "the capture ended",
            Self::Evicted => "there are too many connections to go on holding it",
            Self::NoRoom => "too much is held to wait for the rest",
        }
    }
}

/// What a connection speaks.
pub(crate) enum Protocol {
    Undetected(Undetected),
    Http1(Box<Http1>),
    Http2(Box<Http2>),
    WebSocket(Box<WebSocket>),
}

impl Protocol {
    /// Handles the next bytes of a direction.
    pub(crate) fn feed(&mut self, ctx: &mut Context<'_>, input: &Input<'_>) -> Fed {
        match self {
            Self::Undetected(undetected) => undetected.feed(ctx, input),
            Self::Http1(http1) => http1.feed(ctx, input),
            Self::Http2(http2) => http2.feed(ctx, input),
            Self::WebSocket(websocket) => websocket.feed(ctx, input),
        }
    }

    /// Handles missing bytes. `pending` is what had come before and was not consumed; it is now.
    pub(crate) fn hole(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, hole: Hole) {
        match self {
            Self::Undetected(undetected) => undetected.hole(ctx, pending, hole),
            Self::Http1(http1) => http1.hole(ctx, pending, hole),
            Self::Http2(http2) => http2.hole(ctx, pending, hole),
            Self::WebSocket(websocket) => websocket.hole(ctx, pending, hole),
        }
    }

    /// Shows everything of a direction that is still held, `pending` included.
    pub(crate) fn end(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, ending: Ending) {
        match self {
            Self::Undetected(undetected) => undetected.end(ctx, pending, ending),
            Self::Http1(http1) => http1.end(ctx, pending, ending),
            Self::Http2(http2) => http2.end(ctx, pending, ending),
            Self::WebSocket(websocket) => websocket.end(ctx, pending, ending),
        }
    }

    /// Shows what has been held for too long. Tells if `pending` was shown.
    pub(crate) fn tick(
        &mut self,
        ctx: &mut Context<'_>,
        pending: &Input<'_>,
        now: Timestamp,
    ) -> bool {
        match self {
            Self::Undetected(undetected) => undetected.tick(ctx, pending, now),
            Self::Http1(http1) => {
                http1.tick(ctx, pending.dir, now);
                false
            }
            Self::Http2(http2) => {
                http2.tick(ctx, now);
                false
            }
            Self::WebSocket(websocket) => {
                websocket.tick(ctx, pending.dir, now);
                false
            }
        }
    }

    /// True if only a tick will show something of this direction.
    pub(crate) fn wants_tick(&self, dir: Direction, has_pending: bool) -> bool {
        match self {
            Self::Undetected(_) => has_pending,
            Self::Http1(http1) => http1.wants_tick(dir),
            Self::Http2(http2) => http2.wants_tick(),
            Self::WebSocket(websocket) => websocket.wants_tick(dir),
        }
    }

    /// The direction of requests, as far as there is one.
    pub(crate) fn request_direction(&self) -> Direction {
        match self {
            Self::Undetected(_) => Direction::Send,
            Self::Http1(http1) => http1.request_direction(),
            Self::Http2(http2) => http2.request_direction(),
            Self::WebSocket(websocket) => websocket.request_direction(),
        }
    }

    /// How many bytes are held beside what is pending.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Undetected(_) => 0,
            Self::Http1(http1) => http1.held(),
            Self::Http2(http2) => http2.held(),
            Self::WebSocket(websocket) => websocket.held(),
        }
    }
}
