//! The chunked transfer coding (RFC 9112 section 7.1), taken apart as it comes.

/// A chunk-size line, extensions included, may be this long.
const LONGEST_SIZE_LINE: usize = 16 << 10;

/// Where in the coding the next byte is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Chunked {
    #[default]
    Size,
    /// So many bytes of the chunk are to come.
    Data(u64),
    DataEnd,
    Trailers,
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes that only separate.
    Framing(usize),
    /// So many bytes of the body.
    Data(usize),
    /// The end of the body; so many bytes of trailer fields and the blank line.
    End(usize),
    NeedMore,
    Malformed(&'static str),
}

impl Chunked {
    pub(super) fn step(&mut self, bytes: &[u8], trailer_limit: usize) -> Step {
        if bytes.is_empty() {
            return Step::NeedMore;
        }
        match self {
            Self::Size => match memchr::memchr(b'\n', bytes) {
                None if bytes.len() > LONGEST_SIZE_LINE => {
                    Step::Malformed("a chunk size line does not end")
                }
                None => Step::NeedMore,
                Some(end) => match size(&bytes[..end]) {
                    None => Step::Malformed("a chunk size is malformed"),
                    Some(size) => {
                        *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                        Step::Framing(end + 1)
                    }
                },
            },
            Self::Data(left) => {
                let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= len as u64;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                Step::Data(len)
            }
            Self::DataEnd => {
                let len = match bytes {
                    [b'\r', b'\n', ..] => 2,
                    [b'\n', ..] => 1,
                    [b'\r'] => return Step::NeedMore,
                    _ => return Step::Malformed("a chunk is longer than its size"),
                };
                *self = Self::Size;
                Step::Framing(len)
            }
            Self::Trailers => match trailers_end(bytes) {
                Some(end) => Step::End(end),
                None if bytes.len() > trailer_limit => {
                    Step::Malformed("the trailer fields do not end")
                }
                None => Step::NeedMore,
            },
        }
    }

    /// Goes on after a part that was not seen, if it lies within one chunk.
    pub(super) fn skip(&mut self, len: u64) -> bool {
        match self {
            Self::Data(left) if *left >= len => {
                *left -= len;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                true
            }
            _ => false,
        }
    }
}

/// The size before any extension.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Where the blank line after the trailer fields ends.
fn trailers_end(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        if matches!(&bytes[line..end], b"" | b"\r") {
            return Some(end + 1);
        }
        line = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bytes: &[u8]) -> Result<(Vec<u8>, usize), &'static str> {
        let mut chunked = Chunked::default();
        let (mut at, mut body) = (0, Vec::new());
        loop {
            match chunked.step(&bytes[at..], 100) {
                Step::Framing(len) => at += len,
                Step::Data(len) => {
                    body.extend_from_slice(&bytes[at..at + len]);
                    at += len;
                }
                Step::End(len) => return Ok((body, at + len)),
                Step::NeedMore => return Err("more"),
                Step::Malformed(why) => return Err(why),
            }
        }
    }

    #[test]
    fn extensions_and_trailers_are_not_body() {
        let bytes = b"3;a=\"b\"\r\nabc\r\n0A \r\n0123456789\r\n000\r\nX: y\r\n\r\nnext";
        assert_eq!(body(bytes), Ok((b"abc0123456789".to_vec(), bytes.len() - 4)));
        assert_eq!(body(b"1\nz\n0\n\n"), Ok((b"z".to_vec(), 7)));
    }

    #[test]
    fn wrong_sizes_are_malformed() {
        for bytes in [
            b"x\r\n".as_slice(),
            b"\r\n",
            b"-1\r\n",
            b"0x1\r\nz\r\n",
            b"11111111111111111\r\n",
            b"1\r\nzz\r\n",
        ] {
            let error = body(bytes).expect_err("malformed");
            assert_ne!(error, "more", "{bytes:?}");
        }
    }

    #[test]
    fn the_largest_size_does_not_overflow() {
        assert_eq!(body(b"ffffffffffffffff\r\nabc"), Err("more"));
    }
}
