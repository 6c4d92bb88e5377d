//! Bodies of messages: borrowed from whoever has them, or held in one piece that can be kept.

use std::ops::Deref;
use std::sync::Arc;

/// The body of a message.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Bytes that are gone when the record is.
    Borrowed(&'a [u8]),
    /// A large body, which whoever writes it may keep until it is written instead of copying it.
    Held(&'a Arc<HeldBody>),
}

impl Body<'_> {
    /// At least so many bytes at the beginning are plain text, as far as is known without looking at
    /// them: see [`plain_len`].
    pub fn known_plain_len(&self) -> usize {
        match self {
            Self::Borrowed(_) => 0,
            Self::Held(body) => body.plain,
        }
    }
}

impl Deref for Body<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Held(body) => &body.bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Body<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Body<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Borrowed(bytes)
    }
}

/// A body that was put together from pieces. Whether it is plain text is found out piece by piece, as
/// long as each is in the CPU's cache.
#[derive(Debug, Default)]
pub struct HeldBody {
    bytes: Vec<u8>,
    plain: usize,
}

impl HeldBody {
    /// Appends a piece.
    pub fn push(&mut self, piece: &[u8]) {
        let len = self.bytes.len();
        // First the copy, which is better at waiting for memory.
        self.bytes.extend_from_slice(piece);
        if self.plain == len {
            self.plain += plain_len(&self.bytes[len..]);
        }
    }

    /// Appends a piece of which nothing is known from then on.
    pub fn push_unseen(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// Takes away all but the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.plain = self.plain.min(len);
    }

    /// What its memory could hold, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Deref for HeldBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// How many bytes at the beginning are plain text: printable ASCII, tabs, line feeds and carriage
/// returns. Most texts are all of it, and this is cheaper to see than the rest of what makes a text.
pub fn plain_len(bytes: &[u8]) -> usize {
    /// Several vector registers: so many bytes are looked at before deciding.
    const RUN: usize = 64;
    let is_plain = |byte: u8| {
        byte.wrapping_sub(b' ') < 0x7f - b' ' || byte == b'\n' || byte == b'\r' || byte == b'\t'
    };
    let (runs, _) = bytes.as_chunks::<RUN>();
    let plain =
        runs.iter().take_while(|run| run.iter().fold(true, |all, &byte| all & is_plain(byte)));
    let start = plain.count() * RUN;
    start + bytes[start..].iter().take_while(|byte| is_plain(**byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_ends_at_the_first_other_byte() {
        for len in [0, 1, 63, 64, 65, 200] {
            let text = "x\r\n\t~ ".repeat(40).into_bytes();
            for other in [0, 0x1f, 0x7f, 0x80, 0xff] {
                let bytes = [&text[..len], &[other], &text].concat();
                assert_eq!(plain_len(&bytes), len, "{other:#x}");
            }
            assert_eq!(plain_len(&text[..len]), len);
        }
    }

    #[test]
    fn a_body_knows_how_much_of_it_is_plain() {
        let plain = |pieces: &[&[u8]]| {
            let mut body = HeldBody::default();
            for piece in pieces {
                body.push(piece);
            }
            assert_eq!(*body, pieces.concat());
            body.plain
        };
        assert_eq!(plain(&[b"abc", b"", b"def"]), 6);
        assert_eq!(plain(&[b"ab\0", b"def"]), 2);
        assert_eq!(plain(&[b"abc", b"\xff", b"def"]), 3);
        let mut body = HeldBody::default();
        body.push_unseen(b"abc");
        body.push(b"def");
        assert_eq!((&*body, body.plain), (&b"abcdef"[..], 0));
        let mut body = HeldBody::default();
        body.push(b"abcdef");
        body.truncate(2);
        body.push(b"\0c");
        assert_eq!((&*body, body.plain), (&b"ab\0c"[..], 2));
    }
}
