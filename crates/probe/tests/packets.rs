//! Packets of real programs, against what tcpdump sees of them at the same time.
//!
//! Each test has a network namespace of its own, so that it sees no traffic but its own.

mod net;

use event::Direction;
use net::scripts::{
    CLIENT, FRAGMENT_SENDER, PAIR, PARENT, RECEIVER, SERVER, TAGGED, TRAFFIC, TUN, TUN_SENDER,
};
use net::{Seen, Tcpdump, capture, own_network, python, veth};
use probe::packets::Options;

/// Ends the test if programs cannot be loaded here.
macro_rules! needs_bpf {
    () => {
        if !net::bpf_is_possible() {
            return;
        }
    };
}

const PORT: u16 = 4431;

/// Makes a test's process one that captures.
const CHILD: &str = "ECAPTURE_TEST_CAPTURES_UNTIL_KILLED";

fn on(interfaces: &[&str]) -> Options {
    Options { interfaces: interfaces.iter().map(|i| (*i).to_owned()).collect(), ..net::options() }
}

fn ports(packet: &Seen) -> [u16; 2] {
    let ip = &packet.bytes[14..];
    let at = if ip[0] >> 4 == 4 { usize::from(ip[0] & 0xf) * 4 } else { 40 };
    let port = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
    [port(at), port(at + 2)]
}

fn is_of(packet: &Seen, pid: u32) -> bool {
    packet.owner.as_ref().is_some_and(|owner| owner.pid == pid)
}

#[test]
fn loopback_is_recorded_once_and_as_tcpdump_does() {
    needs_bpf!();
    own_network();
    for address in ["127.0.0.1", "::1"] {
        let mut server = python(SERVER, &[address, &PORT.to_string()]);
        server.wait_for("ready");
        let mut client = python(CLIENT, &[address, &PORT.to_string()]);
        let tcpdump = Tcpdump::start("lo", "tcp");
        let capture = capture(Options { filter: Some("tcp".to_owned()), ..on(&["lo"]) });
        client.say("4000000");
        client.wait_for(" 4000000");
        let theirs = tcpdump.stop();
        let (ours, tally) = capture.stop();
        assert_eq!((tally[0].seen, tally[0].lost), (ours.len() as u64, 0));
        net::assert_same(&ours, &theirs);
        assert!(ours.iter().any(|packet| packet.bytes.len() > 20_000), "no large packet");
        // From the first on, with its receiver, though the server is older than the capture.
        for packet in ours.iter().filter(|packet| ports(packet).contains(&PORT)) {
            let receiver = if ports(packet)[1] == PORT { server.pid() } else { client.pid() };
            assert!(is_of(packet, receiver), "{packet:?}");
            assert_eq!(packet.dir, Direction::Recv);
            assert!(packet.owner.as_ref().unwrap().comm.starts_with("python"));
        }
        assert!(ours.is_sorted_by_key(|packet| packet.ts));
    }
}

#[test]
fn only_the_asked_process_and_all_of_its_packets() {
    needs_bpf!();
    own_network();
    let mut server = python(SERVER, &["127.0.0.1", &PORT.to_string()]);
    server.wait_for("ready");
    let mut asked = python(CLIENT, &["127.0.0.1", &PORT.to_string()]);
    let mut other = python(CLIENT, &["127.0.0.1", &PORT.to_string()]);
    let tcpdump = Tcpdump::start("lo", "tcp");
    let capture = capture(Options { pids: Some(vec![asked.pid()]), ..on(&["lo"]) });
    let mut own = Vec::new();
    for _ in 0..20 {
        for client in [&mut asked, &mut other] {
            client.say("30000");
        }
        let port: u16 = asked.wait_for(" 30000").split(' ').next().unwrap().parse().unwrap();
        own.push(port);
        other.wait_for(" 30000");
    }
    let theirs = tcpdump.stop();
    let (ours, _) = capture.stop();
    let expected: Vec<_> =
        theirs.into_iter().filter(|p| ports(p).iter().any(|port| own.contains(port))).collect();
    // Handshakes, resets and last acknowledgements included.
    net::assert_same(&ours, &expected);
    for packet in &ours {
        assert!(is_of(packet, asked.pid()), "{packet:?}");
        let sent = own.contains(&ports(packet)[0]);
        assert_eq!(packet.dir, if sent { Direction::Send } else { Direction::Recv });
    }
}

