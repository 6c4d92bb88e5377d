//! The records of one direction, before it is encrypted.

use super::Lost;
use super::hello::{CLIENT_HELLO, Handshake, Hello};

const HEADER: usize = 5;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;
/// Plaintext of 2^14 bytes and what encryption may add to it in TLS 1.2 (RFC 5246 section 6.2.3).
const MAX_RECORD: usize = (1 << 14) + 2048;
/// No cipher suite adds less than this: the tag of an AEAD, or a block.
const MIN_ENCRYPTED: usize = 16;

/// What happens in a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Hello(Hello),
    ChangeCipherSpec,
    ApplicationData,
}

/// True if a TCP segment may be the beginning of a `ClientHello`, or a first part of that.
pub(crate) fn may_begin_client_hello(payload: &[u8]) -> bool {
    let at = |index: usize, fits: fn(u8) -> bool| payload.get(index).is_none_or(|byte| fits(*byte));
    !payload.is_empty()
        && at(0, |kind| kind == HANDSHAKE)
        && at(1, |major| major == 3)
        && at(2, |minor| minor <= 4)
        && at(3, |len| usize::from(len) << 8 <= MAX_RECORD)
        && at(5, |kind| kind == CLIENT_HELLO)
}

/// True if a TCP segment begins with a record of application data, and what follows it in the segment
/// begins as records do.
pub(crate) fn begins_application_data(segment: &[u8]) -> bool {
    let mut rest = segment;
    let mut first = true;
    loop {
        let Some((header, after)) = rest.split_first_chunk::<HEADER>() else {
            // The rest of a header that was cut says no more.
            return !first;
        };
        let [kind, major, minor, high, low] = *header;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let kinds = if first {
            APPLICATION_DATA..=APPLICATION_DATA
        } else {
            CHANGE_CIPHER_SPEC..=HEARTBEAT
        };
        // TLS 1.0 to 1.3, and at least a tag.
        let fits =
            if kind == APPLICATION_DATA { MIN_ENCRYPTED..=MAX_RECORD } else { 1..=MAX_RECORD };
        if !kinds.contains(&kind) || major != 3 || !(1..=3).contains(&minor) || !fits.contains(&len)
        {
            return false;
        }
        first = false;
        let Some(next) = after.get(len..) else { return true };
        rest = next;
    }
}

/// Reads the records of one direction, which may be cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: [u8; HEADER],
    header_len: usize,
    /// What is left of the present record.
    left: usize,
    handshake: Handshake,
}

impl Records {
    /// Reads on to the end of `bytes`, or to the next step.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Step>, Lost> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (mut now, _) = bytes.split_at(self.left.min(bytes.len()));
                let before = now.len();
                let hello = if self.header[0] == HANDSHAKE {
                    self.handshake.next(&mut now)?
                } else {
                    now = &[];
                    None
                };
                let taken = before - now.len();
                self.left -= taken;
                *bytes = &bytes[taken..];
                if let Some(hello) = hello {
                    return Ok(Some(Step::Hello(hello)));
                }
                continue;
            }
            self.header[self.header_len] = bytes[0];
            self.header_len += 1;
            *bytes = &bytes[1..];
            if self.header_len == HEADER {
                self.header_len = 0;
                if let Some(step) = self.begin()? {
                    return Ok(Some(step));
                }
            }
        }
        Ok(None)
    }

    /// A header is complete.
    fn begin(&mut self) -> Result<Option<Step>, Lost> {
        let [kind, major, minor, high, low] = self.header;
        let len = usize::from(u16::from_be_bytes([high, low]));
        if major != 3 || minor > 4 || len > MAX_RECORD {
            return Err(Lost);
        }
        self.left = len;
        match kind {
            CHANGE_CIPHER_SPEC => Ok(Some(Step::ChangeCipherSpec)),
            APPLICATION_DATA => Ok(Some(Step::ApplicationData)),
            HANDSHAKE | ALERT | HEARTBEAT => Ok(None),
            _ => Err(Lost),
        }
    }
}
