//! What every format says alike of a record's content: its kind and its length.

use event::{Content, Start, Unparsed, WebSocketMessage, WebSocketMessageKind};

/// The word for the kind of a record.
pub(crate) fn kind(content: &Content<'_>) -> &'static str {
    match content {
        Content::Data(_) => "data",
        Content::Http(message) => match message.start {
            Start::Request(_) => "http_request",
            Start::Response(_) => "http_response",
        },
        Content::BodyPart(_) => "http_body",
        Content::WebSocket(_) => "websocket",
        Content::ServerSentEvent(_) => "sse",
        Content::Hole(_) => "hole",
    }
}

/// The true length in bytes of what the record carries, whether or not it is cut for display.
pub(crate) fn payload_len(content: &Content<'_>) -> u64 {
    let len = match content {
        Content::Data(data) => data.bytes.len(),
        Content::Http(message) => message.body.len(),
        Content::BodyPart(part) => part.bytes.len(),
        Content::WebSocket(message) => message.payload.len(),
        Content::ServerSentEvent(event) => event.data.len(),
        Content::Hole(hole) => return hole.len,
    };
    len as u64
}

/// The word for why a stream is shown raw, and the detail if there is one.
pub(crate) fn unparsed_reason(why: Unparsed) -> (&'static str, Option<&'static str>) {
    match why {
        Unparsed::UnknownProtocol => ("unknown protocol", None),
        Unparsed::Malformed(detail) => ("malformed", Some(detail)),
        Unparsed::Incomplete(detail) => ("incomplete", Some(detail)),
    }
}

/// Why a WebSocket is closed: the number before the reason in a close message's payload (RFC 6455
/// section 5.5.1).
pub(crate) fn close_code(message: &WebSocketMessage<'_>) -> Option<u16> {
    let code = message.payload.first_chunk()?;
    (message.kind == WebSocketMessageKind::Close).then(|| u16::from_be_bytes(*code))
}
