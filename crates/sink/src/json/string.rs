//! JSON strings (RFC 8259 section 7) appended to a byte buffer.

use crate::invisible::is_invisible;

/// For each byte: 0 if it stands for itself, `u` if it becomes `\u00XX`, else the letter after `\`.
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

/// How many bytes are tested for escapes at once; two vector registers on the commonest machines.
const BLOCK: usize = 32;

/// Appends `text` with what JSON wants escaped, without the surrounding quotes.
pub(super) fn escape(text: &str, out: &mut Vec<u8>) {
    let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK>();
    for block in blocks {
        if block.iter().fold(false, |any, &byte| any | needs_escape(byte)) {
            escape_bytes(block, out);
        } else {
            out.extend_from_slice(block);
        }
    }
    escape_bytes(rest, out);
}

/// As the table says, but without a memory access, so that a block is tested with vector code.
#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escape_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = ESCAPE[usize::from(byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        if escape == b'u' {
            escape_unit(u16::from(byte), out);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
        written = at + 1;
    }
    out.extend_from_slice(&bytes[written..]);
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
