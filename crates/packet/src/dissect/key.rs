//! The name of a flow.

use std::net::{Ipv6Addr, SocketAddr};

/// The protocol and the two ends of a flow, in an order that does not depend on who sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    protocol: u8,
    /// IPv4 addresses are mapped into IPv6.
    low: ([u8; 16], u16),
    high: ([u8; 16], u16),
}

/// One of the two ends of a [`FlowKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one with the lower address and port.
    Low,
    /// The other one.
    High,
}

impl FlowKey {
    /// The flow between two ends, and which of them is `source`.
    pub(crate) fn new(
        protocol: u8,
        source: ([u8; 16], u16),
        destination: ([u8; 16], u16),
    ) -> (Self, Side) {
        if source <= destination {
            (Self { protocol, low: source, high: destination }, Side::Low)
        } else {
            (Self { protocol, low: destination, high: source }, Side::High)
        }
    }

    /// The IP protocol number: 6 is TCP, 17 UDP.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The address and port of one end.
    pub fn end(&self, side: Side) -> SocketAddr {
        let (address, port) = match side {
            Side::Low => self.low,
            Side::High => self.high,
        };
        SocketAddr::new(Ipv6Addr::from(address).to_canonical(), port)
    }
}
