//! The head of an HTTP/1 message, and the fields in it that decide what follows.

use crate::coding::Codings;
use crate::head::{Head, StartLine, list, token};
use event::{Field, HttpVersion};
use httparse::{Header, ParserConfig, Request, Response, Status};
use std::mem::MaybeUninit;

/// Heads with more fields than this take a second attempt, with room on the heap.
const USUAL_FIELDS: usize = 64;
const MOST_FIELDS: usize = 8192;

/// What came of the bytes at the place of a head.
pub(super) enum Parsed<'a> {
    Head { len: usize, version: HttpVersion, start: StartLine<'a>, fields: Vec<Field<'a>> },
    Partial,
    Malformed(&'static str),
}

/// Parses a request's or a response's head; `fields` is the vector to use.
pub(super) fn parse<'a>(
    bytes: &'a [u8],
    of_request: bool,
    mut fields: Vec<Field<'a>>,
) -> Parsed<'a> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
    let mut result = parse_into(bytes, of_request, &mut usual, &mut fields);
    if matches!(result, Err(httparse::Error::TooManyHeaders)) {
        let mut many: Vec<MaybeUninit<Header<'a>>> = Vec::new();
        many.resize_with(MOST_FIELDS, MaybeUninit::uninit);
        result = parse_into(bytes, of_request, &mut many, &mut fields);
    }
    match result {
        Ok(Status::Complete((len, version, start))) => {
            let version = if version == 0 { HttpVersion::Http10 } else { HttpVersion::Http11 };
            Parsed::Head { len, version, start, fields }
        }
        Ok(Status::Partial) => Parsed::Partial,
        Err(error) => Parsed::Malformed(describe(error)),
    }
}

type Found<'a> = (usize, u8, StartLine<'a>);

fn parse_into<'a>(
    bytes: &'a [u8],
    of_request: bool,
    headers: &mut [MaybeUninit<Header<'a>>],
    fields: &mut Vec<Field<'a>>,
) -> Result<Status<Found<'a>>, httparse::Error> {
    let mut config = ParserConfig::default();
    config
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true);
    let mut keep = |headers: &[Header<'a>]| {
        fields.extend(headers.iter().map(|header| Field {
            name: header.name.as_bytes().into(),
            value: header.value.into(),
        }));
    };
    if of_request {
        let mut request = Request::new(&mut []);
        let status = config.parse_request_with_uninit_headers(&mut request, bytes, headers)?;
        let Status::Complete(len) = status else { return Ok(Status::Partial) };
        let method = request.method.unwrap_or_default().as_bytes();
        let target = request.path.unwrap_or_default().as_bytes();
        let version = request.version.unwrap_or(1);
        keep(request.headers);
        let start = StartLine::Request { method, target, authority: None };
        Ok(Status::Complete((len, version, start)))
    } else {
        let mut response = Response::new(&mut []);
        let status = config.parse_response_with_uninit_headers(&mut response, bytes, headers)?;
        let Status::Complete(len) = status else { return Ok(Status::Partial) };
        let status = response.code.unwrap_or_default();
        let reason = response.reason.unwrap_or_default().as_bytes();
        let version = response.version.unwrap_or(1);
        keep(response.headers);
        Ok(Status::Complete((len, version, StartLine::Response { status, reason })))
    }
}

fn describe(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a header field's name is malformed",
        httparse::Error::HeaderValue => "a header field's value is malformed",
        httparse::Error::NewLine => "a line of the head ends wrongly",
        httparse::Error::Status => "the status line is malformed",
        httparse::Error::Token => "the request line is malformed",
        httparse::Error::TooManyHeaders => "the head has too many fields",
        httparse::Error::Version => "the HTTP version is malformed",
    }
}

/// What a head says about the body and about what comes after it.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    pub(super) content_length: Option<u64>,
    pub(super) length_malformed: bool,
    /// There is a `Transfer-Encoding`, and its last member is `chunked` or not.
    pub(super) transfer_coded: Option<LastCoding>,
    pub(super) codings: Codings,
    pub(super) content_type: &'a [u8],
    pub(super) upgrade: Option<&'a [u8]>,
    pub(super) websocket_extensions: Vec<u8>,
    pub(super) host: Option<&'a [u8]>,
}

/// The coding that was applied last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastCoding {
    Chunked,
    Other,
}

/// The field names that matter here; the order is that of [`Facts::of`]'s match.
impl<'a> Facts<'a> {
    pub(super) fn of(fields: &'a [Field<'_>]) -> Self {
        let mut facts = Self::default();
        let mut transfer = Codings::default();
        for field in fields {
            let is = |name: &[u8]| field.name.eq_ignore_ascii_case(name);
            // The length comes first because it is cheap to compare.
            match field.name.len() {
                4 if is(b"host") => facts.host = facts.host.or(Some(&field.value)),
                7 if is(b"upgrade") => facts.upgrade = Some(&field.value),
                12 if is(b"content-type") => facts.content_type = &field.value,
                14 if is(b"content-length") => facts.add_length(&field.value),
                16 if is(b"content-encoding") => facts.codings.add(&field.value),
                17 if is(b"transfer-encoding") => {
                    transfer.add(&field.value);
                    let last = list(&field.value).next_back().map(token).unwrap_or_default();
                    let chunked = last.eq_ignore_ascii_case(b"chunked");
                    let last = if chunked { LastCoding::Chunked } else { LastCoding::Other };
                    facts.transfer_coded = Some(last);
                }
                24 if is(b"sec-websocket-extensions") => {
                    facts.websocket_extensions.extend_from_slice(&field.value);
                    facts.websocket_extensions.push(b',');
                }
                _ => {}
            }
        }
        if !transfer.is_empty() {
            facts.codings.add(transfer.names().as_bytes());
        }
        facts
    }

    /// A list of equal values counts as one (RFC 9112 section 6.3).
    fn add_length(&mut self, value: &[u8]) {
        for member in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            match decimal(member) {
                Some(len) if self.content_length.is_none_or(|known| known == len) => {
                    self.content_length = Some(len);
                }
                _ => self.length_malformed = true,
            }
        }
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The head with the authority that its fields name.
pub(super) fn with_authority<'a>(
    version: HttpVersion,
    start: StartLine<'a>,
    fields: &'a [Field<'a>],
    host: Option<&'a [u8]>,
) -> Head<'a> {
    let start = match start {
        StartLine::Request { method, target, .. } => {
            StartLine::Request { method, target, authority: host }
        }
        response @ StartLine::Response { .. } => response,
    };
    Head { version, start, fields }
}
