//! QUIC, as far as it takes to know which packet needs which secret.
//!
//! The client random is in the `ClientHello` inside of Initial packets. Those are encrypted, but with
//! keys that follow from what is in the clear (RFC 9001 section 5.2).

mod crypto_stream;
mod header;
mod initial;

use crate::needs::Needs;
use crate::tls::{Lost, Seen};
use crypto_stream::HelloStart;
use header::{Kind, packets};
use initial::InitialKeys;

/// A client fills up datagrams with Initial packets to this size (RFC 9000 section 14.1).
const MIN_INITIAL: usize = 1200;

/// Follows a connection.
pub(crate) struct QuicWatch {
    keys: InitialKeys,
    hello: HelloStart,
    is_named: bool,
    server_has_chosen: bool,
}

impl std::fmt::Debug for QuicWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuicWatch").field("is_named", &self.is_named).finish_non_exhaustive()
    }
}

/// Begins with a datagram that holds a client's first Initial packet, if it is one.
pub(crate) fn begin(datagram: &[u8]) -> Option<QuicWatch> {
    if datagram.len() < MIN_INITIAL {
        return None;
    }
    let first = packets(datagram).next()?;
    if first.kind != Kind::Initial {
        return None;
    }
    let keys = InitialKeys::of_client(first.version, first.destination)?;
    keys.open(&first)?;
    Some(QuicWatch {
        keys,
        hello: HelloStart::default(),
        is_named: false,
        server_has_chosen: false,
    })
}

impl QuicWatch {
    /// Whether the server's part of the handshake was seen.
    pub(crate) fn server_has_chosen(&self) -> bool {
        self.server_has_chosen
    }

    /// Reads a datagram.
    pub(crate) fn datagram(&mut self, from_client: bool, datagram: &[u8]) -> Result<Seen, Lost> {
        let mut seen = Seen::default();
        for packet in packets(datagram) {
            let needs = match packet.kind {
                Kind::Initial | Kind::Other => Needs::NONE,
                Kind::ZeroRtt => Needs::EARLY,
                Kind::Handshake => Needs::HANDSHAKE,
                Kind::OneRtt if from_client => Needs::HANDSHAKE.with(Needs::CLIENT_TRAFFIC),
                Kind::OneRtt => Needs::HANDSHAKE.with(Needs::SERVER_TRAFFIC),
            };
            seen.needs = seen.needs.with(needs);
            self.server_has_chosen |= packet.kind == Kind::Handshake && !from_client;
            if packet.kind == Kind::Initial && from_client && !self.is_named {
                let opened = self.keys.open(&packet).or_else(|| {
                    // After a Retry the client begins again with the server's choice.
                    self.keys = InitialKeys::of_client(packet.version, packet.destination)?;
                    self.hello = HelloStart::default();
                    self.keys.open(&packet)
                });
                self.hello.read_frames(&opened.ok_or(Lost)?);
                seen.client_random = self.hello.client_random();
                self.is_named = seen.client_random.is_some();
            }
        }
        Ok(seen)
    }
}
