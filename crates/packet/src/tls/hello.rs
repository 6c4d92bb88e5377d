//! The two messages that say which secrets a connection has.

use crate::ClientRandom;
use crate::bytes::Bytes;
use crate::tls::Lost;

pub(crate) const CLIENT_HELLO: u8 = 1;
pub(crate) const SERVER_HELLO: u8 = 2;
/// Type and length.
const HEADER: usize = 4;
/// Version and random, which both messages begin with.
const VERSION_AND_RANDOM: usize = 34;
const MAX_SERVER_HELLO: usize = 1 << 14;

const SUPPORTED_VERSIONS: u16 = 43;
const TLS13: u16 = 0x0304;
const DTLS13: u16 = 0xfefc;
/// The random of a `HelloRetryRequest`: SHA-256 of that word (RFC 8446 section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What the server chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerHello {
    /// TLS 1.2, DTLS 1.2 or older.
    Old,
    /// TLS 1.3 or DTLS 1.3: everything after it is encrypted.
    Tls13,
    /// A `HelloRetryRequest`: the client begins again, with the same random.
    Retry,
}

impl ServerHello {
    /// Reads the body. If it is cut before the extensions end, they count as absent.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(body);
        bytes.u16()?;
        if bytes.array::<32>()? == RETRY {
            return Some(Self::Retry);
        }
        bytes.vector8()?;
        bytes.take(3)?;
        let mut extensions = Bytes(bytes.vector16().unwrap_or_default());
        while let Some(kind) = extensions.u16() {
            let Some(data) = extensions.vector16() else { break };
            if kind == SUPPORTED_VERSIONS && matches!(Bytes(data).u16(), Some(TLS13 | DTLS13)) {
                return Some(Self::Tls13);
            }
        }
        Some(Self::Old)
    }
}

/// The client random in the body of a `ClientHello`.
pub(crate) fn client_random(body: &[u8]) -> Option<ClientRandom> {
    let mut bytes = Bytes(body);
    bytes.u16()?;
    bytes.array()
}

/// One of the messages looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hello {
    Client(ClientRandom),
    Server(ServerHello),
}

/// Finds them in the handshake messages of one direction, which may be cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    /// The beginning of the present message.
    message: Vec<u8>,
    /// How much of it is of no interest.
    skip: usize,
}

impl Handshake {
    /// Reads on to the end of `bytes`, or to the next message of interest.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Hello>, Lost> {
        loop {
            let skipped = self.skip.min(bytes.len());
            *bytes = &bytes[skipped..];
            self.skip -= skipped;
            if bytes.is_empty() {
                return Ok(None);
            }
            let wanted = self.wanted()?;
            let taken = wanted.saturating_sub(self.message.len()).min(bytes.len());
            self.message.extend_from_slice(&bytes[..taken]);
            *bytes = &bytes[taken..];
            // The header says how much more is wanted.
            if self.message.len() < self.wanted()? {
                if bytes.is_empty() {
                    return Ok(None);
                }
                continue;
            }
            let hello = self.complete();
            if hello.is_some() {
                return Ok(hello);
            }
        }
    }

    /// How much of the present message must be there to read it.
    fn wanted(&self) -> Result<usize, Lost> {
        let Some((kind, len)) = self.header() else { return Ok(HEADER) };
        match kind {
            CLIENT_HELLO => Ok(HEADER + len.min(VERSION_AND_RANDOM)),
            SERVER_HELLO if len <= MAX_SERVER_HELLO => Ok(HEADER + len),
            SERVER_HELLO => Err(Lost),
            _ => Ok(HEADER),
        }
    }

    fn header(&self) -> Option<(u8, usize)> {
        let mut bytes = Bytes(&self.message);
        Some((bytes.u8()?, bytes.u24()? as usize))
    }

    fn complete(&mut self) -> Option<Hello> {
        let (kind, len) = self.header()?;
        let body = self.message.get(HEADER..)?;
        let hello = match kind {
            CLIENT_HELLO => client_random(body).map(Hello::Client),
            SERVER_HELLO => ServerHello::parse(body).map(Hello::Server),
            _ => None,
        };
        self.skip = (HEADER + len).saturating_sub(self.message.len());
        self.message.clear();
        hello
    }
}
