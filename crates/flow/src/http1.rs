//! HTTP/1.x (RFC 9110, RFC 9112): both directions of a connection.

mod chunked;
mod framing;
mod head;
mod incoming;
mod pairing;

use crate::context::{Context, Input, Mark};
use crate::detect::{self, Verdict};
use crate::head::{StartLine, list};
use crate::http2::Http2;
use crate::message::{Message, Meta, Presentation};
use crate::protocol::{Ending, Fed, Protocol};
use crate::undetected::Undetected;
use crate::websocket::WebSocket;
use event::{Direction, Hole, Timestamp, Unparsed};
use framing::Framing;
use head::{Facts, Parsed};
use incoming::{BodyProgress, Incoming, looks_like_response};
use pairing::Pairing;

const MIDWAY: Unparsed = Unparsed::Incomplete("the beginning of the message was not seen");

/// One connection.
#[derive(Debug)]
pub(crate) struct Http1 {
    request_dir: Direction,
    requests: Side,
    responses: Side,
    pairing: Pairing,
}

/// One direction.
#[derive(Debug)]
struct Side {
    state: State,
    /// How much of an incomplete head was there when it was last parsed.
    parsed: usize,
}

#[derive(Debug)]
enum State {
    /// A message begins here.
    Start,
    Body(Box<Incoming>),
    /// No message is recognised until a call begins with one.
    Lost(Unparsed),
}

/// What came of one attempt to go on.
enum Progress {
    /// So many bytes are done with.
    Consumed(usize),
    NeedMore,
    /// So many bytes are done with, and then the connection speaks something else.
    Becomes(usize, Protocol),
    Malformed(&'static str),
}

impl Http1 {
    /// `fresh` says of requests and responses if their beginning is still to come.
    pub(crate) fn new(request_dir: Direction, fresh: [bool; 2]) -> Self {
        let side = |fresh| Side {
            state: if fresh { State::Start } else { State::Lost(MIDWAY) },
            parsed: 0,
        };
        let [requests, responses] = fresh.map(side);
        Self { request_dir, requests, responses, pairing: Pairing::default() }
    }

    pub(crate) fn request_direction(&self) -> Direction {
        self.request_dir
    }

    fn side(&mut self, dir: Direction) -> &mut Side {
        if dir == self.request_dir { &mut self.requests } else { &mut self.responses }
    }

    pub(crate) fn feed(&mut self, ctx: &mut Context<'_>, input: &Input<'_>) -> Fed {
        let mut at = 0;
        while at < input.bytes.len() {
            match self.go_on(ctx, input, at) {
                Progress::Consumed(len) => at += len,
                Progress::NeedMore => break,
                Progress::Becomes(len, protocol) => {
                    return Fed { consumed: at + len, becomes: Some(protocol) };
                }
                Progress::Malformed(why) => {
                    if input.dir != self.request_dir {
                        self.pairing.responses_lost();
                    }
                    self.side(input.dir).state = State::Lost(Unparsed::Malformed(why));
                    // What follows must not be taken for the beginning of a call.
                    at += self.lost(ctx, input, at, Unparsed::Malformed(why));
                }
            }
        }
        Fed::consumed(at)
    }

