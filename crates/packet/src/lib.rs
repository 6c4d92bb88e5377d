//! Which flow a packet belongs to, and when it may be written so that its keys come first.
//!
//! * [`dissect`] finds the flow and the transport payload of a packet, whatever its bytes are.
//! * [`Holdback`] takes packets and TLS secrets as they come and hands them on so that a reader that
//!   goes once through the file (`tshark` without `-2`) has every key before the first packet that
//!   needs it. It reads TLS, DTLS and QUIC handshakes as far as that takes.
//!
//! No input can make it panic, wait for ever or use unbounded memory.

mod bytes;
mod dissect;
mod dtls;
mod holdback;
mod needs;
mod quic;
#[cfg(test)]
mod testing;
mod tls;

pub use dissect::{FlowKey, LinkType, Segment, Side, Tcp, Transport, dissect};
pub use holdback::{Holdback, HoldbackStats, Limits, Out, Undecryptable};

/// What names a TLS connection in a key log.
pub type ClientRandom = [u8; 32];
