//! The Rust side of `include/record.h`. Reads never trust a length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) const OPEN: u8 = 1;
pub(crate) const ADDRESS: u8 = 2;
pub(crate) const DATA: u8 = 3;
pub(crate) const UNREADABLE: u8 = 4;
pub(crate) const SENDFILE: u8 = 5;
pub(crate) const CLOSE: u8 = 6;
pub(crate) const EXIT: u8 = 7;
pub(crate) const HELD: u8 = 8;
pub(crate) const RELEASED: u8 = 9;

pub(crate) const END_OF_CALL: u8 = 1;

pub(crate) const MAX_LIBRARIES: usize = 1024;
pub(crate) const MAX_FUNCTIONS: usize = 4096;
pub(crate) const STAT_SLOTS: usize = 64;

const HEADER: usize = 40;
const ANNOUNCEMENT: usize = 80;

/// `struct record`, without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) ts: u64,
    pub(crate) conn: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) id: u32,
    pub(crate) kind: u8,
    pub(crate) direction: u8,
    pub(crate) flags: u8,
}

/// Splits a ring buffer sample into header and payload area (which is as long as its size class).
pub(crate) fn parse(sample: &[u8]) -> Option<(Header, &[u8])> {
    let (head, payload) = sample.split_at_checked(HEADER)?;
    let header = Header {
        ts: u64_at(head, 0)?,
        conn: u64_at(head, 8)?,
        offset: u64_at(head, 16)?,
        len: u32_at(head, 24)?,
        id: u32_at(head, 28)?,
        kind: head[32],
        direction: head[33],
        flags: head[34],
    };
    Some((header, payload))
}

/// The time in a sample, for merging rings; 0 if it is too short to have one.
pub(crate) fn time(sample: &[u8]) -> u64 {
    u64_at(sample, 0).unwrap_or(0)
}

/// The sample without the unused end of its size class.
pub(crate) fn used(sample: &[u8]) -> &[u8] {
    let payload = match u32_at(sample, 24) {
        Some(len) if matches!(sample.get(32), Some(&DATA | &HELD)) => len as usize,
        _ => return sample,
    };
    sample.get(..HEADER + payload).unwrap_or(sample)
}

/// `struct announcement`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) ssl: u64,
    pub(crate) tgid: u32,
    pub(crate) uid: u32,
    pub(crate) library: u32,
    pub(crate) comm: String,
    /// Local and remote.
    pub(crate) addresses: Option<(SocketAddr, SocketAddr)>,
}

pub(crate) fn announcement(payload: &[u8]) -> Option<Announcement> {
    let body = payload.get(..ANNOUNCEMENT)?;
    let comm = &body[24..40];
    let comm = &comm[..comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len())];
    Some(Announcement {
        ssl: u64_at(body, 0)?,
        tgid: u32_at(body, 8)?,
        uid: u32_at(body, 12)?,
        library: u32_at(body, 16)?,
        comm: String::from_utf8_lossy(comm).into_owned(),
        addresses: addresses(&body[40..]),
    })
}

/// `struct address`
fn addresses(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let family = i32::from(u16_at(bytes, 0)?);
    let local = address(family, bytes.get(8..24)?)?;
    let remote = address(family, bytes.get(24..40)?)?;
    Some((SocketAddr::new(local, u16_at(bytes, 2)?), SocketAddr::new(remote, u16_at(bytes, 4)?)))
}

/// IPv4-mapped addresses are shown as the IPv4 addresses that they are on the wire.
fn address(family: i32, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        libc::AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()),
        _ => None,
    }
}

/// `struct ending`: how many bytes went by, sent and received.
pub(crate) fn ending(payload: &[u8]) -> Option<[u64; 2]> {
    Some([u64_at(payload, 0)?, u64_at(payload, 8)?])
}

/// The same from a value of the map `connections`: `struct connection` has it after its name.
pub(crate) fn ending_of_connection(value: &[u8]) -> Option<[u64; 2]> {
    ending(value.get(8..)?)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The TLS object has the descriptor itself.
pub(crate) const NO_BIO: i32 = -2;

/// `struct layout`: offsets in bytes, negative where not known.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawLayout {
    pub(crate) ssl_rbio: i32,
    pub(crate) ssl_wbio: i32,
    pub(crate) bio_num: i32,
    pub(crate) reserved: i32,
}

