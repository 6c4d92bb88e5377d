//! What the kernel side reports, in the order in which it happened.

use crate::{ConnId, Connection, Direction, Timestamp};
use std::net::SocketAddr;

/// One thing that happened to a connection, or to the capture as a whole.
///
/// Events of one connection come in causal order, except that pieces of one direction may be out of
/// order by offset until the next [`Event::Tick`].
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A connection was seen for the first time. Precedes everything else about it.
    Open(Connection),
    /// The connection's socket became known after it was opened.
    Address {
        /// Which connection.
        conn: ConnId,
        /// This end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// Plaintext crossed the library's border.
    Chunk(Chunk<'a>),
    /// Plaintext crossed it that cannot be shown.
    Hole(Hole),
    /// The connection is over: its TLS object was freed or reused, or its process ended.
    Close {
        /// Which connection.
        conn: ConnId,
        /// When.
        ts: Timestamp,
    },
    /// Every event that happened before `ts` has been delivered.
    Tick {
        /// The time up to which the record is complete.
        ts: Timestamp,
    },
}

/// A run of plaintext bytes of one direction, as one library call returned them (or a part of it).
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// Which connection.
    pub conn: ConnId,
    /// When the call returned.
    pub ts: Timestamp,
    /// The thread that called.
    pub tid: u32,
    /// Which way.
    pub dir: Direction,
    /// Position of the first byte in this direction of the connection, counted from the first byte
    /// that was seen.
    pub offset: u64,
    /// True if the call's data ends with this chunk: a large call comes in several.
    pub end_of_call: bool,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// A run of bytes that went by and cannot be shown.
#[derive(Debug, Clone, Copy)]
pub struct Hole {
    /// Which connection.
    pub conn: ConnId,
    /// When it was noticed.
    pub ts: Timestamp,
    /// The thread that called, if known, else 0.
    pub tid: u32,
    /// Which way.
    pub dir: Direction,
    /// Position of the first missing byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// Why.
    pub cause: HoleCause,
}

/// Why bytes cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoleCause {
    /// The kernel could not hand them over (ring buffer full). They are counted as lost.
    Lost,
    /// The program's memory could not be read when the call returned. They are counted as lost.
    Unreadable,
    /// They went from a file to the network inside the kernel (`SSL_sendfile`). Not a loss: they
    /// never were in the program's memory.
    Sendfile,
}

impl HoleCause {
    /// The word used in every output format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unreadable => "unreadable",
            Self::Sendfile => "sendfile",
        }
    }
}
