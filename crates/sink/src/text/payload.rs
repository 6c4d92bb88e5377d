//! Payloads for people: as text where they are text, else as a hex dump.

use super::TextOptions;
use super::escape::{Keep, escape};
use crate::cut;
use event::{Body, HeldBody, plain_len};
use std::io::Write as _;
use std::sync::Arc;

/// Bytes in a row of a hex dump.
const ROW: usize = 16;
const OFFSET_DIGITS: usize = 8;
/// Where the characters begin: after the offset, the hexadecimal bytes, the gaps and a bar.
const ASCII_AT: usize = OFFSET_DIGITS + 2 + 3 * ROW + 3;
/// The length of a whole row, with a bar and a line feed at the end.
const ROW_TEXT: usize = ASCII_AT + ROW + 2;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a payload, ending with a line feed if it is not empty, and says so if it is cut.
pub(super) fn write(payload: &[u8], options: TextOptions, out: &mut Vec<u8>) {
    write_body(Body::Borrowed(payload), options, out);
}

/// The body if it is to be shown just as it is, and is kept.
pub(super) fn as_it_is<'a>(body: &Body<'a>, options: TextOptions) -> Option<&'a Arc<HeldBody>> {
    let Body::Held(held) = body else { return None };
    let whole = options.tsize.is_none_or(|limit| held.len() <= limit);
    let plain = body.known_plain_len() == held.len();
    (plain && whole && !options.hex && !options.escape).then_some(*held)
}

/// The same of a body, of which something may be known.
pub(super) fn write_body(body: Body<'_>, options: TextOptions, out: &mut Vec<u8>) {
    let payload: &[u8] = &body;
    let shown = cut(payload, options.tsize);
    let is_cut = shown.len() < payload.len();
    if options.hex || !is_text(shown, body.known_plain_len()) {
        hex_dump(shown, out);
    } else {
        let text = if is_cut { &shown[..shown.len() - unfinished_tail(shown)] } else { shown };
        if options.escape {
            escape(text, Keep::Lines, out);
        } else {
            out.extend_from_slice(text);
        }
        if !text.is_empty() && !text.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
    if is_cut {
        // Writing to a Vec cannot fail.
        let _ = writeln!(out, "[cut: {} of {} bytes shown]", shown.len(), payload.len());
    }
}

/// True if the bytes are UTF-8 and have no control characters but those that texts have: BEL, BS,
/// TAB, LF, VT, FF, CR and ESC (the set that `file` uses).
///
/// A payload may be a piece of a longer text, so a character may be split at either end. The first
/// `known` bytes are known to be plain.
fn is_text(bytes: &[u8], known: usize) -> bool {
    let bytes = &bytes[..bytes.len() - unfinished_tail(bytes)];
    let bytes = &bytes[known.min(bytes.len())..];
    let bytes = &bytes[bytes.iter().take(3).take_while(|byte| is_continuation(**byte)).count()..];
    let bytes = &bytes[plain_len(bytes)..];
    let controls = bytes.iter().fold(false, |any, &byte| any | is_binary_control(byte));
    !controls && std::str::from_utf8(bytes).is_ok()
}

#[inline]
fn is_binary_control(byte: u8) -> bool {
    byte < 0x07 || (byte > 0x0d && byte < 0x20 && byte != 0x1b) || byte == 0x7f
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// How many bytes at the end begin a UTF-8 character that is not finished.
fn unfinished_tail(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        if is_continuation(byte) {
            continue;
        }
        let len = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if len > back { back } else { 0 };
    }
    0
}

/// Sixteen bytes a row: offset, hexadecimal, and what is printable in ASCII.
fn hex_dump(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(ROW) * ROW_TEXT);
    for (index, row) in bytes.chunks(ROW).enumerate() {
        let mut text = [b' '; ROW_TEXT];
        let offset = index * ROW;
        for (place, digit) in text[..OFFSET_DIGITS].iter_mut().rev().enumerate() {
            *digit = HEX[offset >> (4 * place) & 0xf];
        }
        for (column, &byte) in row.iter().enumerate() {
            // A wider gap in the middle of the row.
            let at = OFFSET_DIGITS + 2 + 3 * column + usize::from(column >= ROW / 2);
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 0xf)];
            text[ASCII_AT + column] = if matches!(byte, b' '..=b'~') { byte } else { b'.' };
        }
        text[ASCII_AT - 1] = b'|';
        let end = ASCII_AT + row.len();
        text[end] = b'|';
        text[end + 1] = b'\n';
        out.extend_from_slice(&text[..end + 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(payload: &[u8], options: TextOptions) -> Vec<u8> {
        let mut out = Vec::new();
        write(payload, options, &mut out);
        out
    }

    #[test]
    fn hex_dump_has_offset_bytes_and_ascii() {
        insta::assert_snapshot!(
            String::from_utf8(written(b"\0\x01GET / HTTP/1.1\r\n\xff!", TextOptions::default())).unwrap(),
            @r"
        00000000  00 01 47 45 54 20 2f 20  48 54 54 50 2f 31 2e 31  |..GET / HTTP/1.1|
        00000010  0d 0a ff 21                                       |...!|
        "
        );
    }

    #[test]
    fn text_is_what_has_no_binary_controls() {
        for text in ["", "a", "a\r\n\t", "\u{1b}[31mred", "日本語", "\u{9b}"] {
            assert!(is_text(text.as_bytes(), 0), "{text:?}");
        }
        for bytes in
            [&b"a\0b"[..], b"\x01", b"\x1f\x8b\x08", b"\xff\xfe", b"a\xc0\x80b", b"\x7fELF"]
        {
            assert!(!is_text(bytes, 0), "{bytes:?}");
        }
    }

    #[test]
    fn what_comes_after_much_plain_text_counts() {
        for end in [&b"\0"[..], b"\xff", b"\x7f", b"\x01 and more"] {
            for len in [0, 1, 63, 64, 65, 200] {
                let bytes = [&b"x\r\n".repeat(len)[..], end, b"yy"].concat();
                assert!(!is_text(&bytes, 0), "{end:?} after {len}");
            }
        }
        assert!(is_text(&[&b"x\n".repeat(100)[..], "日本語\t\u{1b}[m".as_bytes()].concat(), 0));
    }

    #[test]
    fn text_split_within_a_character_is_still_text() {
        let text = "日本語🎉é".as_bytes();
        for from in 0..text.len() {
            for to in from..=text.len() {
                assert!(is_text(&text[from..to], 0), "{from}..{to}");
            }
        }
    }

    #[test]
    fn a_file_gets_the_bytes_as_they_are() {
        let payload = "a\r\n\u{1b}[31m\u{202e}\n".as_bytes();
        assert_eq!(written(payload, TextOptions::default()), payload);
    }

    #[test]
    fn a_cut_says_so_and_never_splits_a_character() {
        let options = TextOptions { tsize: Some(4), ..TextOptions::default() };
        assert_eq!(written("ab日本".as_bytes(), options), b"ab\n[cut: 4 of 8 bytes shown]\n");
        assert_eq!(written(b"abcd", options), b"abcd\n");
    }
}
