//! What the flow makes of the events: one record is one thing to show.

use crate::{Body, Connection, Direction, Hole, Timestamp};
use std::borrow::Cow;
use std::time::Duration;

/// One thing to show.
#[derive(Debug)]
pub struct Record<'a> {
    /// When its first byte crossed the library's border.
    pub ts: Timestamp,
    /// The connection it belongs to, as known now.
    pub conn: &'a Connection,
    /// The thread whose call brought the first byte.
    pub tid: u32,
    /// Which way it went.
    pub dir: Direction,
    /// What it is.
    pub content: Content<'a>,
}

/// What a record holds.
#[derive(Debug)]
pub enum Content<'a> {
    /// Plaintext that is not parsed.
    Data(Data<'a>),
    /// A whole HTTP message, or the head of one whose body follows in parts.
    Http(HttpMessage<'a>),
    /// A part of the body of an HTTP message whose head was shown before.
    BodyPart(BodyPart<'a>),
    /// A WebSocket message after an HTTP upgrade.
    WebSocket(WebSocketMessage<'a>),
    /// One event of a `text/event-stream` body.
    ServerSentEvent(ServerSentEvent<'a>),
    /// Bytes that cannot be shown.
    Hole(Hole),
}

/// Unparsed plaintext.
#[derive(Debug)]
pub struct Data<'a> {
    /// Position of the first byte in this direction of the connection.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Why it is not parsed, if parsing was asked for and tried.
    pub unparsed: Option<Unparsed>,
}

/// Why bytes of a stream are shown raw although parsing is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unparsed {
    /// The stream is in no protocol that is known here.
    UnknownProtocol,
    /// The stream broke a rule of its protocol.
    Malformed(&'static str),
    /// The stream's beginning, or a part of it, was not seen.
    Incomplete(&'static str),
}

/// The version of an HTTP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl HttpVersion {
    /// As in a start line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// A header or trailer field; values are bytes and may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// As sent (HTTP/1) or lower case (HTTP/2).
    pub name: Cow<'a, [u8]>,
    /// Without surrounding white space.
    pub value: Cow<'a, [u8]>,
}

/// The first line of a request, or what stands for it in HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// `GET`, …
    pub method: Cow<'a, [u8]>,
    /// The request target as sent: usually a path and query.
    pub target: Cow<'a, [u8]>,
    /// HTTP/2's `:authority`, or HTTP/1's `Host`.
    pub authority: Option<Cow<'a, [u8]>>,
}

/// Method and target of a request that a response answers.
pub type Answered<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The first line of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusLine<'a> {
    /// Three digits.
    pub status: u16,
    /// The reason phrase; empty in HTTP/2.
    pub reason: Cow<'a, [u8]>,
    /// Method and target of the request that it answers, if that was seen.
    pub answers: Option<Answered<'a>>,
    /// From the request's first byte to the response's first byte, if the request was seen.
    pub latency: Option<Duration>,
}

/// How a message starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request.
    Request(RequestLine<'a>),
    /// A response.
    Response(StatusLine<'a>),
}

/// An HTTP message, or its head.
#[derive(Debug)]
pub struct HttpMessage<'a> {
    /// The protocol version.
    pub version: HttpVersion,
    /// The HTTP/2 stream.
    pub stream: Option<u32>,
    /// Pairs a request with its response(s) within the connection; counts from 1.
    pub exchange: u64,
    /// Request or response.
    pub start: Start<'a>,
    /// All header fields in order, pseudo-header fields excluded.
    pub headers: &'a [Field<'a>],
    /// Trailer fields.
    pub trailers: &'a [Field<'a>],
    /// The body without transfer coding, content codings removed as `coding` says. Empty if it
    /// follows in parts.
    pub body: Body<'a>,
    /// What was done about the body's content coding.
    pub coding: BodyCoding,
    /// Length in bytes of the body as transferred, before content codings were removed.
    pub encoded_len: u64,
    /// When its last byte crossed the library's border; of a head whose body follows, the head's.
    pub ended: Timestamp,
    /// Whether all of the message is here.
    pub completeness: Completeness,
}

/// What was done about a body's content coding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyCoding {
    /// It had none.
    Identity,
    /// It was decoded; the codings as named by the message.
    Decoded(String),
    /// It is shown as sent: the codings and why they could not be removed.
    Encoded(String, &'static str),
}

/// Whether all of a message is in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// Yes.
    Whole,
    /// This is the head; the body follows in [`BodyPart`]s or [`ServerSentEvent`]s, because it is a
    /// stream or too large to hold.
    BodyFollows,
    /// It ended early; this is what was seen, and why there is no more.
    Truncated(&'static str),
}

/// A part of a body that is shown as it comes.
#[derive(Debug)]
pub struct BodyPart<'a> {
    /// The exchange of the head.
    pub exchange: u64,
    /// The HTTP/2 stream.
    pub stream: Option<u32>,
    /// True for a request's body, false for a response's.
    pub of_request: bool,
    /// Position of the first byte in the (decoded) body.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
    /// True on the last part, which may be empty.
    pub last: bool,
    /// Trailer fields, on the last part.
    pub trailers: &'a [Field<'a>],
    /// As in [`HttpMessage::coding`].
    pub coding: BodyCoding,
    /// Set on the last part if the body ended early.
    pub truncated: Option<&'static str>,
}

/// What a WebSocket message is (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebSocketMessageKind {
    /// Text, opcode 1.
    Text,
    /// Binary, opcode 2.
    Binary,
    /// Close, opcode 8.
    Close,
    /// Ping, opcode 9.
    Ping,
    /// Pong, opcode 10.
    Pong,
}

impl WebSocketMessageKind {
    /// The word used in every output format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        }
    }
}

/// A WebSocket message, unmasked and, if `permessage-deflate` was agreed, inflated.
#[derive(Debug)]
pub struct WebSocketMessage<'a> {
    /// What it is.
    pub kind: WebSocketMessageKind,
    /// The payload.
    pub payload: &'a [u8],
    /// False if this is a fragment of a message that is too large to hold, and more follow.
    pub last: bool,
    /// Set if the payload is still compressed or cut, and why.
    pub note: Option<&'static str>,
}

/// One event of an event stream (WHATWG HTML, section 9.2).
#[derive(Debug)]
pub struct ServerSentEvent<'a> {
    /// The exchange of the response.
    pub exchange: u64,
    /// The HTTP/2 stream.
    pub stream: Option<u32>,
    /// The event's lines as sent, without the blank line that ends it.
    pub raw: &'a [u8],
    /// The `event` field.
    pub event: Option<&'a [u8]>,
    /// The `id` field.
    pub id: Option<&'a [u8]>,
    /// The `data` fields joined by line feeds.
    pub data: &'a [u8],
}
