//! Statements as clients send them, and as a capture shows them.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What a client sent, by connection: pairs of the operation and the text.
pub type Sent = BTreeMap<u64, Vec<(String, String)>>;

/// One line of `--format json` with `"kind":"query"`.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)]
pub struct Query {
    pub ts: String,
    pub kind: String,
    pub pid: u32,
    pub tid: u32,
    pub uid: u32,
    pub system: String,
    pub server: String,
    pub op: Option<String>,
    pub connection: Option<u64>,
    pub user: Option<String>,
    pub schema: Option<String>,
    pub client: Option<String>,
    pub outcome: String,
    pub error: Option<String>,
    pub rows: Option<u64>,
    pub duration_ns: Option<u64>,
    pub len: u64,
    pub query: Option<String>,
    pub incomplete: Option<String>,
}

/// Every statement of a capture's output.
pub fn read(path: &Path) -> Vec<Query> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{}: the last line is cut", path.display());
    text.lines()
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| {
                panic!("{}: {error} in {}", path.display(), &line[..line.len().min(400)])
            })
        })
        .collect()
}

/// What was captured, by connection, of the connections that `sent` has: the multisets are to be the
/// same.
pub fn assert_same(mut sent: Sent, captured: &[Query], connection: fn(&Query) -> Option<u64>) {
    let mut seen: Sent = sent.keys().map(|key| (*key, Vec::new())).collect();
    for query in captured {
        let Some(of) = connection(query).and_then(|key| seen.get_mut(&key)) else { continue };
        let text = query.query.clone().unwrap_or_default();
        assert_eq!(query.len, text.len() as u64);
        assert_eq!(query.incomplete, None);
        assert!(query.duration_ns.is_some_and(|nanos| nanos > 0), "{query:?}");
        of.push((query.op.clone().unwrap_or_default(), text));
    }
    for (connection, sent) in &mut sent {
        let seen = seen.get_mut(connection).unwrap();
        sent.sort();
        seen.sort();
        let short = |all: &[(String, String)]| -> Vec<String> {
            all.iter()
                .map(|(op, text)| {
                    let end = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
                    format!("{op} {} {}", text.len(), &text[..end])
                })
                .collect()
        };
        assert!(
            sent == seen,
            "connection {connection}: sent\n{:#?}\ncaptured\n{:#?}",
            short(sent),
            short(seen)
        );
    }
}

/// A statement of exactly `len` bytes with a marker of its own, if there is room for one. Short ones
/// are in error, which the server is to say.
pub fn of_length(len: usize) -> String {
    const HEAD: &str = "select length('";
    const TAIL: &str = "')";
    let Some(room) = len.checked_sub(HEAD.len() + TAIL.len()) else { return "x".repeat(len) };
    let mut fill = String::with_capacity(room);
    while fill.len() + 3 <= room {
        fill.push(fastrand::alphanumeric());
        if fill.len().is_multiple_of(97) && fill.len() + 2 <= room {
            fill.push('ü');
        }
    }
    while fill.len() < room {
        fill.push('.');
    }
    format!("{HEAD}{fill}{TAIL}")
}

/// Lengths from 1 byte to 1 MiB: many small ones, both ends, and what lies at the borders of parts.
pub fn lengths(count: usize) -> Vec<usize> {
    const BORDERS: [usize; 12] =
        [1, 2, 470, 471, 472, 473, 4095, 4096, 4567, 16384, 20951, 1 << 20];
    let mut lengths: Vec<usize> = BORDERS.iter().copied().take(count).collect();
    while lengths.len() < count {
        let share = fastrand::f64();
        lengths.push((2.0_f64.powf(20.0 * share.powi(3)) as usize).clamp(1, 1 << 20));
    }
    fastrand::shuffle(&mut lengths);
    lengths
}
