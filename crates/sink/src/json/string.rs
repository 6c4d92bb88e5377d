//! JSON strings (RFC 8259 section 7) appended to a byte buffer.

use crate::invisible::is_invisible;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Text is escaped in pieces of about this many bytes: for each, room for the worst case is made.
pub(super) const PIECE: usize = 8 << 10;

/// Appends `text` with what JSON wants escaped, without the surrounding quotes. `out` must not be
/// empty.
pub(super) fn escape(mut text: &str, out: &mut Vec<u8>) {
    while text.len() > PIECE {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE));
        escape_piece(piece, out);
        text = rest;
    }
    escape_piece(text, out);
}

/// The library puts quotes around what it writes: the first takes the place of what was there before,
/// which is then put back.
fn escape_piece(piece: &str, out: &mut Vec<u8>) {
    let Some(before) = out.pop() else { return };
    let at = out.len();
    json_escape_simd::escape_into(piece, out);
    out[at] = before;
    out.pop();
}

/// Like [`escape`], and escapes what a terminal would act on or hide. The string that a JSON parser
/// reads is the same.
pub(super) fn escape_for_terminal(text: &str, out: &mut Vec<u8>) {
    let mut written = 0;
    for (at, c) in text.char_indices().filter(|(_, c)| is_invisible(*c)) {
        escape(&text[written..at], out);
        written = at + c.len_utf8();
        if c < ' ' {
            escape(&text[at..written], out);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escape_unit(*unit, out);
            }
        }
    }
    escape(&text[written..], out);
}

fn escape_unit(unit: u16, out: &mut Vec<u8>) {
    let digit = |shift: u16| HEX[usize::from(unit >> shift & 0xf)];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str, write: fn(&str, &mut Vec<u8>)) -> String {
        let mut out = vec![b'"'];
        write(text, &mut out);
        out.push(b'"');
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn controls_quotes_and_backslashes_are_escaped() {
        assert_eq!(
            written("a\0\u{1b}\"\\\n\r\t\u{8}\u{c}/é", escape),
            r#""a\u0000\u001b\"\\\n\r\t\b\f/é""#
        );
    }

    #[test]
    fn an_escape_is_found_at_every_place() {
        for at in (0..70).chain(PIECE - 2..PIECE + 2) {
            let mut text = "x".repeat(PIECE + 70);
            text.replace_range(at..=at, "\n");
            let json = written(&text, escape);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn pieces_end_between_characters() {
        for shift in 0..4 {
            let text = "x".repeat(shift) + &"日本語🎉".repeat(PIECE);
            assert_eq!(serde_json::from_str::<String>(&written(&text, escape)).unwrap(), text);
        }
    }

    #[test]
    fn a_terminal_gets_no_control_and_no_override() {
        assert_eq!(
            written("\u{9b}31m\u{7f}\u{202e}\u{e0041}\u{1b}", escape_for_terminal),
            r#""\u009b31m\u007f\u202e\udb40\udc41\u001b""#
        );
    }

    proptest! {
        #[test]
        fn a_parser_reads_back_any_text(text in any::<String>()) {
            for write in [escape, escape_for_terminal] {
                let json = written(&text, write);
                prop_assert_eq!(&serde_json::from_str::<String>(&json).unwrap(), &text);
            }
        }

        #[test]
        fn no_control_reaches_a_terminal(text in "[\\x00-\\x{ff}\u{2000}-\u{2070}]*") {
            prop_assert!(!written(&text, escape_for_terminal).contains(is_invisible));
        }
    }
}
