//! A WebSocket message that is being put together.

use crate::coding::Expansion;
use crate::context::{Context, Mark};
use event::{Content, Direction, WebSocketMessage, WebSocketMessageKind};

/// A message of which some has come.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: WebSocketMessageKind,
    pub(super) mark: Mark,
    pub(super) compressed: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) note: Option<&'static str>,
}

pub(super) fn expansion(ctx: &Context<'_>) -> Expansion {
    Expansion { free: ctx.options.body_limit as u64, ratio: ctx.options.expansion_limit }
}

/// Adds bytes to a message; shows what is there if that is too much to hold.
pub(super) fn add(
    ctx: &mut Context<'_>,
    dir: Direction,
    message: &mut Message,
    mark: Mark,
    bytes: &[u8],
) {
    message.bytes.extend_from_slice(bytes);
    if message.bytes.len() > ctx.options.body_limit || !ctx.may_hold(message.bytes.len()) {
        let bytes = std::mem::take(&mut message.bytes);
        show(ctx, dir, message, &bytes, false);
        message.mark = mark;
    }
}

pub(super) fn show(
    ctx: &mut Context<'_>,
    dir: Direction,
    message: &Message,
    bytes: &[u8],
    last: bool,
) {
    let Message { kind, note, .. } = *message;
    let content = WebSocketMessage { kind, payload: bytes, last, note };
    ctx.record(message.mark, dir, Content::WebSocket(content));
}
