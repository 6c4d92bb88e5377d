//! TLS secrets on their way to a key log.

use crate::{Library, Timestamp};
use std::sync::Arc;

/// One secret of one TLS connection: a line of an NSS key log
/// (`draft-ietf-tls-keylogfile`).
#[derive(Clone)]
pub struct Secret {
    /// When the library derived it.
    pub ts: Timestamp,
    /// The process (thread group).
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// The effective user.
    pub uid: u32,
    /// The thread's name.
    pub comm: Arc<str>,
    /// The library that derived it.
    pub library: Arc<Library>,
    /// `CLIENT_RANDOM`, `CLIENT_HANDSHAKE_TRAFFIC_SECRET`, …: capitals, digits and `_` only.
    pub label: String,
    /// The connection's client random.
    pub client_random: [u8; 32],
    /// The secret: 32 to 64 bytes.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for Secret {
    /// Without the secret: what is printed for debugging is not to decrypt anything.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("ts", &self.ts)
            .field("pid", &self.pid)
            .field("label", &self.label)
            .field("len", &self.secret.len())
            .finish_non_exhaustive()
    }
}