    fn go_on(&mut self, ctx: &mut Context<'_>, input: &Input<'_>, at: usize) -> Progress {
        let of_request = input.dir == self.request_dir;
        let side = self.side(input.dir);
        match &mut side.state {
            State::Start => self.start(ctx, input, at),
            State::Body(incoming) => match incoming.go_on(ctx, input, at) {
                BodyProgress::Consumed(len) => Progress::Consumed(len),
                BodyProgress::NeedMore => Progress::NeedMore,
                BodyProgress::End(end) => {
                    if let State::Body(incoming) = std::mem::replace(&mut side.state, State::Start)
                    {
                        incoming.finish(ctx, input, at, &end);
                    }
                    Progress::Consumed(end.body + end.trailers)
                }
                BodyProgress::Malformed(why) => {
                    if let State::Body(incoming) = std::mem::replace(&mut side.state, State::Start)
                    {
                        incoming.message.finish(ctx, input.mark_at(at), &[], &[], Some(why));
                    }
                    Progress::Malformed(why)
                }
            },
            State::Lost(why) => {
                let begins = if of_request { detect::request_line } else { detect::status_line };
                if at == 0 && input.call_start && begins(input.bytes) == Verdict::Yes {
                    side.state = State::Start;
                    return Progress::Consumed(0);
                }
                let why = *why;
                Progress::Consumed(self.lost(ctx, input, at, why))
            }
        }
    }

    /// Shows the rest as it is.
    fn lost(
        &mut self,
        ctx: &mut Context<'_>,
        input: &Input<'_>,
        at: usize,
        why: Unparsed,
    ) -> usize {
        self.side(input.dir).parsed = 0;
        input.raw_from(at, ctx, why);
        input.rest(at).len()
    }

    /// Parses the head of a message, and shows the message if it is complete.
    fn start(&mut self, ctx: &mut Context<'_>, input: &Input<'_>, at: usize) -> Progress {
        let of_request = input.dir == self.request_dir;
        let bytes = input.rest(at);
        let parsed_before = if at == 0 { self.side(input.dir).parsed } else { 0 };
        if parsed_before > 0 && !worth_parsing(bytes, parsed_before) {
            return Progress::NeedMore;
        }
        match head::parse(bytes, of_request, ctx.take_fields()) {
            Parsed::Partial if bytes.len() > ctx.options.head_limit => {
                Progress::Malformed("the head is too large")
            }
            Parsed::Partial => {
                self.side(input.dir).parsed = bytes.len();
                Progress::NeedMore
            }
            Parsed::Malformed(why) => Progress::Malformed(why),
            Parsed::Head { len, version, start, fields } => {
                self.side(input.dir).parsed = 0;
                let facts = Facts::of(&fields);
                let head = head::with_authority(version, start, &fields, facts.host);
                let place = Place { input, at, len };
                let progress = match head.start {
                    StartLine::Request { method, target, .. } => {
                        self.request(ctx, &place, &head, facts, method, target)
                    }
                    StartLine::Response { status, .. } => {
                        self.response(ctx, &place, &head, facts, status)
                    }
                };
                ctx.give_back(fields);
                progress
            }
        }
    }

    fn request(
        &mut self,
        ctx: &mut Context<'_>,
        place: &Place<'_>,
        head: &crate::head::Head<'_>,
        facts: Facts<'_>,
        method: &[u8],
        target: &[u8],
    ) -> Progress {
        let framing = match framing::of_request(&facts) {
            Ok(framing) => framing,
            Err(why) => return Progress::Malformed(why),
        };
        let mark = place.mark();
        let exchange = self.pairing.ask(mark.ts, method, target, || ctx.next_exchange());
        let meta = Meta {
            mark,
            dir: place.input.dir,
            exchange,
            stream: None,
            of_request: true,
            answers: None,
            latency: None,
        };
        Progress::Consumed(self.body(ctx, place, head, facts, framing, meta, false))
    }