#[test]
fn the_packets_of_a_server_are_all_those_of_its_connections() {
    needs_bpf!();
    own_network();
    let mut server = python(SERVER, &["::", &PORT.to_string()]);
    let mut other = python(SERVER, &["127.0.0.1", "4432"]);
    server.wait_for("ready");
    other.wait_for("ready");
    let tcpdump = Tcpdump::start("lo", "tcp port 4431");
    let capture = capture(Options { pids: Some(vec![server.pid()]), ..on(&["lo"]) });
    // Through an IPv4-mapped socket, too.
    for (address, port) in [("::1", "4431"), ("127.0.0.1", "4431"), ("127.0.0.1", "4432")] {
        let mut client = python(CLIENT, &[address, port]);
        client.say("100000");
        client.wait_for(" 100000");
    }
    let theirs = tcpdump.stop();
    let (ours, _) = capture.stop();
    net::assert_same(&ours, &theirs);
    assert!(ours.iter().all(|packet| is_of(packet, server.pid())));
}

#[test]
fn an_accepted_connection_belongs_to_the_worker_that_uses_it() {
    needs_bpf!();
    own_network();
    let capture = capture(on(&["lo"]));
    let mut server = python(SERVER, &["127.0.0.1", &PORT.to_string(), "fork"]);
    let worker: u32 = server.wait_for("worker ")["worker ".len()..].trim().parse().unwrap();
    let mut client = python(CLIENT, &["127.0.0.1", &PORT.to_string()]);
    client.say("500000");
    client.wait_for(" 500000");
    let (ours, _) = capture.stop();
    let to_server: Vec<&Seen> = ours.iter().filter(|packet| ports(packet)[1] == PORT).collect();
    let (first, last) = (to_server.first().unwrap(), to_server.last().unwrap());
    assert!(is_of(first, server.pid()), "the connection request: {first:?}");
    assert!(is_of(last, worker), "the end: {last:?}");
    net::kill(worker);
}

#[test]
fn connections_that_are_older_than_the_capture_have_owners() {
    needs_bpf!();
    own_network();
    let mut pair = python(PAIR, &[]);
    pair.wait_for("ready");
    let tcpdump = Tcpdump::start("lo", "tcp or udp");
    let capture = capture(Options { pids: Some(vec![pair.pid()]), ..on(&["lo"]) });
    pair.say("go");
    pair.wait_for("done");
    let theirs = tcpdump.stop();
    let (ours, _) = capture.stop();
    net::assert_same(&ours, &theirs);
    assert!(ours.len() >= 6, "{}", ours.len());
    assert!(ours.iter().all(|packet| is_of(packet, pair.pid())));
}

#[test]
fn a_pair_of_interfaces_shows_both_directions_of_every_kind_of_packet() {
    needs_bpf!();
    own_network();
    let peer = veth();
    let mut server = peer.python(SERVER, &["10.9.0.2", &PORT.to_string()]);
    server.wait_for("ready");
    // Without what the kernel sends by itself now and then.
    let filter = "ip or (ip6 host fd09::2 and not icmp6)";
    let tcpdump = Tcpdump::start("pk0", filter);
    let capture = capture(Options { filter: Some(filter.to_owned()), ..on(&["pk0"]) });
    let mut client = python(CLIENT, &["10.9.0.2", &PORT.to_string()]);
    client.say("3000000");
    client.wait_for(" 3000000");
    let mut traffic = python(TRAFFIC, &[]);
    traffic.wait_for("done");
    let theirs = tcpdump.stop();
    let (ours, tally) = capture.stop();
    assert_eq!((tally[0].seen, tally[0].lost), (ours.len() as u64, 0));
    net::assert_same(&ours, &theirs);
    for dir in [Direction::Send, Direction::Recv] {
        assert!(ours.iter().any(|packet| packet.dir == dir));
    }
    assert!(ours.iter().any(|packet| packet.bytes.len() > 20_000), "no large packet");
    // All of the connection, from its first packet on, both ways.
    let connection = ours.iter().filter(|p| p.bytes[23] == 6 && ports(p).contains(&PORT)).count();
    assert_eq!(ours.iter().filter(|packet| is_of(packet, client.pid())).count(), connection);
    // Datagrams in fragments, options and extensions, what no port belongs to.
    let sent: Vec<_> = ours.iter().filter(|p| is_of(p, traffic.pid())).collect();
    assert!(sent.len() > 90, "{}", sent.len());
    let outgoing = ours.iter().filter(|packet| packet.dir == Direction::Send);
    assert!(outgoing.clone().all(|packet| packet.owner.is_some()), "{ours:?}");
}

