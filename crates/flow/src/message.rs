//! How an HTTP message is shown: whole if it can be held until it is complete, else its head and
//! then its body as it comes. The same for all versions of HTTP.

mod following;

use crate::coding::{Codings, Decoder, Expansion};
use crate::context::{Context, Mark};
use crate::head::{Head, HeldHead, StartLine};
use event::{
    BodyCoding, Completeness, Content, Direction, Field, HeldBody, Hole, HttpMessage, RequestLine,
    Start, StatusLine, Timestamp,
};
use following::Following;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Bodies from this size on can be kept by whoever writes them.
const LARGE: usize = 64 << 10;

/// The request that a response answers: method and target in one piece.
#[derive(Debug, Default, Clone)]
pub(crate) struct Asked {
    pub(crate) text: Vec<u8>,
    pub(crate) method_len: usize,
}

/// What is known about a message beside what it says.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) mark: Mark,
    pub(crate) dir: Direction,
    pub(crate) exchange: u64,
    pub(crate) stream: Option<u32>,
    pub(crate) of_request: bool,
    pub(crate) answers: Option<Asked>,
    pub(crate) latency: Option<Duration>,
}

/// How a body wants to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presentation {
    /// Whole, if it is small enough.
    Whole,
    /// As it comes.
    Parts,
    /// As it comes, cut into server-sent events.
    Events,
}

/// Media types whose bodies go on for as long as somebody has something to say.
const STREAMS: &[&[u8]] = &[
    b"multipart/x-mixed-replace",
    b"application/grpc",
    b"application/connect",
    b"application/x-ndjson",
    b"application/ndjson",
    b"application/jsonl",
    b"application/x-jsonlines",
    b"application/stream+json",
    b"application/json-seq",
    b"application/vnd.amazon.eventstream",
];

impl Presentation {
    /// By media type and, if the head gives it, the body's length. A length says that the body is
    /// no endless stream.
    pub(crate) fn of(content_type: &[u8], len: Option<u64>, limit: usize) -> Self {
        let starts = |name: &[u8]| {
            content_type.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        if starts(b"text/event-stream") {
            Self::Events
        } else if len.is_some_and(|len| len > limit as u64)
            || (len.is_none() && !content_type.is_empty() && STREAMS.iter().any(|s| starts(s)))
        {
            Self::Parts
        } else {
            Self::Whole
        }
    }
}

/// A message whose head has been seen and whose body is still coming.
#[derive(Debug)]
pub(crate) struct Message {
    meta: Meta,
    codings: Codings,
    encoded_len: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Held { head: HeldHead, bytes: HeldBody },
    Follows(Box<Following>),
}

impl Message {
    /// Begins a message; shows its head now unless it is to be shown whole.
    pub(crate) fn begin(
        ctx: &mut Context<'_>,
        meta: Meta,
        head: &Head<'_>,
        codings: Codings,
        presentation: Presentation,
    ) -> Self {
        let body = if presentation == Presentation::Whole && ctx.may_hold(0) {
            let head = HeldHead::new(head);
            ctx.shared.fresh += head.held();
            Body::Held { head, bytes: HeldBody::default() }
        } else {
            let following = Following::new(ctx, &codings, presentation);
            show_head(ctx, &meta, head, following.coding(&codings));
            Body::Follows(Box::new(following))
        };
        Self { meta, codings, encoded_len: 0, body }
    }

    pub(crate) fn began(&self) -> Timestamp {
        self.meta.mark.ts
    }

    pub(crate) fn mark(&self) -> Mark {
        self.meta.mark
    }

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        match &self.body {
            Body::Held { head, bytes } => head.held() + bytes.len(),
            Body::Follows(following) => following.held(),
        }
    }

    /// True if a tick may show it.
    pub(crate) fn is_held_back(&self) -> bool {
        matches!(self.body, Body::Held { .. })
    }

