//! Datagrams that the kernel carries as one packet.
//!
//! QUIC libraries hand over many datagrams at once (`UDP_SEGMENT`), which the device takes apart; those
//! that come in may have been joined. Where packets are captured, all of them have one header. What was
//! or will be on the wire is what a reader can decrypt, so they are taken apart here in the same way.

const ETHERNET: usize = 14;
const VLAN_TAG: usize = 4;
/// 802.1Q and 802.1ad.
const VLAN: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
const MOST_TAGS: usize = 2;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
/// `UDP_MAX_SEGMENTS`
const MOST: usize = 128;
/// In the first byte of QUIC's packets (RFC 9000 section 17); the second may be anything if both ends
/// agreed on that (RFC 9287).
const LONG: u8 = 0x80;
const FIXED_BIT: u8 = 0x40;
/// Of the connection's name, so much is compared.
const NAME: usize = 4;

/// Where the headers are.
struct Layout {
    ip: usize,
    is_ipv4: bool,
    udp: usize,
}

impl Layout {
    fn payload(&self) -> usize {
        self.udp + UDP_HEADER
    }
}

/// A UDP datagram without fragments and, in IPv6, extensions.
fn layout(packet: &[u8], raw: bool) -> Option<Layout> {
    let mut ip = 0;
    if !raw {
        ip = ETHERNET;
        for _ in 0..MOST_TAGS {
            if !VLAN.iter().any(|tag| packet.get(ip - 2..ip) == Some(tag)) {
                break;
            }
            ip += VLAN_TAG;
        }
    }
    let header = packet.get(ip..)?;
    let first = *header.first()?;
    let layout = match first >> 4 {
        4 => {
            let length = usize::from(first & 0xf) * 4;
            let fragment = u16::from_be_bytes(header.get(6..8)?.try_into().ok()?) & 0x3fff;
            let fits = length >= 20 && header.get(9) == Some(&UDP) && fragment == 0;
            fits.then_some(Layout { ip, is_ipv4: true, udp: ip + length })?
        }
        6 if header.get(6) == Some(&UDP) => Layout { ip, is_ipv4: false, udp: ip + 40 },
        _ => return None,
    };
    (packet.len() > layout.payload()).then_some(layout)
}

/// Hands over each of the datagrams of `segment` bytes (the last may have fewer) that a packet of
/// `original` bytes carries, with its own original length. False if it is one packet as it is: then
/// nothing was handed over.
pub(super) fn split(
    packet: &[u8],
    original: u32,
    segment: u16,
    raw: bool,
    mut each: impl FnMut(&[u8], u32),
) -> bool {
    let segment = usize::from(segment);
    let Some(layout) = layout(packet, raw) else { return false };
    let (headers, payload) = packet.split_at(layout.payload());
    let total = (original as usize).max(packet.len()) - headers.len();
    if segment == 0 || total <= segment || total.div_ceil(segment) > MOST {
        return false;
    }
    if !is_quic(payload, segment) {
        return false;
    }
    let mut datagram = Vec::with_capacity(headers.len() + segment);
    for number in 0..total.div_ceil(segment) {
        let begin = number * segment;
        let length = segment.min(total - begin);
        // What was cut off by the snap length is missing here too.
        let captured = payload.get(begin..).unwrap_or_default();
        let captured = &captured[..length.min(captured.len())];
        datagram.clear();
        datagram.extend_from_slice(headers);
        datagram.extend_from_slice(captured);
        finish(&mut datagram, &layout, number as u16, length, captured.len() == length);
        each(&datagram, (headers.len() + length) as u32);
    }
    true
}

/// Whether the pieces are packets of QUIC. The kernel also carries streams inside of tunnels over UDP as
/// one packet, whose datagrams would be others than these.
fn is_quic(payload: &[u8], segment: usize) -> bool {
    let whole = || payload.chunks(segment).filter(|piece| piece.len() > 6 + NAME);
    let first = whole().next().and_then(name);
    payload.chunks(segment).all(|piece| piece[0] & FIXED_BIT != 0)
        || first.is_some() && whole().all(|piece| name(piece) == first)
}

/// The beginning of the destination's connection ID. (A receiver may have an empty one; then this is
/// not what it looks like.)
fn name(piece: &[u8]) -> Option<&[u8]> {
    if piece.first()? & LONG == 0 {
        return piece.get(1..1 + NAME);
    }
    (usize::from(*piece.get(5)?) >= NAME).then(|| piece.get(6..6 + NAME))?
}

/// Fills in lengths, the number of an IPv4 packet, and checksums.
fn finish(datagram: &mut [u8], layout: &Layout, number: u16, length: usize, whole: bool) {
    let udp_length = (UDP_HEADER + length) as u16;
    let (before, udp) = datagram.split_at_mut(layout.udp);
    let ip = &mut before[layout.ip..];
    let addresses = if layout.is_ipv4 { 12..20 } else { 8..40 };
    if layout.is_ipv4 {
        let total = ip.len() as u16 + udp_length;
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        let first = u16::from_be_bytes([ip[4], ip[5]]);
        ip[4..6].copy_from_slice(&first.wrapping_add(number).to_be_bytes());
        ip[10..12].fill(0);
        let sum = checksum(&[ip]);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        ip[4..6].copy_from_slice(&udp_length.to_be_bytes());
    }
    udp[4..6].copy_from_slice(&udp_length.to_be_bytes());
    udp[6..8].fill(0);
    if whole {
        let pseudo = [[0, UDP], udp_length.to_be_bytes()].concat();
        // 0 says that there is none (RFC 768).
        let sum = match checksum(&[&ip[addresses], &pseudo, udp]) {
            0 => u16::MAX,
            sum => sum,
        };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
    }
}

