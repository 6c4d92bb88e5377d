//! DTLS over UDP, as far as it takes to know which packet needs which secret.
//!
//! Datagrams are read as they come: a `ClientHello` that begins in one and a `ServerHello` that lies in
//! one whole, as servers send it, are understood.

use crate::bytes::Bytes;
use crate::needs::Needs;
use crate::tls::{Lost, Seen, ServerHello};

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Hello,
    Old,
    OldEncrypted,
    Tls13,
}

/// Follows a connection.
#[derive(Debug)]
pub(crate) struct DtlsWatch {
    phase: Phase,
}

/// True if a datagram begins with a `ClientHello`.
pub(crate) fn begins_client_hello(datagram: &[u8]) -> bool {
    let mut bytes = Bytes(datagram);
    let kind = bytes.u8();
    let version = bytes.u16();
    let epoch = bytes.u16();
    kind == Some(HANDSHAKE)
        && matches!(version, Some(0xfeff | 0xfefd))
        && epoch == Some(0)
        && bytes.take(8).is_some()
        && bytes.u8() == Some(CLIENT_HELLO)
}

/// True if a datagram is whole records of DTLS 1.2 or older, the first of application data after a
/// handshake. (The records of DTLS 1.3 have a header that random bytes may be.)
pub(crate) fn is_application_data(datagram: &[u8]) -> bool {
    let mut bytes = Bytes(datagram);
    let version = datagram.get(1..3);
    let begins = datagram.first() == Some(&APPLICATION_DATA)
        && matches!(version, Some([0xfe, 0xfd | 0xff]))
        && record(&mut bytes).is_some_and(|first| first.epoch > 0 && !first.body.is_empty());
    while begins && !bytes.0.is_empty() {
        let Some(_) = record(&mut bytes) else { return false };
    }
    begins
}

struct Record<'a> {
    kind: u8,
    epoch: u16,
    body: &'a [u8],
}

/// RFC 6347 section 4.1.
fn record<'a>(bytes: &mut Bytes<'a>) -> Option<Record<'a>> {
    let kind = bytes.u8()?;
    bytes.u16()?;
    let epoch = bytes.u16()?;
    bytes.take(6)?;
    Some(Record { kind, epoch, body: bytes.vector16()? })
}

/// Type and first fragment of the message at the beginning of a handshake record.
fn message(body: &[u8]) -> Option<(u8, &[u8])> {
    let mut bytes = Bytes(body);
    let kind = bytes.u8()?;
    bytes.take(5)?;
    let offset = bytes.u24()?;
    let len = bytes.u24()? as usize;
    (offset == 0).then_some((kind, bytes.take(len)?))
}

impl DtlsWatch {
    pub(crate) fn new() -> Self {
        Self { phase: Phase::Hello }
    }

    /// Whether it is known what the connection will be.
    pub(crate) fn server_has_chosen(&self) -> bool {
        self.phase != Phase::Hello
    }

    /// Reads a datagram.
    pub(crate) fn datagram(&mut self, from_client: bool, datagram: &[u8]) -> Result<Seen, Lost> {
        let mut seen = Seen::default();
        let mut bytes = Bytes(datagram);
        while !bytes.0.is_empty() && !self.is_encrypted() {
            let record = record(&mut bytes).ok_or(Lost)?;
            match record.kind {
                _ if record.epoch > 0 => self.phase = Phase::OldEncrypted,
                CHANGE_CIPHER_SPEC if self.phase == Phase::Old => self.phase = Phase::OldEncrypted,
                HANDSHAKE => match message(record.body) {
                    Some((CLIENT_HELLO, body)) if from_client => {
                        seen.client_random = crate::tls::client_random(body);
                    }
                    Some((SERVER_HELLO, body)) if !from_client => self.server_hello(body),
                    _ => {}
                },
                _ => {}
            }
        }
        if !datagram.is_empty() {
            seen.needs = self.needs(from_client);
        }
        Ok(seen)
    }

    fn server_hello(&mut self, body: &[u8]) {
        match ServerHello::parse(body) {
            Some(ServerHello::Old) => self.phase = Phase::Old,
            Some(ServerHello::Tls13) => self.phase = Phase::Tls13,
            Some(ServerHello::Retry) | None => {}
        }
    }

    fn is_encrypted(&self) -> bool {
        matches!(self.phase, Phase::OldEncrypted | Phase::Tls13)
    }

    fn needs(&self, from_client: bool) -> Needs {
        match self.phase {
            Phase::Hello | Phase::Old => Needs::NONE,
            Phase::OldEncrypted => Needs::MASTER,
            Phase::Tls13 if from_client => Needs::HANDSHAKE.with(Needs::CLIENT_TRAFFIC),
            Phase::Tls13 => Needs::HANDSHAKE.with(Needs::SERVER_TRAFFIC),
        }
    }
}
