//! Header blocks: put together from their frames, and what their fields mean.

use super::frame::{self, Header, Kind};
use super::hpack::FieldList;
use super::stream::REQUEST;
use crate::coding::Codings;
use crate::context::Mark;
use crate::head::StartLine;
use crate::message::Presentation;
use event::Field;
use std::borrow::Cow;

/// A header block in more frames than this is an attack (a "CONTINUATION flood").
const MOST_CONTINUATIONS: usize = 128;

/// A header block with everything that its frames say.
#[derive(Debug, Clone)]
pub(super) struct Block<'a> {
    pub(super) stream: u32,
    /// The stream that a `PUSH_PROMISE` promises.
    pub(super) promised: Option<u32>,
    pub(super) end_stream: bool,
    pub(super) mark: Mark,
    pub(super) bytes: Cow<'a, [u8]>,
    /// Length of all its frames.
    pub(super) total: usize,
}

impl<'a> Block<'a> {
    /// Puts together the block whose first frame is at the beginning of `bytes`; `None` if it is
    /// not all there. Nothing may come between its frames (RFC 9113 section 4.3), so they are one
    /// unit.
    pub(super) fn assemble(
        header: &Header,
        bytes: &'a [u8],
        mark: Mark,
        limit: usize,
    ) -> Result<Option<Self>, &'static str> {
        let mut total = frame::HEADER_LEN + header.len;
        let Some(payload) = bytes.get(frame::HEADER_LEN..total) else { return Ok(None) };
        let first = fragment(header, payload)?;
        let mut joined = Cow::Borrowed(first.bytes);
        let mut ended = header.has(frame::END_HEADERS);
        let mut continuations = 0;
        while !ended {
            let rest = bytes.get(total..).unwrap_or_default();
            let Some(next) = Header::parse(rest) else { return Ok(None) };
            if next.kind != Kind::Continuation || next.stream != header.stream {
                return Err("a header block is interrupted");
            }
            continuations += 1;
            total += frame::HEADER_LEN + next.len;
            if total > limit || continuations > MOST_CONTINUATIONS {
                return Err("a header block is too large");
            }
            let Some(more) = rest.get(frame::HEADER_LEN..frame::HEADER_LEN + next.len) else {
                return Ok(None);
            };
            joined.to_mut().extend_from_slice(more);
            ended = next.has(frame::END_HEADERS);
        }
        Ok(Some(Self {
            stream: header.stream,
            promised: first.promised,
            end_stream: header.kind == Kind::Headers && header.has(frame::END_STREAM),
            mark,
            bytes: joined,
            total,
        }))
    }
}

/// The pseudo-header fields of a block.
#[derive(Debug, Default)]
pub(super) struct Pseudo<'a> {
    pub(super) method: Option<&'a [u8]>,
    pub(super) path: Option<&'a [u8]>,
    pub(super) authority: Option<&'a [u8]>,
    pub(super) protocol: Option<&'a [u8]>,
    pub(super) status: Option<u16>,
}

/// A frame's part of a header block.
struct Fragment<'a> {
    promised: Option<u32>,
    bytes: &'a [u8],
}

fn fragment<'a>(header: &Header, payload: &'a [u8]) -> Result<Fragment<'a>, &'static str> {
    const SHORT: &str = "a frame is too short for what its flags announce";
    let mut bytes = payload;
    let mut padding = 0;
    if header.has(frame::PADDED) {
        let (len, rest) = bytes.split_first().ok_or(SHORT)?;
        padding = usize::from(*len);
        bytes = rest;
    }
    let mut promised = None;
    if header.kind == Kind::PushPromise {
        let (id, rest) = bytes.split_first_chunk::<4>().ok_or(SHORT)?;
        promised = Some(u32::from_be_bytes(*id) & 0x7fff_ffff);
        bytes = rest;
    } else if header.has(frame::PRIORITY) {
        bytes = bytes.get(5..).ok_or(SHORT)?;
    }
    let len = bytes.len().checked_sub(padding).ok_or(SHORT)?;
    Ok(Fragment { promised, bytes: &bytes[..len] })
}

impl<'a> Pseudo<'a> {
    pub(super) fn of(list: &'a FieldList) -> Self {
        let mut pseudo = Self::default();
        for (name, value) in list.iter().filter(|(name, _)| name.starts_with(b":")) {
            match name {
                b":method" => pseudo.method = Some(value),
                b":path" => pseudo.path = Some(value),
                b":authority" => pseudo.authority = Some(value),
                b":protocol" => pseudo.protocol = Some(value),
                b":status" => {
                    let digits = std::str::from_utf8(value).ok();
                    pseudo.status = digits.and_then(|digits| digits.parse().ok()).or(Some(0));
                }
                _ => {}
            }
        }
        pseudo
    }

    /// What stands for a start line; `?` for what was sent before the capture began.
    pub(super) fn start(&self, side: usize) -> StartLine<'a> {
        if side == REQUEST {
            let authority = self.authority;
            let method = self.method.unwrap_or(b"?");
            // CONNECT has an authority and no path (RFC 9113 section 8.5).
            let target = self.path.or(authority.filter(|_| method == b"CONNECT"));
            StartLine::Request { method, target: target.unwrap_or(b"?"), authority }
        } else {
            StartLine::Response { status: self.status.unwrap_or(0), reason: &[] }
        }
    }
}

/// What the fields say about the body.
pub(super) fn body_facts(fields: &[Field<'_>], body_limit: usize) -> (Codings, Presentation) {
    let mut codings = Codings::default();
    let mut content_type: &[u8] = &[];
    let mut len = None;
    for field in fields {
        match &*field.name {
            b"content-encoding" => codings.add(&field.value),
            b"content-type" => content_type = &field.value,
            b"content-length" => {
                len = std::str::from_utf8(&field.value).ok().and_then(|len| len.parse().ok());
            }
            _ => {}
        }
    }
    (codings, Presentation::of(content_type, len, body_limit))
}
