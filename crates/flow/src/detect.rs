//! Which protocol a stream is in, by its first bytes.

/// The client's connection preface (RFC 9113 section 3.4).
pub(crate) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request line longer than this is only believed if its method is well known.
const UNUSUAL_LINE_LIMIT: usize = 4096;

/// Methods that are believed before the end of the request line is seen.
const WELL_KNOWN_METHODS: &[&[u8]] =
    &[b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"];

/// What a stream begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    Http1Request,
    Http1Response,
    /// The client's preface.
    Http2Client,
    /// The server's first `SETTINGS` frame.
    Http2Server,
    /// Nothing that is known.
    Unknown,
    /// It could be one of them: more bytes will tell.
    Undecided,
}

/// Tells what `bytes` are the beginning of.
pub(crate) fn beginning(bytes: &[u8]) -> Beginning {
    type Test = fn(&[u8]) -> Verdict;
    const TESTS: &[(Beginning, Test)] = &[
        (Beginning::Http2Client, http2_preface),
        (Beginning::Http1Response, status_line),
        (Beginning::Http1Request, request_line),
        (Beginning::Http2Server, server_settings),
    ];
    let mut undecided = false;
    for (beginning, test) in TESTS {
        match test(bytes) {
            Verdict::Yes => return *beginning,
            Verdict::Maybe => undecided = true,
            Verdict::No => {}
        }
    }
    if undecided { Beginning::Undecided } else { Beginning::Unknown }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Yes,
    Maybe,
    No,
}

fn literal(bytes: &[u8], expected: &[u8]) -> Verdict {
    let common = bytes.len().min(expected.len());
    if bytes[..common] != expected[..common] {
        Verdict::No
    } else if common == expected.len() {
        Verdict::Yes
    } else {
        Verdict::Maybe
    }
}

fn http2_preface(bytes: &[u8]) -> Verdict {
    literal(bytes, HTTP2_PREFACE)
}

/// The server's preface is a `SETTINGS` frame that is no acknowledgement (RFC 9113 section 3.4).
fn server_settings(bytes: &[u8]) -> Verdict {
    /// More settings than this in a first frame are not believed.
    const MOST_SETTINGS: u8 = 32;
    let believable = |at: usize, byte: u8| match at {
        0 | 1 | 4..=8 => byte == 0,
        2 => byte.is_multiple_of(6) && byte <= MOST_SETTINGS * 6,
        3 => byte == 4,
        _ => true,
    };
    if !bytes.iter().take(9).enumerate().all(|(at, byte)| believable(at, *byte)) {
        Verdict::No
    } else if bytes.len() >= 9 {
        Verdict::Yes
    } else {
        Verdict::Maybe
    }
}

/// `HTTP/1.x` and three digits (RFC 9112 section 4).
pub(crate) fn status_line(bytes: &[u8]) -> Verdict {
    match literal(bytes, b"HTTP/1.") {
        Verdict::Yes => {}
        other => return other,
    }
    let believable = |at: usize, byte: u8| match at {
        7 => byte == b'0' || byte == b'1',
        8 => byte == b' ',
        9..=11 => byte.is_ascii_digit(),
        12 => matches!(byte, b' ' | b'\r' | b'\n'),
        _ => true,
    };
    if !bytes.iter().take(13).enumerate().all(|(at, byte)| believable(at, *byte)) {
        Verdict::No
    } else if bytes.len() >= 13 {
        Verdict::Yes
    } else {
        Verdict::Maybe
    }
}

/// A method, a target and `HTTP/1.x` (RFC 9112 section 3).
pub(crate) fn request_line(bytes: &[u8]) -> Verdict {
    const LONGEST_METHOD: usize = 24;
    let method_char = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    let method_len = bytes.iter().take_while(|byte| method_char(byte)).count();
    if method_len > LONGEST_METHOD {
        return Verdict::No;
    }
    let (method, rest) = bytes.split_at(method_len);
    let Some(rest) = rest.strip_prefix(b" ") else {
        return if rest.is_empty() { Verdict::Maybe } else { Verdict::No };
    };
    if method.len() < 3 {
        return Verdict::No;
    }
    let Some(line_len) = memchr::memchr(b'\n', rest) else {
        let controls = rest
            .iter()
            .take(UNUSUAL_LINE_LIMIT)
            .any(|byte| byte.is_ascii_control() && *byte != b'\r');
        let known = WELL_KNOWN_METHODS.contains(&method);
        return if controls || (rest.len() > UNUSUAL_LINE_LIMIT && !known) {
            Verdict::No
        } else {
            Verdict::Maybe
        };
    };
    let line = &rest[..line_len];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let ends_well = line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0");
    if ends_well && line.len() > b" HTTP/1.1".len() { Verdict::Yes } else { Verdict::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[(&[u8], Beginning)] = &[
        (b"GET / HTTP/1.1\r\n", Beginning::Http1Request),
        (b"PROPFIND /a b HTTP/1.0\n", Beginning::Http1Request),
        (b"M-SEARCH * HTTP/1.1\r\n", Beginning::Http1Request),
        (b"HTTP/1.1 200 OK\r\n", Beginning::Http1Response),
        (b"HTTP/1.0 404\r\n", Beginning::Http1Response),
        (HTTP2_PREFACE, Beginning::Http2Client),
        (b"\0\0\x12\x04\0\0\0\0\0", Beginning::Http2Server),
    ];

    #[test]
    fn a_known_beginning_is_undecided_until_it_is_long_enough() {
        for (bytes, expected) in KNOWN {
            for len in 0..=bytes.len() {
                let found = beginning(&bytes[..len]);
                assert!(found == Beginning::Undecided || found == *expected, "{bytes:?} at {len}");
            }
            assert_eq!(beginning(bytes), *expected);
        }
    }

    #[test]
    fn other_beginnings_are_unknown() {
        for bytes in [
            b"\x16\x03\x01\x02\0\x01".as_slice(),
            b"EHLO example.org\r\n",
            b"a1 LOGIN x y\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"GET / SMTP/1.1\r\n",
            b"\0\0\x07\x04\0\0\0\0\0",
            b"*1\r\n$4\r\nPING\r\n",
            b"SELECT \0",
        ] {
            assert_eq!(beginning(bytes), Beginning::Unknown, "{bytes:?}");
        }
    }

    #[test]
    fn an_endless_line_is_only_believed_of_a_known_method() {
        let mut line = b"FROB /".to_vec();
        line.resize(2 * UNUSUAL_LINE_LIMIT, b'x');
        assert_eq!(beginning(&line), Beginning::Unknown);
        line[..4].copy_from_slice(b"POST");
        assert_eq!(beginning(&line), Beginning::Undecided);
    }
}
