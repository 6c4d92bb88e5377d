//! The beginning of the stream of CRYPTO frames: the `ClientHello` up to its random.

use crate::ClientRandom;
use crate::bytes::Bytes;

/// Type and length of the message, version, random.
const WANTED: usize = 4 + 2 + 32;
const CLIENT_HELLO: u8 = 1;

/// The bytes that are wanted, which may come in any order.
pub(super) struct HelloStart {
    bytes: [u8; WANTED],
    /// Bit `n` is set if byte `n` is there.
    have: u64,
}

impl Default for HelloStart {
    fn default() -> Self {
        Self { bytes: [0; WANTED], have: 0 }
    }
}

impl HelloStart {
    /// Reads the frames of an Initial packet (RFC 9000 section 12.4), to the first strange one.
    pub(super) fn read_frames(&mut self, frames: &[u8]) {
        let mut bytes = Bytes(frames);
        while self.read_frame(&mut bytes).is_some() {}
    }

    fn read_frame(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        match bytes.varint()? {
            // PADDING, PING
            0 | 1 => {}
            // ACK, with or without counts of congestion
            kind @ (2 | 3) => {
                bytes.varint()?;
                bytes.varint()?;
                let ranges = bytes.varint()?;
                bytes.varint()?;
                for _ in 0..ranges {
                    bytes.varint()?;
                    bytes.varint()?;
                }
                for _ in 0..if kind == 3 { 3 } else { 0 } {
                    bytes.varint()?;
                }
            }
            // CRYPTO
            6 => {
                let offset = bytes.varint()?;
                let len = usize::try_from(bytes.varint()?).ok()?;
                self.insert(offset, bytes.take(len)?);
            }
            _ => return None,
        }
        Some(())
    }

    fn insert(&mut self, offset: u64, data: &[u8]) {
        let Ok(offset) = usize::try_from(offset) else { return };
        let Some(room) = self.bytes.get_mut(offset..) else { return };
        for (at, (to, from)) in room.iter_mut().zip(data).enumerate() {
            *to = *from;
            self.have |= 1 << (offset + at);
        }
    }

    /// The client random, once it is there.
    pub(super) fn client_random(&self) -> Option<ClientRandom> {
        let complete = self.have == (1 << WANTED) - 1 && self.bytes[0] == CLIENT_HELLO;
        complete.then(|| self.bytes.last_chunk().copied())?
    }
}
