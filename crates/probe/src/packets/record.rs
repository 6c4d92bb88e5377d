//! The Rust side of `packets.h`. Reads never trust a length.

pub(super) const SLOTS: usize = 32;
pub(super) const MAX_INTERFACES: usize = 256;

const HEADER: usize = 48;
/// `struct owner`
const OWNER: usize = 40;
const COMM: usize = 16;

/// `struct packet`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) ts: u64,
    pub(super) original: u32,
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) comm: [u8; COMM],
    pub(super) interface: u16,
    pub(super) direction: u8,
    pub(super) raw: u8,
    pub(super) segment: u16,
}

/// Splits a sample into header and packet.
pub(super) fn parse(sample: &[u8]) -> Option<(Header, &[u8])> {
    let (head, bytes) = sample.split_at_checked(HEADER)?;
    let header = Header {
        ts: u64::from_ne_bytes(head.get(0..8)?.try_into().ok()?),
        original: u32_at(head, 12)?,
        pid: u32_at(head, 16)?,
        uid: u32_at(head, 20)?,
        comm: head.get(24..40)?.try_into().ok()?,
        interface: u16::from_ne_bytes(head.get(40..42)?.try_into().ok()?),
        direction: head[42],
        raw: head[43],
        segment: u16::from_ne_bytes(head.get(44..46)?.try_into().ok()?),
    };
    Some((header, bytes.get(..u32_at(head, 8)? as usize)?))
}

/// The sample without the unused end of its size class.
pub(super) fn used(sample: &[u8]) -> &[u8] {
    u32_at(sample, 8)
        .and_then(|len| sample.get(..HEADER.checked_add(len as usize)?))
        .unwrap_or(sample)
}

/// The text in a `char[16]`.
pub(super) fn text(comm: &[u8; COMM]) -> String {
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(COMM);
    String::from_utf8_lossy(&comm[..end]).into_owned()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// `struct owner`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawOwner {
    pub(super) cookie: u64,
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) comm: String,
    pub(super) wanted: bool,
    pub(super) settled: bool,
}

impl RawOwner {
    pub(super) fn to_bytes(&self) -> [u8; OWNER] {
        let mut bytes = [0; OWNER];
        bytes[0..8].copy_from_slice(&self.cookie.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.pid.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.uid.to_ne_bytes());
        // As the kernel has it: 15 bytes and an end.
        for (place, byte) in bytes[16..31].iter_mut().zip(self.comm.bytes()) {
            *place = byte;
        }
        bytes[32] = u8::from(self.wanted);
        bytes[33] = u8::from(self.settled);
        // It is in the table already: that is where this goes.
        bytes[34] = 1;
        bytes
    }
}

/// `struct interface`
pub(super) fn interface(number: u16, raw: bool, loopback: bool) -> [u8; 8] {
    let number = number.to_ne_bytes();
    [number[0], number[1], u8::from(raw), u8::from(loopback), 0, 0, 0, 0]
}

/// `struct packet_configuration`
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Configuration {
    pub(super) wakeup_level: u64,
    pub(super) cgroup: u64,
    pub(super) ring_count: u32,
    pub(super) snaplen: u32,
    pub(super) uid: Option<u32>,
    pub(super) filter_pid: bool,
    pub(super) follow_children: bool,
    pub(super) netns: u32,
}

impl Configuration {
    pub(super) fn to_bytes(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[0..8].copy_from_slice(&self.wakeup_level.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.cgroup.to_ne_bytes());
        bytes[16..20].copy_from_slice(&self.ring_count.to_ne_bytes());
        bytes[20..24].copy_from_slice(&self.snaplen.to_ne_bytes());
        bytes[24..28].copy_from_slice(&self.uid.unwrap_or(0).to_ne_bytes());
        let filter = self.filter_pid || self.uid.is_some() || self.cgroup != 0;
        let flags = [self.filter_pid, self.uid.is_some(), self.follow_children, filter];
        bytes[28..32].copy_from_slice(&flags.map(u8::from));
        bytes[32..36].copy_from_slice(&self.netns.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(len: u32, bytes: &[u8]) -> Vec<u8> {
        let mut sample = vec![0; HEADER];
        sample[0..8].copy_from_slice(&7_u64.to_ne_bytes());
        sample[8..12].copy_from_slice(&len.to_ne_bytes());
        sample[12..16].copy_from_slice(&1500_u32.to_ne_bytes());
        sample[16..20].copy_from_slice(&42_u32.to_ne_bytes());
        sample[24..28].copy_from_slice(b"curl");
        sample[40..42].copy_from_slice(&3_u16.to_ne_bytes());
        sample[42] = 1;
        sample.extend_from_slice(bytes);
        sample
    }

    #[test]
    fn a_sample_is_read_up_to_its_length() {
        let sample = sample(3, b"abcdef");
        let (header, bytes) = parse(&sample).unwrap();
        assert_eq!(bytes, b"abc");
        assert_eq!((header.ts, header.original, header.pid), (7, 1500, 42));
        assert_eq!((header.interface, header.direction), (3, 1));
        assert_eq!(text(&header.comm), "curl");
        assert_eq!(used(&sample).len(), HEADER + 3);
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert_eq!(parse(&sample(7, b"abcdef")), None);
        assert_eq!(parse(&sample(u32::MAX, b"abcdef")), None);
    }

    proptest! {
        #[test]
        fn no_sample_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
            let _ = used(&bytes);
        }
    }
}
