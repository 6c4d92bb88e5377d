use super::*;
use proptest::prelude::*;
use std::net::SocketAddr;

const PAYLOAD: &[u8] = b"payload";

fn tcp() -> Vec<u8> {
    let mut segment = vec![0x9c, 0x40, 1, 0xbb, 0, 0, 0, 5, 0, 0, 0, 9];
    // Data offset 6: four bytes of options.
    segment.extend_from_slice(&[0x60, 0x18, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    segment.extend_from_slice(PAYLOAD);
    segment
}

fn udp() -> Vec<u8> {
    let len = (8 + PAYLOAD.len()) as u8;
    [&[0x9c, 0x40, 1, 0xbb, 0, len, 0, 0], PAYLOAD].concat()
}

fn ipv4(protocol: u8, options: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let total = (header_len + payload.len()) as u16;
    let mut packet = vec![0x40 | (header_len / 4) as u8, 0];
    packet.extend_from_slice(&total.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet.extend_from_slice(&fragment.to_be_bytes());
    packet.extend_from_slice(&[64, protocol, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
    packet.extend_from_slice(options);
    packet.extend_from_slice(payload);
    packet
}

fn ipv6(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[first, 64]);
    packet.extend((0..16).map(|at| u8::from(at == 15) * 2));
    packet.extend((0..16).map(|at| u8::from(at == 15)));
    packet.extend_from_slice(payload);
    packet
}

fn ethernet(types: &[u16], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![2; 12];
    for (at, ether_type) in types.iter().enumerate() {
        packet.extend_from_slice(&ether_type.to_be_bytes());
        if at + 1 < types.len() {
            packet.extend_from_slice(&[0, 42]);
        }
    }
    packet.extend_from_slice(payload);
    packet
}

fn assert_found(link: LinkType, packet: &[u8]) {
    let segment = dissect(link, packet).unwrap();
    let payload = match segment.transport {
        Transport::Tcp(tcp) => {
            assert_eq!(
                (tcp.seq, tcp.ack, tcp.syn, tcp.fin, tcp.rst),
                (5, Some(9), false, false, false)
            );
            tcp.payload
        }
        Transport::Udp(data) => data,
    };
    assert_eq!(payload, PAYLOAD);
    assert_eq!(segment.from, Side::High);
    assert_eq!(segment.key.end(Side::High).port(), 40_000);
    assert_eq!(segment.key.end(Side::Low).port(), 443);
}

#[test]
fn every_way_to_carry_ip_is_understood() {
    let ip = ipv4(6, &[], 0, &tcp());
    let cooked = [&[0; 14][..], &[8, 0], &ip].concat();
    let cooked2 = [&[8, 0][..], &[0; 18], &ip].concat();
    let pppoe = [&[0x11, 0, 0, 1, 0, 40, 0, 0x21][..], &ip].concat();
    for (link, packet) in [
        (LinkType::Ethernet, ethernet(&[0x0800], &ip)),
        (LinkType::Ethernet, ethernet(&[0x8100, 0x0800], &ip)),
        (LinkType::Ethernet, ethernet(&[0x88a8, 0x8100, 0x0800], &ip)),
        (LinkType::Ethernet, ethernet(&[0x8864], &pppoe)),
        (LinkType::Ethernet, [ethernet(&[0x0800], &ip), vec![0; 9]].concat()),
        (LinkType::Raw, ip.clone()),
        (LinkType::LinuxCooked, cooked),
        (LinkType::LinuxCooked2, cooked2),
    ] {
        assert_found(link, &packet);
    }
}

#[test]
fn options_extensions_and_first_fragments_are_passed_over() {
    let more_fragments = 0x2000;
    let hop_by_hop = [&[60, 0, 0, 0, 0, 0, 0, 0][..], &[6, 1], &[0; 14], &tcp()].concat();
    let fragment = [&[17, 0, 0, 1, 0, 0, 0, 7][..], &udp()].concat();
    let authentication = [&[6, 4, 0, 0][..], &[0; 20], &tcp()].concat();
    for packet in [
        ipv4(6, &[1; 12], 0, &tcp()),
        ipv4(17, &[], more_fragments, &udp()),
        ipv6(6, &tcp()),
        ipv6(17, &udp()),
        ipv6(0, &hop_by_hop),
        ipv6(44, &fragment),
        ipv6(51, &authentication),
    ] {
        assert_found(LinkType::Raw, &packet);
    }
}

#[test]
fn lengths_that_did_not_fit_their_field_mean_the_rest() {
    let mut large = ipv4(6, &[], 0, &tcp());
    large[2..4].fill(0);
    assert_found(LinkType::Raw, &large);
    let mut jumbo = ipv6(6, &tcp());
    jumbo[4..6].fill(0);
    assert_found(LinkType::Raw, &jumbo);
}

#[test]
fn what_has_no_ports_has_no_flow() {
    for packet in [
        ipv4(6, &[], 7, &tcp()),
        ipv4(1, &[], 0, &tcp()),
        ipv6(58, &tcp()),
        ipv6(44, &[&[17, 0, 0, 8, 0, 0, 0, 7][..], &udp()].concat()),
        ethernet(&[0x0806], &tcp()),
    ] {
        assert_eq!(dissect(LinkType::Raw, &packet), None);
        assert_eq!(dissect(LinkType::Ethernet, &packet), None);
    }
}

#[test]
fn both_directions_are_one_flow() {
    let there = ipv4(17, &[], 0, &udp());
    let mut back = there.clone();
    back[12..20].rotate_left(4);
    back[20..24].rotate_left(2);
    let (there, back) =
        (dissect(LinkType::Raw, &there).unwrap(), dissect(LinkType::Raw, &back).unwrap());
    assert_eq!(there.key, back.key);
    assert_ne!(there.from, back.from);
    let address: SocketAddr = "10.0.0.2:40000".parse().unwrap();
    assert_eq!((there.key.end(there.from), there.key.protocol()), (address, 17));
}

proptest! {
    /// Every packet above, cut and changed anywhere.
    #[test]
    fn no_bytes_make_it_panic(
        which in 0..4_usize,
        len in 0..120_usize,
        changes in prop::collection::vec((0..120_usize, any::<u8>()), 0..6),
    ) {
        let mut packet = match which {
            0 => ethernet(&[0x8100, 0x0800], &ipv4(6, &[1; 8], 0, &tcp())),
            1 => ethernet(&[0x86dd], &ipv6(0, &[&[6, 0, 0, 0, 0, 0, 0, 0][..], &tcp()].concat())),
            2 => ethernet(&[0x0800], &ipv4(17, &[], 0, &udp())),
            _ => ethernet(&[0x86dd], &ipv6(44, &[&[17, 0, 0, 1, 0, 0, 0, 7][..], &udp()].concat())),
        };
        packet.truncate(len);
        for (at, value) in changes {
            if let Some(byte) = packet.get_mut(at) {
                *byte = value;
            }
        }
        for link in [LinkType::Ethernet, LinkType::Raw, LinkType::LinuxCooked, LinkType::LinuxCooked2] {
            let _ = dissect(link, &packet);
        }
    }
}
