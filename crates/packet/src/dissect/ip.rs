//! IPv4 with options and IPv6 with extension headers.

use crate::bytes::Bytes;

/// A datagram, or the first fragment of one.
pub(super) struct Datagram<'a> {
    pub(super) protocol: u8,
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    pub(super) payload: &'a [u8],
}

/// Extension headers that are skipped (RFC 8200 section 4, RFC 4302).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOST_EXTENSIONS: usize = 16;

pub(super) fn datagram(packet: &[u8]) -> Option<Datagram<'_>> {
    match packet.first()? >> 4 {
        4 => ipv4(packet),
        6 => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Datagram<'_>> {
    let header_len = usize::from(packet.first()? & 0xf) * 4;
    let mut bytes = Bytes(packet);
    let mut header = Bytes(bytes.take(header_len)?);
    header.take(2)?;
    let total = usize::from(header.u16()?);
    header.take(2)?;
    let is_later_fragment = header.u16()? & 0x1fff != 0;
    header.take(1)?;
    let protocol = header.u8()?;
    header.take(2)?;
    let (source, destination) = (mapped(header.array()?), mapped(header.array()?));
    // What follows the datagram is padding of the link. A length of 0 says that it did not fit the
    // field (segmentation is left to the device).
    let payload = match total.checked_sub(header_len) {
        Some(len) => bytes.0.get(..len).unwrap_or(bytes.0),
        None if total == 0 => bytes.0,
        None => return None,
    };
    (!is_later_fragment).then_some(Datagram { protocol, source, destination, payload })
}

fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

fn ipv6(packet: &[u8]) -> Option<Datagram<'_>> {
    let mut bytes = Bytes(packet);
    bytes.take(4)?;
    let len = usize::from(bytes.u16()?);
    let mut protocol = bytes.u8()?;
    bytes.u8()?;
    let (source, destination) = (bytes.array()?, bytes.array()?);
    if len != 0 {
        // 0 is a jumbogram, or segmentation that is left to the device.
        bytes.0 = bytes.0.get(..len).unwrap_or(bytes.0);
    }
    for _ in 0..MOST_EXTENSIONS {
        let body_len = |units: u8| match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION => Some(usize::from(units) * 8 + 6),
            AUTHENTICATION => Some(usize::from(units) * 4 + 6),
            FRAGMENT => Some(6),
            _ => None,
        };
        if body_len(0).is_none() {
            break;
        }
        let next = bytes.u8()?;
        let units = bytes.u8()?;
        let body = bytes.take(body_len(units)?)?;
        if protocol == FRAGMENT && Bytes(body).u16()? & 0xfff8 != 0 {
            return None;
        }
        protocol = next;
    }
    Some(Datagram { protocol, source, destination, payload: bytes.0 })
}
