//! TCP and UDP.

use crate::bytes::Bytes;

/// What a transport carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport<'a> {
    /// A segment of a stream.
    Tcp(Tcp<'a>),
    /// A datagram.
    Udp(&'a [u8]),
}

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp<'a> {
    /// The sequence number of the first payload byte.
    pub seq: u32,
    /// What the sender expects next, if it says so.
    pub ack: Option<u32>,
    /// Begins a stream.
    pub syn: bool,
    /// Ends a direction.
    pub fin: bool,
    /// Ends both.
    pub rst: bool,
    /// The captured part of the payload.
    pub payload: &'a [u8],
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Source and destination port, and what is carried.
pub(super) fn parse(protocol: u8, payload: &[u8]) -> Option<((u16, u16), Transport<'_>)> {
    let mut bytes = Bytes(payload);
    let ports = (bytes.u16()?, bytes.u16()?);
    let transport = match protocol {
        6 => Transport::Tcp(tcp(bytes)?),
        17 => {
            let len = usize::from(bytes.u16()?);
            bytes.u16()?;
            // 0: does not fit the field.
            let data = match len.checked_sub(8) {
                Some(len) => bytes.0.get(..len).unwrap_or(bytes.0),
                None if len == 0 => bytes.0,
                None => return None,
            };
            Transport::Udp(data)
        }
        _ => return None,
    };
    Some((ports, transport))
}

/// `bytes` begins after the ports.
fn tcp(mut bytes: Bytes<'_>) -> Option<Tcp<'_>> {
    let seq = bytes.u32()?;
    let ack = bytes.u32()?;
    let header_len = usize::from(bytes.u8()? >> 4) * 4;
    let flags = bytes.u8()?;
    bytes.take(6)?;
    bytes.take(header_len.checked_sub(20)?)?;
    let syn = flags & SYN != 0;
    Some(Tcp {
        // SYN counts as one.
        seq: seq.wrapping_add(u32::from(syn)),
        ack: (flags & ACK != 0).then_some(ack),
        syn,
        fin: flags & FIN != 0,
        rst: flags & RST != 0,
        payload: bytes.0,
    })
}
