//! The byte streams of `--no-parse`, put together again.

use crate::line::{Address, Direction, Line};
use crate::payload::digest;
use std::collections::BTreeMap;

/// Everything that one process sent or received on one connection.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The process.
    pub pid: u32,
    /// Which way.
    pub dir: Direction,
    /// Its own end.
    pub local: Option<Address>,
    /// The other end.
    pub remote: Option<Address>,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The length of each chunk, in order.
    pub chunks: Vec<usize>,
}

/// Puts the `data` lines of some processes together, in the order of the connections' first lines.
///
/// Fails on a hole, on a duplicate, and if a chunk is not where its offset says.
pub fn streams(lines: &[Line], pids: &[u32]) -> Vec<Stream> {
    let mut index = BTreeMap::new();
    let mut streams: Vec<Stream> = Vec::new();
    for line in lines.iter().filter(|line| pids.contains(&line.pid)) {
        assert_eq!(line.kind, "data", "with --no-parse, a line of another kind: {line:?}");
        let bytes = line.data().expect("data");
        assert_eq!(line.len, Some(bytes.len() as u64), "len of {line:?}");
        let key = (line.conn, line.dir);
        let at = *index.entry(key).or_insert_with(|| {
            streams.push(Stream {
                pid: line.pid,
                dir: line.dir,
                local: None,
                remote: None,
                bytes: Vec::new(),
                chunks: Vec::new(),
            });
            streams.len() - 1
        });
        let stream = &mut streams[at];
        assert_eq!(
            line.offset,
            Some(stream.bytes.len() as u64),
            "offset of {:?} on connection {} of {}: bytes are missing or came twice",
            line.dir,
            line.conn,
            line.pid
        );
        stream.bytes.extend_from_slice(&bytes);
        stream.chunks.push(bytes.len());
        stream.local = line.local.clone().or(stream.local.take());
        stream.remote = line.remote.clone().or(stream.remote.take());
    }
    streams
}

/// The streams of one direction.
pub fn of(streams: &[Stream], dir: Direction) -> Vec<&Stream> {
    streams.iter().filter(|stream| stream.dir == dir).collect()
}

/// How often each digest occurs, to compare streams whatever their order.
pub fn digests<'a>(streams: impl IntoIterator<Item = &'a [u8]>) -> BTreeMap<String, usize> {
    let mut digests = BTreeMap::new();
    for stream in streams {
        *digests.entry(digest(stream)).or_default() += 1;
    }
    digests
}
