//! Compiling an expression, and saying where it is wrong.
//!
//! libpcap says what is wrong but not where. The place is found by asking it about the beginnings of the
//! expression: the first word after which no continuation helps is the wrong one.

use super::LinkType;
use pcap::{BpfProgram, Capture};
use std::fmt;

/// An expression that is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// As the user wrote it.
    pub expression: String,
    /// libpcap's words.
    pub reason: String,
    /// The byte of the expression where it goes wrong, if that could be found.
    pub at: Option<usize>,
}

impl Invalid {
    pub(super) fn untranslatable(expression: &str, reason: &str) -> Self {
        Self { expression: expression.to_owned(), reason: reason.to_owned(), at: None }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INDENT: &str = "    ";
        write!(
            formatter,
            "the packet filter is not understood: {}\n{INDENT}{}",
            self.reason, self.expression
        )?;
        if let Some(at) = self.at {
            let column = self.expression.get(..at).map_or(at, |before| before.chars().count());
            write!(formatter, "\n{INDENT}{:column$}^", "")?;
        }
        Ok(())
    }
}

/// Tells whether an expression is a filter for packets of this type.
pub fn check(expression: &str, link_type: LinkType) -> Result<(), Invalid> {
    compile(expression, link_type).map(|_| ())
}

pub(super) fn compile(expression: &str, link_type: LinkType) -> Result<BpfProgram, Invalid> {
    attempt(expression, link_type).map_err(|reason| Invalid {
        expression: expression.to_owned(),
        at: quoted(expression, &reason).or_else(|| locate(expression, link_type)),
        reason,
    })
}

fn attempt(expression: &str, link_type: LinkType) -> Result<BpfProgram, String> {
    let words = |error| match error {
        pcap::Error::PcapError(words) => words,
        other => other.to_string(),
    };
    Capture::dead(link_type.dlt()).and_then(|dead| dead.compile(expression, true)).map_err(words)
}

/// Whether the filter looks at VLAN tags.
pub(super) fn asks_for_vlan(expression: &str) -> bool {
    expression
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-' && letter != '_')
        .any(|word| word == "vlan")
}

/// What may complete a beginning: an operand for each kind of qualifier, and closing brackets.
const CONTINUATIONS: [&str; 17] = [
    "",
    " 1",
    " 127.0.0.1",
    " ::1",
    " 10.0.0.0/8",
    " 00:00:00:00:00:00",
    " 1-2",
    " tcp",
    " host 127.0.0.1",
    " host 00:00:00:00:00:00",
    " port 1",
    " portrange 1-2",
    " net 10.0.0.0/8",
    "] = 0",
    " 0] = 0",
    " = 0",
    " & 1 = 0",
];
const MOST_BRACKETS: usize = 8;

/// libpcap quotes a name that it does not know.
fn quoted(expression: &str, reason: &str) -> Option<usize> {
    let name = reason.split('\'').nth(1)?;
    let word = words(expression).into_iter().find(|(start, end)| &expression[*start..*end] == name);
    word.map(|(start, _)| start)
}

/// Where the expression stops being the beginning of a filter.
fn locate(expression: &str, link_type: LinkType) -> Option<usize> {
    /// Looking is quadratic; nobody needs it in what a program has written.
    const MOST_WORDS: usize = 200;
    let words = words(expression);
    if words.len() > MOST_WORDS {
        return None;
    }
    let wrong = words.iter().find(|(_, end)| !is_beginning(&expression[..*end], link_type));
    // If all of it can be continued, then something is missing at its end.
    Some(wrong.map_or(expression.trim_end().len(), |(start, _)| *start))
}

fn is_beginning(text: &str, link_type: LinkType) -> bool {
    let open = text.matches('(').count().saturating_sub(text.matches(')').count());
    let closing = ")".repeat(open.min(MOST_BRACKETS));
    CONTINUATIONS
        .iter()
        .any(|continuation| attempt(&format!("{text}{continuation}{closing}"), link_type).is_ok())
}

/// Starts and ends of the words; brackets and operators are words of their own.
fn words(expression: &str) -> Vec<(usize, usize)> {
    let mut words: Vec<(usize, usize)> = Vec::new();
    let mut inside = false;
    for (at, letter) in expression.char_indices() {
        let end = at + letter.len_utf8();
        if letter.is_whitespace() {
            inside = false;
        } else if "()[]!=<>&|+*".contains(letter) {
            // Operators of two characters.
            match words.last_mut() {
                Some(last)
                    if last.1 == at
                        && ["<=", ">=", "!=", "==", "&&", "||", "<<", ">>"]
                            .contains(&&expression[last.0..end]) =>
                {
                    last.1 = end;
                }
                _ => words.push((at, end)),
            }
            inside = false;
        } else if inside && let Some(last) = words.last_mut() {
            last.1 = end;
        } else {
            words.push((at, end));
            inside = true;
        }
    }
    words
}
