//! The protocols whose handshakes are read.

use crate::Transport;
use crate::dtls::{self, DtlsWatch};
use crate::quic::{self, QuicWatch};
use crate::tls::{Lost, Seen, TlsWatch, begins_application_data, may_begin_client_hello};

/// True if a packet begins with encrypted data of TLS or DTLS. QUIC's cannot be told from anything else.
pub(super) fn is_encrypted(transport: &Transport<'_>) -> bool {
    match transport {
        Transport::Tcp(tcp) => begins_application_data(tcp.payload),
        Transport::Udp(data) => dtls::is_application_data(data),
    }
}

/// Follows one connection of any of them.
#[derive(Debug)]
pub(super) enum Watch {
    Tls(TlsWatch),
    Dtls(DtlsWatch),
    Quic(Box<QuicWatch>),
}

impl Watch {
    /// Begins with a packet of the client, if it is the first of a handshake. This is asked for
    /// every packet of flows that are not followed, at any time of theirs: TLS may begin late
    /// (STARTTLS, CONNECT).
    pub(super) fn begin(transport: &Transport<'_>) -> Option<Self> {
        match transport {
            Transport::Tcp(tcp) => {
                may_begin_client_hello(tcp.payload).then(|| Self::Tls(TlsWatch::new(tcp)))
            }
            Transport::Udp(data) if dtls::begins_client_hello(data) => {
                Some(Self::Dtls(DtlsWatch::new()))
            }
            Transport::Udp(data) => quic::begin(data).map(Box::new).map(Self::Quic),
        }
    }

    /// Whether it is known what the connection will be.
    pub(super) fn server_has_chosen(&self) -> bool {
        match self {
            Self::Tls(watch) => watch.server_has_chosen(),
            Self::Dtls(watch) => watch.server_has_chosen(),
            Self::Quic(watch) => watch.server_has_chosen(),
        }
    }

    /// Reads a packet.
    pub(super) fn packet(
        &mut self,
        from_client: bool,
        transport: &Transport<'_>,
    ) -> Result<Seen, Lost> {
        match (self, transport) {
            (Self::Tls(watch), Transport::Tcp(tcp)) => watch.segment(from_client, tcp),
            (Self::Dtls(watch), Transport::Udp(data)) => watch.datagram(from_client, data),
            (Self::Quic(watch), Transport::Udp(data)) => watch.datagram(from_client, data),
            _ => Err(Lost),
        }
    }
}
