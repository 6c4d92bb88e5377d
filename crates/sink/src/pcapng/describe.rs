//! What a file says of itself and its interfaces: section header, interface description and
//! statistics blocks.

use super::block::{Block, COMMENT, kind};
use event::Timestamp;

/// Readers of the Wireshark family refuse packets that are longer (`WTAP_MAX_PACKET_SIZE_STANDARD`
/// in wiretap/wtap.h).
pub(super) const MAX_SNAPLEN: u32 = 262_144;

/// `if_tsresol`: times are in units of 10^-9 seconds.
const NANOSECONDS: u8 = 9;

/// Where and by what the capture is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// For example `x86_64`.
    pub hardware: Option<String>,
    /// For example `Linux 6.18.0`.
    pub os: Option<String>,
    /// The program that writes the file, with its version.
    pub application: Option<String>,
}

/// An interface that packets are captured on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As the system names it.
    pub name: String,
    /// In words, if there are any.
    pub description: Option<String>,
    /// The `LINKTYPE_` number of the registry at tcpdump.org: 1 is Ethernet, 101 bare IP.
    pub link_type: u16,
    /// How many bytes of each packet are kept at most; 0 is no limit. Never more than 262 144, which
    /// is what readers accept.
    pub snaplen: u32,
    /// The filter expression.
    pub filter: Option<String>,
    /// The operating system of the host.
    pub os: Option<String>,
}

impl Interface {
    /// The limit that is written and kept to.
    pub(super) fn limit(&self) -> u32 {
        if self.snaplen == 0 { MAX_SNAPLEN } else { self.snaplen.min(MAX_SNAPLEN) }
    }
}

/// What was counted at an interface since the capture began; what is not known is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InterfaceCounts {
    /// When the capture on it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Packets that crossed the hook.
    pub received: Option<u64>,
    /// Packets that should have been captured and were lost.
    pub dropped: Option<u64>,
    /// Packets that the filter let pass.
    pub filter_accepted: Option<u64>,
}

pub(super) fn section_header(section: &Section, out: &mut Vec<u8>) {
    Block::begin(kind::SECTION_HEADER, out)
        .u32(0x1a2b_3c4d)
        .u16(1)
        .u16(0)
        // The section's length is not known in advance: -1.
        .u32(u32::MAX)
        .u32(u32::MAX)
        .text(2, section.hardware.as_deref())
        .text(3, section.os.as_deref())
        .text(4, section.application.as_deref())
        .end();
}

pub(super) fn interface_description(interface: &Interface, out: &mut Vec<u8>) {
    let mut block = Block::begin(kind::INTERFACE_DESCRIPTION, out);
    block
        .u16(interface.link_type)
        .u16(0)
        .u32(interface.limit())
        .text(2, Some(&interface.name))
        .text(3, interface.description.as_deref())
        .option(9, &[NANOSECONDS]);
    if let Some(filter) = &interface.filter {
        // The first byte says what follows: 0 is a libpcap expression.
        block.option(11, &[b"\0", filter.as_bytes()].concat());
    }
    block.text(12, interface.os.as_deref()).end();
}

/// What a statistics block says.
pub(super) struct Statistics<'a> {
    pub(super) counts: &'a InterfaceCounts,
    /// How many packets of the interface were written.
    pub(super) delivered: u64,
    /// The time of the last.
    pub(super) now: Timestamp,
    /// A comment.
    pub(super) remark: Option<&'a str>,
}

pub(super) fn interface_statistics(interface: u32, statistics: &Statistics<'_>, out: &mut Vec<u8>) {
    let Statistics { counts, delivered, now, remark } = statistics;
    let time = |ts: Timestamp| {
        let mut value = [0; 8];
        value[..4].copy_from_slice(&((ts.0 >> 32) as u32).to_le_bytes());
        value[4..].copy_from_slice(&(ts.0 as u32).to_le_bytes());
        value
    };
    let mut block = Block::begin(kind::INTERFACE_STATISTICS, out);
    block.u32(interface).time(counts.ended.unwrap_or(*now).0).text(COMMENT, *remark);
    let options = [
        (2, counts.started.map(time)),
        (3, counts.ended.map(time)),
        (4, counts.received.map(u64::to_le_bytes)),
        (5, counts.dropped.map(u64::to_le_bytes)),
        (6, counts.filter_accepted.map(u64::to_le_bytes)),
        (8, Some(delivered.to_le_bytes())),
    ];
    for (code, value) in options {
        if let Some(value) = value {
            block.option(code, &value);
        }
    }
    block.end();
}