/// RFC 1071. All parts but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(is_ipv4: bool, tags: usize, raw: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        if !raw {
            packet.extend([2; 12]);
            packet.extend([0x81, 0, 0, 7].repeat(tags));
            packet.extend(if is_ipv4 { [8, 0] } else { [0x86, 0xdd] });
        }
        if is_ipv4 {
            packet.extend([0x45, 0, 0, 0, 0xff, 0xff, 0x40, 0, 64, UDP, 0, 0]);
            packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        } else {
            packet.extend([0x60, 0, 0, 0, 0, 0, UDP, 64]);
            packet.extend([7; 32]);
        }
        packet.extend([1, 187, 2, 2, 0, 0, 0, 0]);
        packet.extend_from_slice(payload);
        packet
    }

    fn pieces(
        packet: &[u8],
        original: u32,
        segment: u16,
        raw: bool,
    ) -> Option<Vec<(Vec<u8>, u32)>> {
        let mut pieces = Vec::new();
        let is_split = split(packet, original, segment, raw, |bytes, original| {
            pieces.push((bytes.to_vec(), original));
        });
        assert_eq!(is_split, !pieces.is_empty());
        is_split.then_some(pieces)
    }

    #[test]
    fn every_datagram_has_headers_of_its_own() {
        let payload = [0x41; 250];
        for (is_ipv4, tags, raw) in [(true, 0, false), (false, 2, false), (true, 0, true)] {
            let whole = packet(is_ipv4, tags, raw, &payload);
            let headers = whole.len() - payload.len();
            let pieces = pieces(&whole, whole.len() as u32, 100, raw).unwrap();
            let lengths: Vec<_> = pieces.iter().map(|(bytes, _)| bytes.len() - headers).collect();
            assert_eq!(lengths, [100, 100, 50]);
            for (number, (bytes, original)) in pieces.iter().enumerate() {
                assert_eq!(*original as usize, bytes.len());
                let Layout { ip, udp, .. } = layout(bytes, raw).unwrap();
                let udp_length = (bytes.len() - udp) as u16;
                assert_eq!(bytes[udp + 4..udp + 6], udp_length.to_be_bytes());
                let addresses = if is_ipv4 { ip + 12..ip + 20 } else { ip + 8..ip + 40 };
                let pseudo = [[0, UDP], udp_length.to_be_bytes()].concat();
                assert_eq!(checksum(&[&bytes[addresses], &pseudo, &bytes[udp..]]), 0);
                if is_ipv4 {
                    assert_eq!(checksum(&[&bytes[ip..udp]]), 0);
                    assert_eq!(
                        bytes[ip + 4..ip + 6],
                        0xffff_u16.wrapping_add(number as u16).to_be_bytes()
                    );
                    assert_eq!(bytes[ip + 2..ip + 4], ((bytes.len() - ip) as u16).to_be_bytes());
                }
            }
        }
    }

    #[test]
    fn packets_of_one_connection_are_quic_also_without_the_fixed_bit() {
        let mut payload = [0; 200];
        for (at, name) in [(0, 6), (100, 1)] {
            payload[at] = if name == 6 { LONG } else { 0 };
            payload[at + 5] = 8;
            payload[at + name..at + name + NAME].copy_from_slice(b"name");
        }
        let whole = packet(true, 0, false, &payload);
        assert_eq!(pieces(&whole, whole.len() as u32, 100, false).unwrap().len(), 2);
    }

    #[test]
    fn what_is_cut_off_is_cut_off_of_the_datagrams() {
        let whole = packet(true, 0, true, &[0x41; 150]);
        let headers = (whole.len() - 150) as u32;
        let pieces = pieces(&whole, headers + 350, 100, true).unwrap();
        let lengths: Vec<_> = pieces
            .iter()
            .map(|(bytes, original)| (bytes.len() as u32 - headers, original - headers))
            .collect();
        assert_eq!(lengths, [(100, 100), (50, 100), (0, 100), (0, 50)]);
    }

    #[test]
    fn what_is_not_quic_or_one_datagram_stays_one_packet() {
        let mut inner = [8; 250];
        inner[101] = 9;
        let tunnel = packet(true, 0, false, &inner);
        assert_eq!(pieces(&tunnel, tunnel.len() as u32, 100, false), None);
        let one = packet(true, 0, false, &[0x41; 100]);
        assert_eq!(pieces(&one, one.len() as u32, 100, false), None);
        let mut tcp = packet(true, 0, false, &[0x41; 250]);
        tcp[14 + 9] = 6;
        assert_eq!(pieces(&tcp, tcp.len() as u32, 100, false), None);
        let mut fragment = packet(true, 0, false, &[0x41; 250]);
        fragment[14 + 6] = 0x20;
        assert_eq!(pieces(&fragment, fragment.len() as u32, 100, false), None);
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_panic(
            is_ipv4 in any::<bool>(),
            raw in any::<bool>(),
            tags in 0..4_usize,
            payload in prop::collection::vec(0x40..0x80_u8, 0..300),
            changes in prop::collection::vec((0..60_usize, any::<u8>()), 0..3),
            cut in 0..400_usize,
            original in any::<u32>(),
            segment in any::<u16>(),
        ) {
            let mut bytes = packet(is_ipv4, tags, raw, &payload);
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes.truncate(cut);
            for (original, segment) in [(original, segment), (original % 1000, segment % 100)] {
                if let Some(pieces) = pieces(&bytes, original, segment, raw) {
                    prop_assert!(pieces.len() > 1 && pieces.len() <= MOST);
                    prop_assert!(pieces.iter().all(|(bytes, original)| bytes.len() <= *original as usize));
                }
            }
        }
    }
}
