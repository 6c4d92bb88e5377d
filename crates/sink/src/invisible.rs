//! Which characters a terminal acts on, or shows as nothing, instead of showing them.

/// True for characters that captured text must not send to a terminal as they are.
///
/// These are the general categories Cc (C0 and C1 controls, DEL), Cf (bidirectional overrides,
/// zero-width and other format characters, tags), Zl and Zp of Unicode 16: the former can drive the
/// terminal, the others can make text look like other text.
pub(crate) fn is_invisible(c: char) -> bool {
    if c < '\u{ad}' {
        return c.is_control();
    }
    matches!(c,
        '\u{ad}'
        | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
        | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_or_hides_is_invisible() {
        for c in
            "\0\u{7}\u{8}\n\r\u{1b}\u{7f}\u{80}\u{9b}\u{9f}\u{202e}\u{2066}\u{200b}\u{feff}".chars()
        {
            assert!(is_invisible(c), "{c:?}");
        }
    }

    #[test]
    fn letters_of_every_script_are_visible() {
        for c in " ~\u{a0}¡é߿אبनकあ漢字🎉€\u{301}".chars() {
            assert!(!is_invisible(c), "{c:?}");
        }
    }
}
