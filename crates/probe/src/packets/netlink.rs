//! Asks the kernel for lists (interfaces, sockets, filters) by netlink.
//!
//! The formats: Linux, `include/uapi/linux/{netlink,rtnetlink,inet_diag}.h`.

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send,
    socket_with,
};
use std::io;
use std::os::fd::OwnedFd;

const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
const ALIGNMENT: usize = 4;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const REQUEST_DUMP: u16 = 0x301;
/// The flags and number of an attribute's type.
const TYPE_MASK: u16 = 0x3fff;
/// Messages come in pieces of at most this size.
const PIECE: usize = 256 << 10;

/// Which part of the kernel is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Interfaces and traffic control.
    Route,
    /// Sockets.
    Sockets,
}

/// Asks for everything of a kind and hands over each answer.
pub(super) fn dump(
    family: Family,
    kind: u16,
    body: &[u8],
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let protocol = match family {
        // NETLINK_ROUTE is 0.
        Family::Route => None,
        Family::Sockets => Some(netlink::SOCK_DIAG),
    };
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut request = Vec::with_capacity(HEADER + body.len());
    request.extend_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    request.extend_from_slice(&1_u32.to_ne_bytes());
    request.extend_from_slice(&0_u32.to_ne_bytes());
    request.extend_from_slice(body);
    send(&socket, &request, SendFlags::empty())?;
    let mut buffer = vec![0; PIECE];
    loop {
        let (received, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = buffer.get(..received).unwrap_or_default();
        if rest.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some((kind, payload, after)) = message(rest) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let code = payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                    return Err(io::Error::from_raw_os_error(-code));
                }
                _ => each(payload),
            }
            rest = after;
        }
    }
}

/// The first message: its type, its payload, what follows.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(0..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let payload = bytes.get(HEADER..length)?;
    let next = length.next_multiple_of(ALIGNMENT).min(bytes.len());
    Some((kind, payload, &bytes[next..]))
}

/// `RTMGRP_LINK`
const INTERFACES: u32 = 1;
/// More news than these are left for the next time.
const MOST_NEWS: usize = 4096;

/// Becomes readable when an interface of our network namespace appears, vanishes or changes.
pub(super) fn watch_interfaces() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    // Which number the kernel gives us does not matter: 0.
    bind(&socket, &SocketAddrNetlink::new(0, INTERFACES))?;
    Ok(socket)
}

/// Whether something happened since the last time. What it was is not read: it may be told in part
/// only, when more happens than the socket holds, and then everything has to be asked for anyway.
pub(super) fn has_news(socket: &OwnedFd) -> bool {
    let mut any = false;
    // The rest of a message that is longer is dropped.
    let mut start = [0; HEADER];
    for _ in 0..MOST_NEWS {
        match recv(socket, start.as_mut_slice(), RecvFlags::empty()) {
            // More happened than there was room for.
            Ok(_) | Err(Errno::NOBUFS) => any = true,
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    any
}

/// Types and values of attributes.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = &rest[length.next_multiple_of(ALIGNMENT).min(rest.len())..];
        Some((kind, value))
    })
}

/// The text of an attribute, without the NUL at its end.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_answer_makes_it_panic_or_loop(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = bytes.as_slice();
            while let Some((_, payload, after)) = message(rest) {
                prop_assert!(after.len() < rest.len());
                prop_assert!(attributes(payload).count() <= payload.len());
                rest = after;
            }
        }
    }
}