#[test]
fn fragments_that_come_in_have_the_owner_of_the_first() {
    needs_bpf!();
    own_network();
    let peer = veth();
    let mut receiver = python(RECEIVER, &[]);
    receiver.wait_for("ready");
    let tcpdump = Tcpdump::start("pk0", "ip proto 17 or ip6[6] = 44");
    let capture = capture(Options { pids: Some(vec![receiver.pid()]), ..on(&["pk0"]) });
    peer.python(FRAGMENT_SENDER, &[]).wait_for("sent");
    receiver.wait_for("done");
    let theirs = tcpdump.stop();
    let (ours, _) = capture.stop();
    assert!(theirs.len() > 20, "{}", theirs.len());
    net::assert_same(&ours, &theirs);
}

#[test]
fn a_vlan_tag_is_where_it_is_on_the_wire_and_can_be_asked_for() {
    needs_bpf!();
    own_network();
    let peer = veth();
    for (filter, expected) in [
        ("udp port 4321", 4),
        ("vlan", 3),
        ("vlan 100", 2),
        ("vlan 100 and udp port 4321", 1),
        ("vlan 100 and vlan 200 and udp", 1),
        ("vlan 200 and ip host 10.9.0.9", 1),
        ("udp port 4321 and not vlan", 2),
        ("vlan and len > 1000", 0),
        ("ether[14:2] & 0xfff = 200 and vlan", 1),
        ("ether[13:4] & 0x00fff000 = 0x00064000 and vlan", 0),
        ("ether[13:4] & 0x000fff00 = 0x00006400 and vlan", 2),
        ("ether[ether[0] - 242:4] & 0x000fff00 = 0x00006400 and vlan", 2),
        ("ether[ether[0] - 243:2] = 0x8100 and vlan", 3),
    ] {
        let tcpdump = Tcpdump::start("pk0", "udp or vlan");
        let capture = capture(Options { filter: Some(filter.to_owned()), ..on(&["pk0"]) });
        peer.python(TAGGED, &[]).wait_for("done");
        tcpdump.wait_for_packets(5);
        let theirs = tcpdump.stop();
        let (ours, _) = capture.stop();
        assert_eq!(ours.len(), expected, "{filter}");
        for packet in &ours {
            assert!(theirs.iter().any(|their| their.bytes == packet.bytes), "{filter}: {packet:?}");
        }
    }
}

#[test]
fn an_interface_without_a_link_header_has_bare_ip() {
    needs_bpf!();
    own_network();
    let mut tun = python(TUN, &[]);
    tun.wait_for("ready");
    let tcpdump = Tcpdump::start("pktun", "udp port 4321");
    let capture = capture(Options { filter: Some("udp port 4321".to_owned()), ..on(&["pktun"]) });
    tun.say("go");
    tun.wait_for("done");
    python(TUN_SENDER, &[]).wait_for("sent");
    tcpdump.wait_for_packets(2);
    let theirs = tcpdump.stop();
    let (ours, _) = capture.stop();
    net::assert_same(&ours, &theirs);
    let in_order: Vec<_> = ours.iter().map(|packet| packet.dir).take(2).collect();
    assert_eq!(in_order, [Direction::Recv, Direction::Send]);
    assert!(ours.iter().all(|packet| packet.bytes[0] == 0x45));
}

#[test]
fn a_short_snapshot_keeps_the_true_length() {
    needs_bpf!();
    own_network();
    let mut server = python(SERVER, &["127.0.0.1", &PORT.to_string()]);
    server.wait_for("ready");
    let tcpdump = Tcpdump::start("lo", "tcp");
    let capture = capture(Options { snaplen: 60, filter: Some("tcp".to_owned()), ..on(&["lo"]) });
    let mut client = python(CLIENT, &["127.0.0.1", &PORT.to_string()]);
    client.say("200000");
    client.wait_for(" 200000");
    let theirs = tcpdump.stop();
    let (ours, _) = capture.stop();
    assert!(theirs.iter().any(|their| their.bytes.len() > 10_000));
    let cut: Vec<Seen> = theirs
        .into_iter()
        .map(|their| Seen { bytes: their.bytes[..60.min(their.bytes.len())].to_vec(), ..their })
        .collect();
    // With the true length.
    net::assert_same(&ours, &cut);
}

