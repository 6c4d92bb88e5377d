//! Link layers, down to the IP header.

use crate::bytes::Bytes;

/// What a captured packet begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkType {
    /// Ethernet (1), also with VLAN tags.
    #[default]
    Ethernet,
    /// An IP header (101; tunnels).
    Raw,
    /// Linux cooked capture (113).
    LinuxCooked,
    /// Linux cooked capture, version 2 (276).
    LinuxCooked2,
    /// Something else: no flows are seen in it.
    Unknown,
}

impl LinkType {
    /// By the number of the registry at tcpdump.org (`LINKTYPE_`).
    pub fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Ethernet,
            // LINKTYPE_RAW, LINKTYPE_IPV4 and LINKTYPE_IPV6 hold the same.
            101 | 228 | 229 => Self::Raw,
            113 => Self::LinuxCooked,
            276 => Self::LinuxCooked2,
            _ => Self::Unknown,
        }
    }
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const PPPOE: u16 = 0x8864;
/// 802.1Q, 802.1ad and its forerunner.
const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// More tags than this are no network but an attack.
const MOST_TAGS: usize = 8;

/// The packet from its IP header on, if it has one.
pub(super) fn network_layer(link: LinkType, packet: &[u8]) -> Option<&[u8]> {
    let mut bytes = Bytes(packet);
    let mut ether_type = match link {
        LinkType::Ethernet => {
            bytes.take(12)?;
            bytes.u16()?
        }
        LinkType::Raw => return Some(packet),
        LinkType::LinuxCooked => {
            bytes.take(14)?;
            bytes.u16()?
        }
        LinkType::LinuxCooked2 => {
            let ether_type = bytes.u16()?;
            bytes.take(18)?;
            ether_type
        }
        LinkType::Unknown => return None,
    };
    for _ in 0..MOST_TAGS {
        if !VLAN.contains(&ether_type) {
            break;
        }
        bytes.u16()?;
        ether_type = bytes.u16()?;
    }
    if ether_type == PPPOE {
        bytes.take(6)?;
        ether_type = match bytes.u16()? {
            0x0021 => IPV4,
            0x0057 => IPV6,
            _ => return None,
        };
    }
    matches!(ether_type, IPV4 | IPV6).then_some(bytes.0)
}