    fn response(
        &mut self,
        ctx: &mut Context<'_>,
        place: &Place<'_>,
        head: &crate::head::Head<'_>,
        facts: Facts<'_>,
        status: u16,
    ) -> Progress {
        let asked = self.pairing.first();
        let method = asked.map(pairing::Outstanding::method);
        let connected = method == Some(b"CONNECT") && matches!(status, 200..=299);
        let bodiless = connected || method == Some(b"HEAD");
        let framing = match framing::of_response(status, bodiless, &facts) {
            Ok(framing) => framing,
            Err(why) => return Progress::Malformed(why),
        };
        let mark = place.mark();
        let unasked = asked.is_none();
        let upgrade = (status == 101).then(|| Upgrade::of(&facts));
        let interim = matches!(status, 100..=199) && status != 101;
        let (exchange, latency, answers) = if interim {
            let of_asked = asked.map(|asked| (asked.exchange, Some(asked.latency(mark.ts))));
            let (exchange, latency) = of_asked.unwrap_or((*ctx.exchanges + 1, None));
            (exchange, latency, None)
        } else if let Some(asked) = self.pairing.answer() {
            (asked.exchange, Some(asked.latency(mark.ts)), Some(asked.asked))
        } else {
            let exchange = ctx.next_exchange();
            self.pairing.orphan(mark.ts, exchange);
            (exchange, None, None)
        };
        let becomes = match upgrade {
            Some(Upgrade::WebSocket(extensions)) => {
                let websocket = WebSocket::new(self.request_dir, &extensions);
                Some(Protocol::WebSocket(Box::new(websocket)))
            }
            Some(Upgrade::Http2) => {
                let asked = answers.as_ref().zip(latency).map(|(asked, latency)| {
                    let began = mark.ts.0.saturating_sub(latency.as_nanos() as u64);
                    (asked.clone(), Timestamp(began))
                });
                let cap = ctx.options.head_limit;
                let http2 = Http2::upgraded(self.request_dir, cap, exchange, asked);
                Some(Protocol::Http2(Box::new(http2)))
            }
            Some(Upgrade::Other) => Some(Protocol::Undetected(Undetected::from_the_beginning())),
            None if connected => Some(Protocol::Undetected(Undetected::from_the_beginning())),
            None => None,
        };
        let dir = place.input.dir;
        let meta = Meta { mark, dir, exchange, stream: None, of_request: false, answers, latency };
        let consumed = self.body(ctx, place, head, facts, framing, meta, unasked);
        match becomes {
            Some(protocol) => Progress::Becomes(consumed, protocol),
            None => Progress::Consumed(consumed),
        }
    }

    /// Begins the message's body, or shows the message if it is complete in this input. Gives back
    /// how much was consumed from the start of the head on.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the message")]
    fn body(
        &mut self,
        ctx: &mut Context<'_>,
        place: &Place<'_>,
        head: &crate::head::Head<'_>,
        facts: Facts<'_>,
        framing: Framing,
        meta: Meta,
        may_be_bodiless: bool,
    ) -> usize {
        ctx.shared.shown.heads += place.len as u64;
        let len = match framing {
            Framing::Length(len) => Some(len),
            Framing::Chunked(_) | Framing::UntilClose => None,
        };
        let presentation = Presentation::of(facts.content_type, len, ctx.options.body_limit);
        let after = place.input.rest(place.at + place.len);
        let complete = match len.and_then(|len| usize::try_from(len).ok()) {
            Some(0) => Some(&[][..]),
            Some(len) if presentation == Presentation::Whole => {
                let looks_bodiless = may_be_bodiless && looks_like_response(after);
                after.get(..len).filter(|_| !looks_bodiless)
            }
            _ => None,
        };
        if let Some(body) = complete {
            let meta = Message::complete(ctx, meta, head, facts.codings, body);
            self.pairing.recycle(meta.and_then(|meta| meta.answers));
            return place.len + body.len();
        }
        let message = Message::begin(ctx, meta, head, facts.codings, presentation);
        let incoming = Incoming { message, framing, may_be_bodiless };
        self.side(place.input.dir).state = State::Body(Box::new(incoming));
        place.len
    }