#[test]
fn what_is_lost_is_counted() {
    needs_bpf!();
    own_network();
    let mut server = python(SERVER, &["127.0.0.1", &PORT.to_string()]);
    server.wait_for("ready");
    // Nobody empties the queue while the traffic flows: it fills, and then the rings do.
    let options = Options { ring_bytes: 1 << 20, queue_bytes: 1, ..on(&["lo"]) };
    let mut packets = probe::packets::Packets::load(options).unwrap();
    let mut client = python(CLIENT, &["127.0.0.1", &PORT.to_string()]);
    client.say("90000000");
    client.wait_for(" 90000000");
    let (mut packets_out, mut bytes_out) = (0, 0);
    packets.detach();
    while !packets.is_drained() {
        packets.drain(|packet| {
            packets_out += 1;
            bytes_out += u64::from(packet.original_len);
        });
    }
    let tally = packets.tally()[0];
    assert!(tally.lost > 0 && tally.captured > 0, "{tally:?}");
    assert_eq!(tally.seen, tally.captured + tally.lost, "{tally:?}");
    assert_eq!(tally.seen_bytes, tally.captured_bytes + tally.lost_bytes, "{tally:?}");
    assert_eq!((tally.captured, tally.captured_bytes), (packets_out, bytes_out));
    assert!(tally.seen_bytes > 90_000_000, "{tally:?}");
}

#[test]
fn nothing_is_left_behind_by_a_run_that_is_killed() {
    needs_bpf!();
    if std::env::var_os(CHILD).is_some() {
        let _packets = probe::packets::Packets::load(on(&[])).unwrap();
        println!("captures");
        loop {
            std::thread::park();
        }
    }
    own_network();
    let _peer = veth();
    // Somebody else's discipline is theirs.
    net::run("tc", &["qdisc", "add", "dev", "pk0", "clsact"]);
    let filters = |interface: &str| {
        ["ingress", "egress"]
            .map(|side| net::run("tc", &["filter", "show", "dev", interface, side]))
            .concat()
    };
    let disciplines = |interface: &str| net::run("tc", &["qdisc", "show", "dev", interface]);
    for without in ["tcx", ""] {
        let name = "nothing_is_left_behind_by_a_run_that_is_killed";
        let mut child = net::this_test(name, &[(CHILD, "1"), ("ECAPTURE_WITHOUT", without)]);
        child.wait_for("captures");
        assert_eq!(filters("lo").contains("packets_ingress"), without == "tcx");
        assert_eq!(filters("pk0").contains("packets_egress"), without == "tcx");
        // A second run leaves the first one's alone.
        let second = Options { without: net::without("tcx"), ..on(&["lo", "pk0"]) };
        drop(capture(second).stop());
        assert_eq!(filters("pk0").contains("packets_egress"), without == "tcx");
        child.kill();
        let next = capture(on(&["lo"]));
        assert_eq!(filters("lo") + &filters("pk0"), "", "{without}");
        assert!(!disciplines("lo").contains("clsact"), "{without}");
        assert!(disciplines("pk0").contains("clsact"));
        drop(next.stop());
    }
}

#[test]
fn filters_of_the_older_kind_see_the_same() {
    needs_bpf!();
    own_network();
    let mut server = python(SERVER, &["127.0.0.1", &PORT.to_string()]);
    server.wait_for("ready");
    let tcpdump = Tcpdump::start("lo", "tcp port 4431");
    let capture = capture(Options {
        without: net::without("tcx,btf"),
        filter: Some("tcp port 4431".to_owned()),
        ..on(&["lo"])
    });
    let mut client = python(CLIENT, &["127.0.0.1", &PORT.to_string()]);
    client.say("200000");
    client.wait_for(" 200000");
    let theirs = tcpdump.stop();
    let (ours, _) = capture.stop();
    net::assert_same(&ours, &theirs);
    let to_client: Vec<_> = ours.iter().filter(|packet| ports(packet)[0] == PORT).collect();
    assert!(to_client.len() > 3);
    assert!(to_client.iter().all(|packet| is_of(packet, client.pid())));
    assert!(!net::run("tc", &["qdisc", "show", "dev", "lo"]).contains("clsact"));
}

#[test]
fn a_command_and_its_children_are_followed() {
    needs_bpf!();
    own_network();
    let mut server = python(SERVER, &["127.0.0.1", &PORT.to_string()]);
    server.wait_for("ready");
    let mut parent = python(PARENT, &[&PORT.to_string()]);
    let mut other = python(CLIENT, &["127.0.0.1", &PORT.to_string()]);
    let tcpdump = Tcpdump::start("lo", "tcp");
    let options = Options { pids: Some(vec![parent.pid()]), follow_children: true, ..on(&["lo"]) };
    let capture = capture(options);
    parent.say("go");
    parent.wait_for("done");
    other.say("100");
    let port: u16 = other.wait_for(" 100").split(' ').next().unwrap().parse().unwrap();
    let theirs = tcpdump.stop();
    let (ours, _) = capture.stop();
    let expected: Vec<_> = theirs.into_iter().filter(|p| !ports(p).contains(&port)).collect();
    assert!(expected.len() >= 6);
    net::assert_same(&ours, &expected);
}
