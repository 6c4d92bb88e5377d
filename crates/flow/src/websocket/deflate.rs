//! The extension `permessage-deflate` (RFC 7692): what was agreed, and inflating a message.

use crate::coding::Expansion;
use crate::head::{list, token};
use flate2::{Decompress, FlushDecompress, Status};

/// What the two ends agreed on for one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreement {
    /// Each message is compressed on its own.
    pub(super) no_context_takeover: bool,
}

/// What a response's `Sec-WebSocket-Extensions` agree on for the client's and the server's messages.
pub(super) fn agreed(extensions: &[u8]) -> Option<[Agreement; 2]> {
    let member = list(extensions).find(|m| token(m).eq_ignore_ascii_case(b"permessage-deflate"))?;
    let has = |name: &[u8]| {
        member.split(|byte| *byte == b';').any(|part| part.trim_ascii().eq_ignore_ascii_case(name))
    };
    Some([
        Agreement { no_context_takeover: has(b"client_no_context_takeover") },
        Agreement { no_context_takeover: has(b"server_no_context_takeover") },
    ])
}

/// What every compressed message lost at its end (RFC 7692 section 7.2.1).
const TAIL: &[u8] = &[0, 0, 0xff, 0xff];

/// Inflates the messages of one direction.
pub(super) struct Inflater {
    inflate: Decompress,
    taken: u64,
    made: u64,
}

impl Inflater {
    /// What it takes at least: a window and tables.
    pub(super) const HELD: usize = 48 << 10;

    pub(super) fn new() -> Self {
        Self { inflate: Decompress::new(false), taken: 0, made: 0 }
    }

    /// Begins another message in the same context.
    pub(super) fn begin(&mut self) {
        self.taken = 0;
        self.made = 0;
    }

    /// Ends a message.
    pub(super) fn end(
        &mut self,
        expansion: Expansion,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), &'static str> {
        self.inflate(TAIL, expansion, sink)
    }

    pub(super) fn inflate(
        &mut self,
        mut input: &[u8],
        expansion: Expansion,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), &'static str> {
        self.taken += input.len() as u64;
        let limit = expansion.free.max(self.taken.saturating_mul(expansion.ratio));
        let mut output = [0; 8 << 10];
        loop {
            let (taken, made) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(input, &mut output, FlushDecompress::Sync)
                .map_err(|_| "the compressed message is malformed")?;
            let taken = (self.inflate.total_in() - taken) as usize;
            let made = (self.inflate.total_out() - made) as usize;
            input = input.get(taken..).unwrap_or_default();
            self.made += made as u64;
            if self.made > limit {
                return Err("the compressed message expands too much");
            }
            sink(output.get(..made).unwrap_or_default());
            if status == Status::StreamEnd {
                // A final block is allowed (RFC 7692 section 7.2.3.4); another stream may follow.
                self.inflate.reset(false);
            } else if made < output.len() && (input.is_empty() || taken == 0) {
                return Ok(());
            }
            if status == Status::StreamEnd && input.is_empty() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreements_are_read_for_each_direction() {
        let none = Agreement { no_context_takeover: false };
        let reset = Agreement { no_context_takeover: true };
        for (extensions, expected) in [
            ("", None),
            ("x-webkit-deflate-frame", None),
            ("permessage-deflate", Some([none, none])),
            ("foo, permessage-deflate; client_max_window_bits=15", Some([none, none])),
            ("permessage-deflate; server_no_context_takeover", Some([none, reset])),
            ("Permessage-Deflate;client_no_context_takeover ;x", Some([reset, none])),
        ] {
            assert_eq!(agreed(extensions.as_bytes()), expected, "{extensions}");
        }
    }

    #[test]
    fn the_rfcs_examples_inflate() {
        // RFC 7692 section 7.2.3: "Hello" twice in one context, with a final block, in two blocks.
        let expansion = Expansion { free: 1000, ratio: 1000 };
        let mut inflater = Inflater::new();
        for message in [
            [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00].as_slice(),
            &[0xf2, 0x00, 0x11, 0x00, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            let mut text = Vec::new();
            inflater.begin();
            inflater.inflate(message, expansion, &mut |part| text.extend_from_slice(part)).unwrap();
            inflater.end(expansion, &mut |part| text.extend_from_slice(part)).unwrap();
            assert_eq!(text, b"Hello", "{message:?}");
        }
    }
}
