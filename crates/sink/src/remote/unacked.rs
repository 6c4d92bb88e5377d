//! How much of what was written to a socket has not arrived: the one system call here that needs
//! `unsafe`. Neither rustix nor nix nor socket2 has a safe function for it, and nothing else says it of
//! both TCP and Unix sockets.
#![allow(unsafe_code)]

use rustix::ioctl::{Getter, ioctl};
use std::ffi::c_int;
use std::io;
use std::os::fd::BorrowedFd;

/// `SIOCOUTQ` (linux/sockios.h), which is `TIOCOUTQ`.
const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;

/// Bytes that the other end's kernel has not acknowledged (TCP, also after the connection broke), or that
/// its program has not read (Unix; at least so many).
pub(super) fn unacked(socket: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: SIOCOUTQ stores an int at its argument and does nothing else (tcp(7), unix(7)).
    let bytes = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) }?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
