//! From the link layer's header to the transport's payload.

mod ip;
mod key;
mod link;
mod transport;

pub use key::{FlowKey, Side};
pub use link::LinkType;
pub use transport::{Tcp, Transport};

/// A packet of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The flow, the same for both directions and on every interface.
    pub key: FlowKey,
    /// Which end sent it.
    pub from: Side,
    /// What the transport carries.
    pub transport: Transport<'a>,
}

/// Finds the flow of a packet. `None` if it is neither TCP nor UDP over IP, not the first fragment
/// of a datagram, or too short to tell.
pub fn dissect(link: LinkType, packet: &[u8]) -> Option<Segment<'_>> {
    let datagram = ip::datagram(link::network_layer(link, packet)?)?;
    let (ports, transport) = transport::parse(datagram.protocol, datagram.payload)?;
    let (key, from) = FlowKey::new(
        datagram.protocol,
        (datagram.source, ports.0),
        (datagram.destination, ports.1),
    );
    Some(Segment { key, from, transport })
}

#[cfg(test)]
mod tests;
