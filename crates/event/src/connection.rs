//! Who talks to whom, through which library.

use crate::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;

/// Names one connection for the life of a capture; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Which way the plaintext went, from the traced program's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The program wrote it.
    Send,
    /// The program read it.
    Recv,
}

impl Direction {
    /// The other direction.
    #[must_use]
    pub fn reverse(self) -> Self {
        match self {
            Self::Send => Self::Recv,
            Self::Recv => Self::Send,
        }
    }

    /// `send` or `recv`, as in every output format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Recv => "recv",
        }
    }
}

/// A file on this host that contains a TLS implementation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The path by which it was found, in the mount namespace of the process that maps it.
    pub path: String,
    /// The GNU build-id in lower-case hexadecimal, if the file has one.
    pub build_id: Option<String>,
}

/// One TLS connection of one process.
///
/// Strings come from other programs: they are valid UTF-8 (replaced where they were not), but may
/// hold control characters.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its name.
    pub id: ConnId,
    /// When its first call was seen.
    pub ts: Timestamp,
    /// The process (thread group) that holds it.
    pub pid: u32,
    /// The effective user of that process when the connection was first seen.
    pub uid: u32,
    /// The name of the thread that was seen first (`/proc/PID/comm`).
    pub comm: Arc<str>,
    /// The program's path, if `/proc/PID/exe` could still be read.
    pub exe: Option<Arc<str>>,
    /// The library that the calls went through.
    pub library: Arc<Library>,
    /// This end, if the socket is known.
    pub local: Option<SocketAddr>,
    /// The other end, if the socket is known.
    pub remote: Option<SocketAddr>,
}