    /// Takes a piece of the body.
    pub(crate) fn push(&mut self, ctx: &mut Context<'_>, mark: Mark, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Body::Held { bytes: held, .. } = &mut self.body {
            let fits = held.len() + bytes.len() <= ctx.options.body_limit;
            if fits && ctx.may_hold(bytes.len()) {
                ctx.shared.fresh += bytes.len();
                self.encoded_len += bytes.len() as u64;
                ctx.shared.shown.bodies += bytes.len() as u64;
                if held.capacity() == 0 {
                    *held = ctx.shared.body_buffer(bytes);
                }
                hold(ctx, held, bytes);
                return;
            }
            self.release(ctx);
        }
        self.encoded_len += bytes.len() as u64;
        ctx.shared.shown.bodies += bytes.len() as u64;
        if let Body::Follows(following) = &mut self.body {
            following.push(ctx, &self.meta, &self.codings, mark, bytes);
        }
    }

    /// Shows what is there; the rest will follow.
    pub(crate) fn release(&mut self, ctx: &mut Context<'_>) {
        if !self.is_held_back() {
            return;
        }
        let following = Box::new(Following::new(ctx, &self.codings, Presentation::Parts));
        let coding = following.coding(&self.codings);
        let body = std::mem::replace(&mut self.body, Body::Follows(following));
        let Body::Held { head, bytes } = body else { return };
        with_head(ctx, &head, |ctx, head| show_head(ctx, &self.meta, head, coding));
        if let Body::Follows(following) = &mut self.body {
            following.push(ctx, &self.meta, &self.codings, self.meta.mark, &bytes);
        }
    }

    /// Notes that a part of the body is missing, and shows the hole in its place.
    pub(crate) fn hole(&mut self, ctx: &mut Context<'_>, hole: Hole) {
        self.damage(ctx, hole.len);
        ctx.hole(hole);
    }

    /// Notes that a part of the body is missing: so many bytes of it, as transferred.
    pub(crate) fn damage(&mut self, ctx: &mut Context<'_>, len: u64) {
        self.release(ctx);
        if let Body::Follows(following) = &mut self.body {
            following.damage(ctx, &self.meta, &self.codings, len);
        }
    }

    /// Ends the message, with `tail` as the last piece of its body, or `cut` short.
    pub(crate) fn finish(
        mut self,
        ctx: &mut Context<'_>,
        mark: Mark,
        tail: &[u8],
        trailers: &[Field<'_>],
        cut: Option<&'static str>,
    ) {
        let whole = match &mut self.body {
            Body::Held { bytes, .. } if bytes.len() + tail.len() > ctx.options.body_limit => {
                Shown::TooLarge
            }
            Body::Held { head, bytes } => {
                let mut kept = None;
                let joined = if bytes.is_empty() {
                    event::Body::Borrowed(tail)
                } else {
                    hold(ctx, bytes, tail);
                    if self.codings.is_empty() && bytes.len() >= LARGE {
                        event::Body::Held(kept.insert(Arc::new(std::mem::take(bytes))))
                    } else {
                        event::Body::Borrowed(bytes)
                    }
                };
                let shown = with_head(ctx, head, |ctx, head| {
                    let codings = &self.codings;
                    show_whole(ctx, &self.meta, mark.ts, head, codings, joined, trailers, cut)
                });
                if let Some(body) = kept {
                    ctx.shared.keep_buffer(body);
                }
                shown
            }
            Body::Follows(_) => Shown::TooLarge,
        };
        if whole == Shown::Yes {
            ctx.shared.shown.bodies += tail.len() as u64;
            if let Body::Held { bytes, .. } = self.body
                && bytes.len() >= LARGE
            {
                ctx.shared.keep_buffer(Arc::new(bytes));
            }
            return;
        }
        if let Body::Held { bytes, .. } = &mut self.body {
            bytes.truncate(self.encoded_len as usize);
        }
        self.release(ctx);
        self.push(ctx, mark, tail);
        if let Body::Follows(following) = self.body {
            following.finish(ctx, &self.meta, &self.codings, mark, trailers, cut);
        }
    }

    /// Shows a message that is complete in one piece, without holding any of it. Gives `meta` back
    /// if it is not needed any more.
    pub(crate) fn complete(
        ctx: &mut Context<'_>,
        meta: Meta,
        head: &Head<'_>,
        codings: Codings,
        body: &[u8],
    ) -> Option<Meta> {
        let ended = meta.mark.ts;
        if show_whole(ctx, &meta, ended, head, &codings, body.into(), &[], None) == Shown::Yes {
            ctx.shared.shown.bodies += body.len() as u64;
            return Some(meta);
        }
        let mark = meta.mark;
        let message = Self::begin(ctx, meta, head, codings, Presentation::Parts);
        message.finish(ctx, mark, body, &[], None);
        None
    }
}

fn hold(ctx: &Context<'_>, held: &mut HeldBody, piece: &[u8]) {
    if ctx.options.look_for_text {
        held.push(piece);
    } else {
        held.push_unseen(piece);
    }
}

