//! Packets in a datagram and the parts of their headers that are in the clear (RFC 9000 section 17).

use crate::bytes::Bytes;

pub(super) const VERSION_1: u32 = 1;
/// RFC 9369.
pub(super) const VERSION_2: u32 = 0x6b33_43cf;

const LONG: u8 = 0x80;
/// A connection id is not longer in these versions.
const MAX_ID: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    OneRtt,
    /// Retry, version negotiation.
    Other,
}

/// One packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct QuicPacket<'a> {
    pub(super) kind: Kind,
    pub(super) version: u32,
    pub(super) destination: &'a [u8],
    /// All of it, from the first byte on.
    pub(super) bytes: &'a [u8],
    /// Where the protected packet number begins in it.
    pub(super) number_at: usize,
}

/// The packets that share a datagram; ends at the first that makes no sense.
pub(super) fn packets(datagram: &[u8]) -> impl Iterator<Item = QuicPacket<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let packet = packet(rest)?;
        rest = &rest[packet.bytes.len()..];
        Some(packet)
    })
}

fn packet(datagram: &[u8]) -> Option<QuicPacket<'_>> {
    let mut bytes = Bytes(datagram);
    let first = bytes.u8()?;
    let whole = |kind, version, destination| QuicPacket {
        kind,
        version,
        destination,
        bytes: datagram,
        number_at: datagram.len(),
    };
    if first & LONG == 0 {
        return Some(whole(Kind::OneRtt, 0, &[]));
    }
    let version = bytes.u32()?;
    let destination = bytes.vector8()?;
    let source = bytes.vector8()?;
    if destination.len() > MAX_ID || source.len() > MAX_ID {
        return None;
    }
    let kind = match (version, first >> 4 & 3) {
        (VERSION_1, 0) | (VERSION_2, 1) => Kind::Initial,
        (VERSION_1, 1) | (VERSION_2, 2) => Kind::ZeroRtt,
        (VERSION_1, 2) | (VERSION_2, 3) => Kind::Handshake,
        _ => return Some(whole(Kind::Other, version, destination)),
    };
    if kind == Kind::Initial {
        let token = usize::try_from(bytes.varint()?).ok()?;
        bytes.take(token)?;
    }
    let len = usize::try_from(bytes.varint()?).ok()?;
    let number_at = datagram.len() - bytes.0.len();
    bytes.take(len)?;
    let end = datagram.len() - bytes.0.len();
    Some(QuicPacket { kind, version, destination, bytes: &datagram[..end], number_at })
}
