//! One TLS connection over TCP, from its `ClientHello` until its secrets are known.

use super::hello::{Hello, ServerHello};
use super::record::{Records, Step};
use super::stream::Stream;
use super::{Lost, Seen};
use crate::Tcp;
use crate::needs::Needs;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The server has not chosen yet.
    Hello,
    /// TLS 1.2 or older, before the first `ChangeCipherSpec`.
    Old,
    /// TLS 1.2 or older, after it: a reader looked for the master secret then.
    OldEncrypted,
    /// TLS 1.3 after its `ServerHello`. Any record may hold the Finished message, at which a reader
    /// looks for the sender's traffic secret.
    Tls13,
}

#[derive(Debug, Default)]
struct Half {
    stream: Stream,
    records: Records,
}

/// Follows a connection.
#[derive(Debug)]
pub(crate) struct TlsWatch {
    phase: Phase,
    /// The client random was seen.
    is_named: bool,
    client: Half,
    server: Half,
}

impl TlsWatch {
    /// Begins with the segment that begins the `ClientHello`.
    pub(crate) fn new(first: &Tcp<'_>) -> Self {
        let half = |next| Half { stream: Stream::at(next), records: Records::default() };
        let (client, server) = (half(Some(first.seq)), half(first.ack));
        Self { phase: Phase::Hello, is_named: false, client, server }
    }

    /// Whether it is known what the connection will be.
    pub(crate) fn server_has_chosen(&self) -> bool {
        self.phase != Phase::Hello
    }

    /// Reads a segment.
    pub(crate) fn segment(&mut self, from_client: bool, tcp: &Tcp<'_>) -> Result<Seen, Lost> {
        let Self { phase, is_named, client, server } = self;
        let mut seen = Seen::default();
        if !tcp.payload.is_empty() {
            seen.needs = phase.needs(from_client);
        }
        if matches!(phase, Phase::OldEncrypted | Phase::Tls13) {
            return Ok(seen);
        }
        let Half { stream, records } = if from_client { client } else { server };
        stream.push(tcp.seq, tcp.payload, |mut bytes| {
            while !bytes.is_empty() {
                if matches!(phase, Phase::OldEncrypted | Phase::Tls13) {
                    seen.needs = seen.needs.with(phase.needs(from_client));
                    return Ok(());
                }
                let Some(step) = records.next(&mut bytes)? else { break };
                phase.step(from_client, step, &mut seen)?;
                *is_named |= seen.client_random.is_some();
                // The `ClientHello` was cut by the snap length, or lost: no secret can be told to
                // be this connection's, and no reader could use it.
                if *phase != Phase::Hello && !*is_named {
                    return Err(Lost);
                }
            }
            Ok(())
        })?;
        Ok(seen)
    }
}

impl Phase {
    /// What a packet with payload needs.
    fn needs(self, from_client: bool) -> Needs {
        match self {
            Self::Hello | Self::Old => Needs::NONE,
            Self::OldEncrypted => Needs::MASTER,
            Self::Tls13 if from_client => Needs::HANDSHAKE.with(Needs::CLIENT_TRAFFIC),
            Self::Tls13 => Needs::HANDSHAKE.with(Needs::SERVER_TRAFFIC),
        }
    }

    fn step(&mut self, from_client: bool, step: Step, seen: &mut Seen) -> Result<(), Lost> {
        match (*self, step, from_client) {
            (Self::Hello, Step::Hello(Hello::Client(random)), true) => {
                seen.client_random = Some(random);
            }
            (Self::Hello, Step::Hello(Hello::Server(hello)), false) => match hello {
                ServerHello::Old => *self = Self::Old,
                ServerHello::Retry => {}
                ServerHello::Tls13 => {
                    *self = Self::Tls13;
                    seen.needs = seen.needs.with(Needs::HANDSHAKE);
                }
            },
            // For the sake of middleboxes, in a TLS 1.3 that is not agreed on yet.
            (Self::Hello, Step::ChangeCipherSpec, _) => {}
            (Self::Hello, Step::ApplicationData, true) => {
                seen.needs = seen.needs.with(Needs::EARLY);
            }
            (Self::Old, Step::ChangeCipherSpec, _) => {
                *self = Self::OldEncrypted;
                seen.needs = seen.needs.with(Needs::MASTER);
            }
            _ => return Err(Lost),
        }
        Ok(())
    }
}