fn with_head<R>(
    ctx: &mut Context<'_>,
    head: &HeldHead,
    use_it: impl FnOnce(&mut Context<'_>, &Head<'_>) -> R,
) -> R {
    let mut fields = ctx.take_fields();
    let result = head.with(&mut fields, |head| use_it(ctx, head));
    ctx.give_back(fields);
    result
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Yes,
    /// Decoded it is larger than what may be held.
    TooLarge,
}

fn expansion(ctx: &Context<'_>) -> Expansion {
    Expansion { free: ctx.options.body_limit as u64, ratio: ctx.options.expansion_limit }
}

#[expect(clippy::too_many_arguments, reason = "each is a field of the record")]
fn show_whole(
    ctx: &mut Context<'_>,
    meta: &Meta,
    ended: Timestamp,
    head: &Head<'_>,
    codings: &Codings,
    body: event::Body<'_>,
    trailers: &[Field<'_>],
    cut: Option<&'static str>,
) -> Shown {
    let completeness = cut.map_or(Completeness::Whole, Completeness::Truncated);
    let encoded_len = body.len() as u64;
    if codings.is_empty() || body.is_empty() {
        let coding = BodyCoding::Identity;
        show(ctx, meta, ended, head, trailers, body, coding, encoded_len, completeness);
        return Shown::Yes;
    }
    let mut decoded = std::mem::take(&mut ctx.shared.decoded);
    let (result, fits) = decode(ctx, codings, &body, &mut decoded, cut.is_some());
    if fits {
        let names = codings.names().to_owned();
        let (body, coding) = match result {
            Ok(()) => (event::Body::Borrowed(&decoded), BodyCoding::Decoded(names)),
            Err(why) => (body, BodyCoding::Encoded(names, why)),
        };
        show(ctx, meta, ended, head, trailers, body, coding, encoded_len, completeness);
    }
    decoded.clear();
    ctx.shared.decoded = decoded;
    if fits { Shown::Yes } else { Shown::TooLarge }
}

/// Decodes all of `body`; tells what came of it, and whether it is within `body_limit`.
fn decode(
    ctx: &Context<'_>,
    codings: &Codings,
    body: &[u8],
    into: &mut Vec<u8>,
    cut: bool,
) -> (Result<(), &'static str>, bool) {
    let mut decoder = match Decoder::new(codings, expansion(ctx)) {
        Ok(decoder) => decoder,
        Err(why) => return (Err(why), true),
    };
    let mut fits = true;
    let result = decoder.decode(body, &mut |bytes| {
        fits = into.len() + bytes.len() <= ctx.options.body_limit;
        if fits {
            into.extend_from_slice(bytes);
        }
        fits
    });
    let result = match result {
        Err(failure) => Err(failure.why),
        // A body that was cut short cannot be complete: what can be read of it is better than none.
        Ok(()) if cut => Ok(()),
        Ok(()) => decoder.finish(),
    };
    (result, fits)
}

fn show_head(ctx: &mut Context<'_>, meta: &Meta, head: &Head<'_>, coding: BodyCoding) {
    let ended = meta.mark.ts;
    let no_body = event::Body::Borrowed(&[]);
    show(ctx, meta, ended, head, &[], no_body, coding, 0, Completeness::BodyFollows);
}

#[expect(clippy::too_many_arguments, reason = "each is a field of the record")]
fn show(
    ctx: &mut Context<'_>,
    meta: &Meta,
    ended: Timestamp,
    head: &Head<'_>,
    trailers: &[Field<'_>],
    body: event::Body<'_>,
    coding: BodyCoding,
    encoded_len: u64,
    completeness: Completeness,
) {
    let start = match head.start {
        StartLine::Request { method, target, authority } => Start::Request(RequestLine {
            method: method.into(),
            target: target.into(),
            authority: authority.map(Cow::Borrowed),
        }),
        StartLine::Response { status, reason } => Start::Response(StatusLine {
            status,
            reason: reason.into(),
            answers: meta.answers.as_ref().map(|asked| {
                let (method, target) = asked.text.split_at(asked.method_len);
                (method.into(), target.into())
            }),
            latency: meta.latency,
        }),
    };
    let message = HttpMessage {
        version: head.version,
        stream: meta.stream,
        exchange: meta.exchange,
        start,
        headers: head.fields,
        trailers,
        body,
        coding,
        encoded_len,
        ended,
        completeness,
    };
    ctx.record(meta.mark, meta.dir, Content::Http(message));
}
