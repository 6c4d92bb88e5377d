//! JSON strings (RFC 8259 section 7) appended to a byte buffer.

use crate::invisible::is_invisible;

/// For each byte that needs an escape: the letter after `\`, which is `u` for `\u00XX`.
static ESCAPE: [u8; 256] = {
    let mut table = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = b'u';
        control += 1;
    }
    table[0x08] = b'b';
    table[b'\t' as usize] = b't';
    table[b'\n' as usize] = b'n';
    table[0x0c] = b'f';
    table[b'\r' as usize] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// How many bytes are tested for escapes at once: a vector register on every machine.
const BLOCK: usize = 16;

/// Appends `text` with what JSON wants escaped, without the surrounding quotes.
pub(super) fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    // Everything before this is written. Runs without an escape are copied in one go.
    let mut written = 0;
    let mut start = 0;
    for block in blocks {
        let mut marks = escape_marks(block);
        while marks != 0 {
            let in_block = marks.trailing_zeros() as usize / 8;
            marks &= !(0xff << (8 * in_block));
            escape_byte(bytes, &mut written, start + in_block, out);
        }
        start += BLOCK;
    }
    for (in_rest, &byte) in rest.iter().enumerate() {
        if needs_escape(byte) {
            escape_byte(bytes, &mut written, start + in_rest, out);
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

/// A byte of ones, in memory order from the lowest, for each byte of the block that needs an
/// escape. The loop is one that compilers make vector code of.
#[inline]
fn escape_marks(block: &[u8; BLOCK]) -> u128 {
    let mut marks = [0; BLOCK];
    for (mark, &byte) in marks.iter_mut().zip(block) {
        *mark = if needs_escape(byte) { 0xff } else { 0 };
    }
    u128::from_le_bytes(marks)
}

/// Says the same as the table, but without a memory access.
#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Writes what is not written before `at`, and the byte there, which needs it, escaped.
#[inline]
fn escape_byte(bytes: &[u8], written: &mut usize, at: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&bytes[*written..at]);
    *written = at + 1;
    match ESCAPE[usize::from(bytes[at])] {
        b'u' => escape_unit(u16::from(bytes[at]), out),
        letter => out.extend_from_slice(&[b'\\', letter]),
    }
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
    fn an_escape_is_found_at_every_place_of_a_block() {
        for at in 0..70 {
            let mut text = "x".repeat(70);
            text.replace_range(at..=at, "\n");
            let json = written(&text, escape);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn a_terminal_gets_no_control_and_no_override() {
        assert_eq!(
            written("\u{9b}31m\u{7f}\u{202e}\u{e0041}\u{1b}", escape_for_terminal),
            r#""\u009b31m\u007f\u202e\udb40\udc41\u001b""#
        );
    }

    #[test]
    fn the_table_knows_exactly_the_bytes_that_need_an_escape() {
        for byte in 0..=255 {
            assert_eq!(needs_escape(byte), ESCAPE[usize::from(byte)] != 0, "{byte}");
        }
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
