//! Making captured text safe to show: what a terminal would act on or hide becomes visible.

use crate::invisible::is_invisible;
use std::io::Write as _;

/// Which control characters stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// None: the text is one field among others on one line.
    Nothing,
    /// The tab: the text is a line.
    Tab,
    /// The tab and the line feed: the text has lines. `\r\n` becomes `\n`.
    Lines,
}

/// `text` for one line that people read: what a terminal would act on or hide, line ends among it, is
/// written as `\n`, `\x1b` or `\u{202e}`.
pub fn visible(text: &str) -> String {
    escaped(text, Keep::Nothing)
}

/// The same for text that has lines.
pub fn visible_lines(text: &str) -> String {
    escaped(text, Keep::Lines)
}

fn escaped(text: &str, keep: Keep) -> String {
    let mut out = Vec::with_capacity(text.len());
    escape_text(text, keep, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends `bytes`; what is not kept, and not UTF-8, is written as `\r`, `\n`, `\t`, `\x1b` or
/// `\u{202e}`. Backslashes stay: this is for eyes, not for parsers.
pub(super) fn escape(bytes: &[u8], keep: Keep, out: &mut Vec<u8>) {
    // Most names are.
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        escape_text(chunk.valid(), keep, out);
        for byte in chunk.invalid() {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

fn escape_text(text: &str, keep: Keep, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, c) in text.char_indices().filter(|(_, c)| is_invisible(*c)) {
        let kept = match c {
            '\t' => keep != Keep::Nothing,
            '\n' => keep == Keep::Lines,
            _ => false,
        };
        if kept {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + c.len_utf8();
        let _ = match c {
            '\r' if keep == Keep::Lines && bytes.get(written) == Some(&b'\n') => Ok(()),
            '\r' => write!(out, "\\r"),
            '\n' => write!(out, "\\n"),
            '\t' => write!(out, "\\t"),
            _ if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
            _ => write!(out, "\\u{{{:x}}}", u32::from(c)),
        };
    }
    out.extend_from_slice(&bytes[written..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8], keep: Keep) -> String {
        let mut out = Vec::new();
        escape(bytes, keep, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_name_stays_on_its_line() {
        assert_eq!(visible("a\nb\u{202e}\u{1b}é\t"), "a\\nb\\u{202e}\\x1bé\\t");
        assert_eq!(visible_lines("a\nb\u{1b}\t"), "a\nb\\x1b\t");
    }

    #[test]
    fn escape_sequences_and_overrides_become_visible() {
        assert_eq!(
            escaped("\u{1b}]0;title\u{7}a\u{202e}b\u{9b}c".as_bytes(), Keep::Lines),
            r"\x1b]0;title\x07a\u{202e}b\u{9b}c"
        );
    }

    #[test]
    fn line_ends_stay_lines_and_lone_returns_show() {
        assert_eq!(escaped(b"a\r\nb\rc\td\r", Keep::Lines), "a\nb\\rc\td\\r");
        assert_eq!(escaped(b"a\r\nb\tc", Keep::Tab), "a\\r\\nb\tc");
        assert_eq!(escaped(b"a\nb\tc", Keep::Nothing), "a\\nb\\tc");
    }

    #[test]
    fn bytes_that_are_no_text_show_as_hexadecimal() {
        assert_eq!(escaped(b"a\xff\xe2\x82b", Keep::Tab), r"a\xff\xe2\x82b");
    }

    proptest! {
        #[test]
        fn nothing_invisible_is_left(bytes in any::<Vec<u8>>()) {
            prop_assert!(!escaped(&bytes, Keep::Nothing).contains(is_invisible));
            let lines = escaped(&bytes, Keep::Lines);
            prop_assert!(!lines.contains(|c| is_invisible(c) && c != '\n' && c != '\t'));
        }
    }
}
