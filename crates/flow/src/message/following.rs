//! A body that follows its head in parts or server-sent events.

use super::{Meta, Presentation, expansion};
use crate::coding::{Codings, Decoder};
use crate::context::{Context, Mark};
use crate::sse::EventStream;
use event::{BodyCoding, BodyPart, Content, Field, ServerSentEvent};
use std::fmt;

/// What is remembered between the parts.
pub(super) struct Following {
    /// Position in the body as shown.
    offset: u64,
    decoder: Option<Decoder>,
    /// What the decoder holds.
    decoder_cost: usize,
    /// Why the rest of the body is shown as sent.
    encoded: Option<&'static str>,
    events: Option<EventStream>,
    cut: Option<&'static str>,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl Following {
    pub(super) fn new(
        ctx: &mut Context<'_>,
        codings: &Codings,
        presentation: Presentation,
    ) -> Self {
        let (decoder, encoded) = if codings.is_empty() {
            (None, None)
        } else if !ctx.may_hold(codings.cost()) {
            (None, Some("too much is held to decode it as it comes"))
        } else {
            match Decoder::new(codings, expansion(ctx)) {
                Ok(decoder) => {
                    ctx.shared.fresh += codings.cost();
                    (Some(decoder), None)
                }
                Err(why) => (None, Some(why)),
            }
        };
        let decoder_cost = codings.cost();
        let events = presentation == Presentation::Events && encoded.is_none();
        let events = events.then(EventStream::default);
        Self { offset: 0, decoder, decoder_cost, encoded, events, cut: None }
    }

    pub(super) fn held(&self) -> usize {
        self.decoder.as_ref().map_or(0, |_| self.decoder_cost)
            + self.events.as_ref().map_or(0, EventStream::held)
    }

    pub(super) fn push(
        &mut self,
        ctx: &mut Context<'_>,
        meta: &Meta,
        codings: &Codings,
        mark: Mark,
        bytes: &[u8],
    ) {
        let Some(mut decoder) = self.decoder.take() else {
            self.show(ctx, meta, codings, mark, bytes);
            return;
        };
        let result = decoder.decode(bytes, &mut |bytes| {
            self.show(ctx, meta, codings, mark, bytes);
            true
        });
        match result {
            Ok(()) => self.decoder = Some(decoder),
            Err(failure) => {
                self.end_events(ctx, meta, codings, mark);
                self.encoded = Some(failure.why);
                let rest = bytes.get(failure.used..).unwrap_or_default();
                self.show(ctx, meta, codings, mark, rest);
            }
        }
    }

    /// Goes on without so many bytes of the body as transferred.
    pub(super) fn damage(
        &mut self,
        ctx: &mut Context<'_>,
        meta: &Meta,
        codings: &Codings,
        len: u64,
    ) {
        self.end_events(ctx, meta, codings, meta.mark);
        if self.decoder.take().is_some() {
            self.encoded = Some("a part of the body is missing before this");
        }
        self.offset = self.offset.saturating_add(len);
        self.cut = Some("a part of the body is missing");
    }

    pub(super) fn finish(
        mut self,
        ctx: &mut Context<'_>,
        meta: &Meta,
        codings: &Codings,
        mark: Mark,
        trailers: &[Field<'_>],
        cut: Option<&'static str>,
    ) {
        self.end_events(ctx, meta, codings, mark);
        let unfinished = self.decoder.as_ref().and_then(|decoder| decoder.finish().err());
        let cut = cut.or(self.cut).or(unfinished);
        self.part(ctx, meta, codings, mark, &[], Some((trailers, cut)));
    }

    /// Shows bytes that are decoded as far as they can be.
    fn show(
        &mut self,
        ctx: &mut Context<'_>,
        meta: &Meta,
        codings: &Codings,
        mark: Mark,
        bytes: &[u8],
    ) {
        let Some(mut events) = self.events.take() else {
            if !bytes.is_empty() {
                self.part(ctx, meta, codings, mark, bytes, None);
            }
            return;
        };
        events.push(bytes, &mut |event| {
            let event = ServerSentEvent {
                exchange: meta.exchange,
                stream: meta.stream,
                raw: event.raw,
                event: event.event,
                id: event.id,
                data: event.data,
            };
            ctx.record(mark, meta.dir, Content::ServerSentEvent(event));
        });
        self.offset += bytes.len() as u64;
        let too_large = events.held() > ctx.options.body_limit || !ctx.may_hold(events.held());
        self.events = Some(events);
        if too_large {
            self.end_events(ctx, meta, codings, mark);
        }
    }

    /// Shows what has come of an unfinished event, and goes on without events.
    fn end_events(&mut self, ctx: &mut Context<'_>, meta: &Meta, codings: &Codings, mark: Mark) {
        let Some(mut events) = self.events.take() else { return };
        let rest = events.take_rest();
        if !rest.is_empty() {
            self.offset -= rest.len() as u64;
            self.part(ctx, meta, codings, mark, &rest, None);
        }
    }

    /// What is done about the body's codings.
    pub(super) fn coding(&self, codings: &Codings) -> BodyCoding {
        match self.encoded {
            _ if codings.is_empty() => BodyCoding::Identity,
            Some(why) => BodyCoding::Encoded(codings.names().to_owned(), why),
            None => BodyCoding::Decoded(codings.names().to_owned()),
        }
    }

    fn part(
        &mut self,
        ctx: &mut Context<'_>,
        meta: &Meta,
        codings: &Codings,
        mark: Mark,
        bytes: &[u8],
        end: Option<(&[Field<'_>], Option<&'static str>)>,
    ) {
        let coding = self.coding(codings);
        let part = BodyPart {
            exchange: meta.exchange,
            stream: meta.stream,
            of_request: meta.of_request,
            offset: self.offset,
            bytes,
            last: end.is_some(),
            trailers: end.map_or(&[], |(trailers, _)| trailers),
            coding,
            truncated: end.and_then(|(_, cut)| cut),
        };
        self.offset += bytes.len() as u64;
        ctx.record(mark, meta.dir, Content::BodyPart(part));
    }
}
