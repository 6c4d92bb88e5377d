//! The body of an HTTP/1 message as it comes.

use super::chunked::Step;
use super::framing::Framing;
use crate::context::{Context, Input};
use crate::detect::{self, Verdict};
use crate::message::Message;
use event::Field;

/// A message whose body is coming.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) message: Message,
    pub(super) framing: Framing,
    /// The request was not seen, so it may have been `HEAD`, and then no body comes.
    pub(super) may_be_bodiless: bool,
}

pub(super) fn looks_like_response(bytes: &[u8]) -> bool {
    detect::status_line(bytes) == Verdict::Yes
}

/// How a body ends: so many bytes of it, then so many of trailer fields.
pub(super) struct End {
    pub(super) body: usize,
    pub(super) trailers: usize,
}

pub(super) enum BodyProgress {
    Consumed(usize),
    NeedMore,
    End(End),
    Malformed(&'static str),
}

impl Incoming {
    pub(super) fn go_on(
        &mut self,
        ctx: &mut Context<'_>,
        input: &Input<'_>,
        at: usize,
    ) -> BodyProgress {
        let bytes = input.rest(at);
        if self.may_be_bodiless {
            self.may_be_bodiless = false;
            if looks_like_response(bytes) {
                return BodyProgress::End(End { body: 0, trailers: 0 });
            }
        }
        match &mut self.framing {
            Framing::Length(left) => {
                if *left <= bytes.len() as u64 {
                    return BodyProgress::End(End { body: *left as usize, trailers: 0 });
                }
                *left -= bytes.len() as u64;
                self.message.push(ctx, input.mark_at(at), bytes);
                BodyProgress::Consumed(bytes.len())
            }
            Framing::UntilClose => {
                self.message.push(ctx, input.mark_at(at), bytes);
                BodyProgress::Consumed(bytes.len())
            }
            Framing::Chunked(chunked) => match chunked.step(bytes, ctx.options.head_limit) {
                Step::Framing(len) => {
                    ctx.shared.shown.framing += len as u64;
                    BodyProgress::Consumed(len)
                }
                Step::Data(len) => {
                    let data = bytes.get(..len).unwrap_or_default();
                    self.message.push(ctx, input.mark_at(at), data);
                    BodyProgress::Consumed(len)
                }
                Step::End(trailers) => BodyProgress::End(End { body: 0, trailers }),
                Step::NeedMore => BodyProgress::NeedMore,
                Step::Malformed(why) => BodyProgress::Malformed(why),
            },
        }
    }

    pub(super) fn finish(self, ctx: &mut Context<'_>, input: &Input<'_>, at: usize, end: &End) {
        let bytes = input.rest(at);
        let (body, after) = bytes.split_at(end.body.min(bytes.len()));
        let trailer_bytes = after.get(..end.trailers).unwrap_or_default();
        ctx.shared.shown.heads += trailer_bytes.len() as u64;
        let lines = memchr::memchr_iter(b'\n', trailer_bytes).count();
        let mut headers = vec![httparse::EMPTY_HEADER; lines];
        let (trailers, cut) = match httparse::parse_headers(trailer_bytes, &mut headers) {
            _ if trailer_bytes.len() <= 2 => (Vec::new(), None),
            Ok(httparse::Status::Complete((_, headers))) => {
                let field = |header: &httparse::Header<'_>| Field {
                    name: header.name.as_bytes().to_vec().into(),
                    value: header.value.to_vec().into(),
                };
                (headers.iter().map(field).collect(), None)
            }
            _ => (Vec::new(), Some("the trailer fields are malformed")),
        };
        self.message.finish(ctx, input.mark_at(at), body, &trailers, cut);
    }

    /// Goes on after missing bytes, if they lie within the body.
    pub(super) fn skip(&mut self, len: u64) -> bool {
        match &mut self.framing {
            Framing::Length(left) if *left >= len => {
                *left -= len;
                true
            }
            Framing::Length(_) => false,
            Framing::UntilClose => true,
            Framing::Chunked(chunked) => chunked.skip(len),
        }
    }
}
