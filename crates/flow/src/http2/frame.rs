//! Frames (RFC 9113 section 4): their headers, and how to recognise a run of them.

pub(super) const HEADER_LEN: usize = 9;

/// What a peer may send until it is allowed more.
const DEFAULT_MAX_LEN: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    Other,
}

/// By type code: the kind, the flags that mean something, if it belongs to a stream, and the lengths
/// that it may have.
const KINDS: [(Kind, u8, Owner, Length); 10] = [
    (Kind::Data, PADDED | END_STREAM, Owner::Stream, Length::Any),
    (Kind::Headers, PADDED | END_STREAM | END_HEADERS | PRIORITY, Owner::Stream, Length::Any),
    (Kind::Priority, 0, Owner::Stream, Length::Exactly(5)),
    (Kind::RstStream, 0, Owner::Stream, Length::Exactly(4)),
    (Kind::Settings, ACK, Owner::Connection, Length::Multiple(6)),
    (Kind::PushPromise, PADDED | END_HEADERS, Owner::Stream, Length::Any),
    (Kind::Ping, ACK, Owner::Connection, Length::Exactly(8)),
    (Kind::GoAway, 0, Owner::Connection, Length::AtLeast(8)),
    (Kind::WindowUpdate, 0, Owner::Either, Length::Exactly(4)),
    (Kind::Continuation, END_HEADERS, Owner::Stream, Length::Any),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Stream,
    Connection,
    Either,
}

#[derive(Debug, Clone, Copy)]
enum Length {
    Any,
    Exactly(usize),
    AtLeast(usize),
    Multiple(usize),
}

impl Length {
    fn allows(self, len: usize) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(exactly) => len == exactly,
            Self::AtLeast(least) => len >= least,
            Self::Multiple(factor) => len.is_multiple_of(factor),
        }
    }
}

pub(super) const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) len: usize,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [l0, l1, l2, code, flags, s0, s1, s2, s3] = *bytes.first_chunk::<HEADER_LEN>()?;
        let kind = KINDS.get(code as usize).map_or(Kind::Other, |(kind, ..)| *kind);
        let len = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
        Some(Self { len, kind, flags, stream })
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Which rule about its length or stream it breaks.
    pub(super) fn violation(&self) -> Option<&'static str> {
        let (_, _, owner, length) = KINDS.iter().find(|(kind, ..)| *kind == self.kind)?;
        if !length.allows(self.len) {
            return Some("a frame has the wrong length");
        }
        let belongs = match owner {
            Owner::Stream => self.stream != 0,
            Owner::Connection => self.stream == 0,
            Owner::Either => true,
        };
        (!belongs).then_some("a frame belongs to the wrong stream")
    }

    /// True if a frame in the middle of a connection may well look like this.
    fn is_likely(&self, bytes: &[u8]) -> bool {
        const HIGHEST_STREAM: u32 = 1 << 24;
        let known = KINDS.iter().find(|(kind, ..)| *kind == self.kind);
        known.is_some_and(|(_, flags, ..)| self.flags & !flags == 0)
            && self.violation().is_none()
            && self.len <= DEFAULT_MAX_LEN
            && self.stream < HIGHEST_STREAM
            && bytes.get(5).is_some_and(|byte| byte & 0x80 == 0)
    }
}

/// True if `bytes`, from the beginning of a library call, are very likely a run of frames.
///
/// Nine bytes of which most are free would be little evidence; so either the frames fill the call,
/// or a frame that is larger than it carries a header block or data.
pub(crate) fn is_likely_run(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut whole = 0;
    loop {
        let Some(header) = Header::parse(rest) else {
            return whole > 0 && rest.is_empty();
        };
        if !header.is_likely(rest) {
            return false;
        }
        let Some(after) = rest.get(HEADER_LEN + header.len..) else {
            let carries = matches!(header.kind, Kind::Data | Kind::Headers) && header.len > 0;
            return whole > 0 || carries;
        };
        // Empty data frames are what zeros look like.
        if header.len > 0 || header.kind == Kind::Settings {
            whole += 1;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: &[u8] = b"\0\0\x04\x08\0\0\0\0\x03\0\0\x10\0";

    #[test]
    fn a_run_of_frames_is_recognised() {
        assert!(is_likely_run(WINDOW));
        assert!(is_likely_run(&[WINDOW, WINDOW].concat()));
        assert!(is_likely_run(&[WINDOW, b"\0\x10\0\0\0\0\0\0\x03abc"].concat()));
        assert!(is_likely_run(b"\0\x10\0\0\0\0\0\0\x03"));
    }

    #[test]
    fn other_binary_data_are_not() {
        for bytes in [
            b"".as_slice(),
            b"\0",
            &[0; 64],
            &WINDOW[..9],
            &[WINDOW, b"\0\0\0\0"].concat(),
            b"\0\0\x04\x08\0\0\0\0\0\x03\0\0\x10\0\x01",
            b"\0\0\0\x24\0\x12\0\x04\0\0\0\x01\0\x06client",
            b"\x4a\0\0\0\x0a5.7.40\0",
            b"\0\0\x02\0\x80\0\0\0\x01ab",
        ] {
            assert!(!is_likely_run(bytes), "{bytes:?}");
        }
    }
}