impl RawLayout {
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (at, value) in
            [self.ssl_rbio, self.ssl_wbio, self.bio_num, self.reserved].into_iter().enumerate()
        {
            bytes[at * 4..at * 4 + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }
}

/// `struct configuration`
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Configuration {
    pub(crate) wakeup_level: u64,
    pub(crate) ring_count: u32,
    pub(crate) wanted_uid: u32,
    pub(crate) filter_pid: u8,
    pub(crate) filter_uid: u8,
    pub(crate) filter_cgroup: u8,
    pub(crate) follow_children: u8,
    pub(crate) have_cookie: u8,
    pub(crate) changeable: u8,
}

impl Configuration {
    pub(crate) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[0..8].copy_from_slice(&self.wakeup_level.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.ring_count.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.wanted_uid.to_ne_bytes());
        bytes[16..21].copy_from_slice(&[
            self.filter_pid,
            self.filter_uid,
            self.filter_cgroup,
            self.follow_children,
            self.have_cookie,
        ]);
        bytes[22] = self.changeable;
        bytes
    }
}

/// `struct counters`, as atomics because the kernel side counts on while we read.
pub(crate) mod counter {
    pub(crate) const CALLS_SEND: usize = 0;
    pub(crate) const CALLS_RECV: usize = 1;
    pub(crate) const BYTES_SEND: usize = 2;
    pub(crate) const BYTES_RECV: usize = 3;
    pub(crate) const PEEKS: usize = 4;
    pub(crate) const SENDFILE_CALLS: usize = 5;
    pub(crate) const SENDFILE_BYTES: usize = 6;
    /// What a ring had no room for. With perf buffers it is called `perf_buffer`.
    pub(crate) const RING_FULL: &str = "ring_full";
    /// Pairs of events and bytes, by the name that the summary gives them.
    pub(crate) const LOSSES: [(&str, usize); 5] = [
        (RING_FULL, 7),
        ("unreadable", 9),
        ("unmatched_exit", 11),
        ("too_large", 13),
        ("table_full", 15),
    ];
    pub(crate) const LIFECYCLE_LOST: usize = 17;
    pub(crate) const COUNT: usize = 24;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(family: i32, local: &[u8], remote: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; ANNOUNCEMENT];
        bytes[0..8].copy_from_slice(&0xdead_beef_u64.to_ne_bytes());
        bytes[8..12].copy_from_slice(&42_u32.to_ne_bytes());
        bytes[24..28].copy_from_slice(b"curl");
        bytes[40..42].copy_from_slice(&(family as u16).to_ne_bytes());
        bytes[42..44].copy_from_slice(&51282_u16.to_ne_bytes());
        bytes[44..46].copy_from_slice(&443_u16.to_ne_bytes());
        bytes[48..48 + local.len()].copy_from_slice(local);
        bytes[64..64 + remote.len()].copy_from_slice(remote);
        bytes
    }

    #[test]
    fn announcement_carries_both_ends() {
        let bytes = open(libc::AF_INET, &[10, 0, 0, 5], &[104, 18, 26, 120]);
        let announcement = announcement(&bytes).unwrap();
        assert_eq!(announcement.comm, "curl");
        assert_eq!(announcement.tgid, 42);
        let (local, remote) = announcement.addresses.unwrap();
        assert_eq!(local.to_string(), "10.0.0.5:51282");
        assert_eq!(remote.to_string(), "104.18.26.120:443");
    }

    #[test]
    fn mapped_ipv4_is_shown_as_ipv4() {
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        let bytes = open(libc::AF_INET6, &mapped, &mapped);
        let (local, _) = announcement(&bytes).unwrap().addresses.unwrap();
        assert_eq!(local.to_string(), "127.0.0.1:51282");
    }

    #[test]
    fn unknown_family_is_no_address() {
        assert_eq!(announcement(&open(0, &[], &[])).unwrap().addresses, None);
    }

    #[test]
    fn short_samples_are_refused() {
        for len in 0..HEADER {
            assert_eq!(parse(&vec![1; len]), None);
        }
        for len in 0..ANNOUNCEMENT {
            assert_eq!(announcement(&vec![1; len]), None);
        }
    }
}
