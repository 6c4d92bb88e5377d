//! Whose a packet is, as the comment of its block: `pid=41 comm=curl uid=1000 conn=7`.
//!
//! Fields are separated by one space and none holds a space, so that scripts can split them. What
//! is not known is left out.

use crate::invisible::is_invisible;
use event::{ConnId, Owner};
use std::fmt::Write as _;
use std::sync::Arc;

/// Makes comments; remembers the last one, because packets of one connection come in runs.
#[derive(Default)]
pub(super) struct Comments {
    owner: Option<Arc<Owner>>,
    conn: Option<ConnId>,
    text: String,
}

impl Comments {
    /// The comment, empty if nothing is known.
    pub(super) fn of(&mut self, owner: Option<&Arc<Owner>>, conn: Option<ConnId>) -> &str {
        let same_owner = match (owner, &self.owner) {
            (Some(owner), Some(last)) => Arc::ptr_eq(owner, last),
            (None, None) => true,
            _ => false,
        };
        if !same_owner || conn != self.conn {
            self.owner = owner.cloned();
            self.conn = conn;
            self.text.clear();
            write(owner.map(Arc::as_ref), conn, &mut self.text);
        }
        &self.text
    }
}

fn write(owner: Option<&Owner>, conn: Option<ConnId>, out: &mut String) {
    // Writing to a String cannot fail.
    if let Some(owner) = owner {
        let _ = write!(out, "pid={} comm=", owner.pid);
        escape(&owner.comm, out);
        let _ = write!(out, " uid={}", owner.uid);
    }
    if let Some(ConnId(conn)) = conn {
        let separator = if out.is_empty() { "" } else { " " };
        let _ = write!(out, "{separator}conn={conn}");
    }
}

/// A program chooses its own name: what is white space, invisible or a backslash is written as
/// `\x20` or `\u{202e}`.
fn escape(name: &str, out: &mut String) {
    for c in name.chars() {
        let _ = match c {
            c if !(c.is_whitespace() || is_invisible(c) || c == '\\') => out.write_char(c),
            c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
            c => write!(out, "\\u{{{:x}}}", u32::from(c)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(comm: &str) -> Arc<Owner> {
        Arc::new(Owner { pid: 41, uid: 1000, comm: comm.into() })
    }

    #[test]
    fn what_is_known_is_said_in_a_fixed_order() {
        let mut comments = Comments::default();
        let curl = owner("curl");
        assert_eq!(comments.of(None, None), "");
        assert_eq!(comments.of(Some(&curl), None), "pid=41 comm=curl uid=1000");
        assert_eq!(comments.of(Some(&curl), Some(ConnId(7))), "pid=41 comm=curl uid=1000 conn=7");
        assert_eq!(comments.of(None, Some(ConnId(7))), "conn=7");
        assert_eq!(comments.of(Some(&owner("wget")), None), "pid=41 comm=wget uid=1000");
        assert_eq!(comments.of(None, None), "");
    }

    #[test]
    fn a_hostile_name_stays_one_visible_field() {
        let hostile = owner("a b\n\u{1b}]0;x\u{7}\u{202e}\\ uid=0");
        assert_eq!(
            Comments::default().of(Some(&hostile), None),
            r"pid=41 comm=a\x20b\x0a\x1b]0;x\x07\u{202e}\x5c\x20uid=0 uid=1000"
        );
    }
}
