//! Packets as they cross an interface.

use crate::{Direction, Timestamp};
use std::sync::Arc;

/// Who holds the socket that a packet belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The process (thread group).
    pub pid: u32,
    /// Its effective user when it made the socket.
    pub uid: u32,
    /// The name of the thread that made or used the socket.
    pub comm: Arc<str>,
}

/// One packet.
#[derive(Debug, Clone)]
pub struct Packet<'a> {
    /// When it crossed the hook.
    pub ts: Timestamp,
    /// The number of the interface in the capture, from 0, in the order in which the capture opened
    /// them (not the kernel's index).
    pub interface: u32,
    /// From this host's view: out of it or into it.
    pub dir: Direction,
    /// Length in bytes on the wire (or as the kernel handed it over, before segmentation).
    pub original_len: u32,
    /// What was captured, from the link layer's header on; shorter than `original_len` if cut.
    pub bytes: &'a [u8],
    /// Whose it is, if known.
    pub owner: Option<Arc<Owner>>,
}