    pub(crate) fn hole(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, hole: Hole) {
        let of_request = hole.dir == self.request_dir;
        let side = self.side(hole.dir);
        side.parsed = 0;
        let missing = Unparsed::Incomplete("bytes before this are missing");
        let lost = match std::mem::replace(&mut side.state, State::Lost(missing)) {
            State::Start | State::Lost(_) => {
                pending.raw_from(0, ctx, Unparsed::Incomplete("bytes after this are missing"));
                ctx.hole(hole);
                true
            }
            State::Body(mut incoming) => {
                // What is pending inside a body only separates its chunks.
                ctx.shared.shown.framing += pending.bytes.len() as u64;
                incoming.message.hole(ctx, hole);
                let within = pending.bytes.is_empty() && incoming.skip(hole.len);
                if within && incoming.framing != Framing::Length(0) {
                    side.state = State::Body(incoming);
                } else {
                    side.state = if within { State::Start } else { State::Lost(missing) };
                    let mark = Mark { ts: hole.ts, tid: hole.tid };
                    let cut = (!within).then_some("the rest of the body is missing");
                    incoming.message.finish(ctx, mark, &[], &[], cut);
                }
                !within
            }
        };
        if lost && !of_request {
            self.pairing.responses_lost();
        }
    }

    pub(crate) fn end(&mut self, ctx: &mut Context<'_>, pending: &Input<'_>, ending: Ending) {
        let side = self.side(pending.dir);
        side.parsed = 0;
        let state = std::mem::replace(&mut side.state, State::Lost(MIDWAY));
        let State::Body(incoming) = state else {
            pending.raw_from(0, ctx, Unparsed::Incomplete(ending.why()));
            return;
        };
        ctx.shared.shown.framing += pending.bytes.len() as u64;
        let complete = ending == Ending::Closed && incoming.framing == Framing::UntilClose;
        let cut = (!complete).then(|| ending.why());
        let mark = incoming.message.mark();
        incoming.message.finish(ctx, mark, &[], &[], cut);
    }

    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>, dir: Direction, now: Timestamp) {
        if let State::Body(incoming) = &mut self.side(dir).state
            && now.since(incoming.message.began()) >= ctx.options.stream_after
        {
            incoming.message.release(ctx);
        }
    }

    pub(crate) fn wants_tick(&self, dir: Direction) -> bool {
        let side = if dir == self.request_dir { &self.requests } else { &self.responses };
        matches!(&side.state, State::Body(incoming) if incoming.message.is_held_back())
    }

    pub(crate) fn held(&self) -> usize {
        let of = |side: &Side| match &side.state {
            State::Body(incoming) => incoming.message.held(),
            State::Start | State::Lost(_) => 0,
        };
        of(&self.requests) + of(&self.responses) + self.pairing.held()
    }
}

/// Where a head lies.
struct Place<'a> {
    input: &'a Input<'a>,
    at: usize,
    len: usize,
}

impl Place<'_> {
    fn mark(&self) -> Mark {
        self.input.mark_at(self.at)
    }
}

/// True if the head may be complete now, or has grown so much that it is worth looking for errors:
/// parsing it with each byte that comes would take quadratic time.
fn worth_parsing(bytes: &[u8], parsed: usize) -> bool {
    let new = bytes.get(parsed.saturating_sub(2)..).unwrap_or_default();
    let blank_line = memchr::memchr_iter(b'\n', new)
        .any(|at| matches!(new.get(at + 1..), Some([b'\n', ..] | [b'\r', b'\n', ..])));
    blank_line || bytes.len() / 2 >= parsed
}

/// What a `101` response switches to.
enum Upgrade {
    /// With the extensions that were agreed.
    WebSocket(Vec<u8>),
    Http2,
    Other,
}

impl Upgrade {
    fn of(facts: &Facts<'_>) -> Self {
        let names = |protocol: &[u8]| {
            facts.upgrade.is_some_and(|upgrade| {
                list(upgrade).any(|member| member.eq_ignore_ascii_case(protocol))
            })
        };
        if names(b"websocket") {
            Self::WebSocket(facts.websocket_extensions.clone())
        } else if names(b"h2c") {
            Self::Http2
        } else {
            Self::Other
        }
    }
}
