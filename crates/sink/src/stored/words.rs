//! Reasons are words of ours in a record (`&'static str`). Those of a file are known ones, as a rule; others
//! are kept for the life of the process, so there may be only so many.

use std::collections::HashSet;

const MOST: usize = 256;
const LONGEST: usize = 200;
const UNKNOWN: &str = "for a reason that is not known here";

/// Words that were met.
#[derive(Debug, Default)]
pub(super) struct Words {
    known: HashSet<&'static str>,
}

impl Words {
    pub(super) fn keep(&mut self, word: &str) -> &'static str {
        if let Some(known) = self.known.get(word) {
            return known;
        }
        if self.known.len() >= MOST || word.len() > LONGEST {
            return UNKNOWN;
        }
        let kept: &'static str = Box::leak(word.to_owned().into_boxed_str());
        self.known.insert(kept);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let mut words = Words::default();
        assert_eq!(words.keep("malformed"), "malformed");
        for number in 0..10_000 {
            words.keep(&number.to_string());
        }
        assert_eq!(words.known.len(), MOST);
        assert_eq!(words.keep("malformed"), "malformed");
        assert_eq!(words.keep(&"x".repeat(LONGEST + 1)), UNKNOWN);
    }
}
