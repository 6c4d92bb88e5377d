//! From header blocks to messages on streams.

use super::Http2;
use super::block::{Block, Pseudo, body_facts};
use super::hpack::FieldList;
use super::stream::{REQUEST, RESPONSE, Side};
use crate::context::Context;
use crate::head::{Head, StartLine};
use crate::message::{Message, Meta};
use event::{Direction, Field, HttpVersion};

impl Http2 {
    /// Handles the fields of a block: the head of a message, or its trailers.
    pub(super) fn head(
        &mut self,
        ctx: &mut Context<'_>,
        dir: Direction,
        block: &Block<'_>,
        list: &FieldList,
    ) {
        let pseudo = Pseudo::of(list);
        let mut fields = ctx.take_fields();
        fields.extend(list.regular());
        if let Some(promised) = block.promised {
            // The server asks on the client's behalf (RFC 9113 section 8.4).
            self.client = self.client.or(Some(dir.reverse()));
            let request = Block { stream: promised, end_stream: true, ..block.clone() };
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
                .get(block.stream)
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
        self.streams.begin(ctx, id);
        let from_client = self.client == Some(dir);
        self.streams.with(id, |stream| {
            if !matches!(stream.sides[side], Side::Idle) {
                let why = "another head came before the end of the body";
                stream.finish(ctx, side, block.mark, &[], Some(why));
            }
            let start = pseudo.start(side);
            let head = Head { version: HttpVersion::Http2, start, fields };
            let mut interim = false;
            let (answers, latency) = match start {
                StartLine::Request { method, target, .. } => {
                    stream.ask(ctx, block.mark.ts, method, target);
                    let protocol = pseudo.protocol.filter(|_| from_client && method == b"CONNECT");
                    stream.ask_for_protocol(dir, protocol);
                    (None, None)
                }
                StartLine::Response { status, .. } => {
                    interim = matches!(status, 100..=199);
                    if !interim {
                        stream.answer_protocol(dir.reverse(), status, fields);
                    }
                    stream.answer(block.mark.ts, interim)
                }
            };
            let meta = Meta {
                mark: block.mark,
                dir,
                exchange: stream.exchange,
                stream: Some(id),
                of_request: side == REQUEST,
                answers,
                latency,
            };
            let (codings, presentation) = body_facts(fields, ctx.options.body_limit);
            let complete = interim || block.end_stream;
            stream.sides[side] = if !complete && stream.websocket.is_none() {
                let message = Message::begin(ctx, meta, &head, codings, presentation);
                Side::Open(Box::new(message))
            } else {
                Message::complete(ctx, meta, &head, codings, &[]);
                match (interim, block.end_stream) {
                    (true, _) => Side::Idle,
                    (false, true) => Side::Done,
                    (false, false) => Side::Tunnel,
                }
            };
        });
        self.streams.forget_if_done(ctx, id);
    }
}
