use super::*;
use crate::testing::{
    Connection, FIN, MILLISECOND, RST, SYN, client_hello, packet, record, secret, server_hello,
};
use proptest::prelude::*;
use std::collections::HashMap;

const TLS13: [&str; 4] = [
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_TRAFFIC_SECRET_0",
    "CLIENT_TRAFFIC_SECRET_0",
];

/// A hold-back and what it handed out.
struct Run {
    holdback: Holdback,
    out: Vec<String>,
    packets: Vec<Vec<u8>>,
}

impl Run {
    fn new(limits: Limits) -> Self {
        Self { holdback: Holdback::new(limits), out: Vec::new(), packets: Vec::new() }
    }

    fn sink<'s>(
        out: &'s mut Vec<String>,
        packets: &'s mut Vec<Vec<u8>>,
    ) -> impl FnMut(Out<'_>) + 's {
        |what| match what {
            Out::Packet(packet) => {
                out.push(format!("packet {}", packet.ts.0 / MILLISECOND));
                packets.push(packet.bytes.to_vec());
            }
            Out::Secret(secret) => out.push(secret.label.clone()),
            Out::Ended(_) => out.push("ended".to_owned()),
        }
    }

    fn packet(&mut self, at: u64, bytes: &[u8]) {
        let mut sink = Self::sink(&mut self.out, &mut self.packets);
        self.holdback.packet(&packet(at * MILLISECOND, bytes), &mut sink);
    }

    fn secret(&mut self, random: u8, label: &str) {
        let mut sink = Self::sink(&mut self.out, &mut self.packets);
        self.holdback.secret(&secret([random; 32], label), &mut sink);
    }

    fn tick(&mut self, at: u64) {
        let mut sink = Self::sink(&mut self.out, &mut self.packets);
        self.holdback.tick(Timestamp(at * MILLISECOND), &mut sink);
    }

    fn finish(&mut self) {
        let mut sink = Self::sink(&mut self.out, &mut self.packets);
        self.holdback.finish(&mut sink);
    }

    /// What came out since the last time.
    fn new_out(&mut self) -> Vec<String> {
        std::mem::take(&mut self.out)
    }
}

#[test]
fn a_tls13_flow_waits_for_each_secret_where_it_is_needed() {
    let mut run = Run::new(Limits::default());
    let mut tls = Connection::new(1);
    run.packet(1, &tls.segment(0, SYN, b""));
    run.packet(2, &tls.segment(1, SYN, b""));
    run.packet(3, &tls.client(&client_hello([9; 32])));
    run.packet(4, &tls.server(&server_hello([1; 32], true)));
    run.packet(5, &tls.server(&record(23, b"finished")));
    run.packet(6, &tls.client(b""));
    run.packet(7, &tls.client(&record(23, b"finished")));
    assert_eq!(run.new_out(), ["packet 1", "packet 2", "packet 3"]);
    run.secret(9, TLS13[0]);
    assert_eq!(run.new_out(), [TLS13[0]]);
    run.secret(9, TLS13[1]);
    assert_eq!(run.new_out(), [TLS13[1], "packet 4"]);
    run.secret(8, TLS13[2]);
    assert_eq!(run.new_out(), [TLS13[2]], "another connection's");
    run.secret(9, TLS13[2]);
    assert_eq!(run.new_out(), [TLS13[2], "packet 5", "packet 6"]);
    run.secret(9, TLS13[3]);
    assert_eq!(run.new_out(), [TLS13[3], "packet 7"]);
    run.packet(8, &tls.client(&record(23, b"data")));
    assert_eq!(run.new_out(), ["packet 8"]);
}

#[test]
fn a_tls12_flow_waits_before_the_first_change_of_ciphers() {
    let mut run = Run::new(Limits::default());
    let mut tls = Connection::new(1);
    run.packet(1, &tls.client(&client_hello([9; 32])));
    run.packet(2, &tls.server(&server_hello([1; 32], false)));
    run.packet(3, &tls.client(&record(20, &[1])));
    assert_eq!(run.new_out(), ["packet 1", "packet 2"]);
    run.secret(9, "CLIENT_RANDOM");
    assert_eq!(run.new_out(), ["CLIENT_RANDOM", "packet 3"]);
}

#[test]
fn early_data_waits_for_its_secret() {
    let mut run = Run::new(Limits::default());
    let mut tls = Connection::new(1);
    let hello = [client_hello([9; 32]), record(20, &[1]), record(23, b"early")].concat();
    run.packet(1, &tls.client(&hello));
    assert!(run.new_out().is_empty());
    run.secret(9, "CLIENT_EARLY_TRAFFIC_SECRET");
    assert_eq!(run.new_out(), ["CLIENT_EARLY_TRAFFIC_SECRET", "packet 1"]);
}

#[test]
fn a_retry_is_not_yet_the_servers_choice() {
    let retry = data_encoding::HEXLOWER
        .decode(b"cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
        .unwrap();
    let mut run = Run::new(Limits::default());
    let mut tls = Connection::new(1);
    run.packet(1, &tls.client(&client_hello([9; 32])));
    let retry = server_hello(retry.try_into().unwrap(), true);
    run.packet(2, &tls.server(&[retry, record(20, &[1])].concat()));
    run.packet(3, &tls.client(&[record(20, &[1]), client_hello([9; 32])].concat()));
    assert_eq!(run.new_out(), ["packet 1", "packet 2", "packet 3"]);
    run.packet(4, &tls.server(&server_hello([1; 32], true)));
    assert!(run.new_out().is_empty());
}

#[test]
fn hellos_may_be_cut_anywhere_and_come_out_of_order() {
    let hello = client_hello([9; 32]);
    for cut in 1..hello.len() {
        let mut run = Run::new(Limits::default());
        let mut tls = Connection::new(1);
        run.packet(1, &tls.client(&hello[..cut]));
        run.packet(2, &tls.client(&hello[cut..]));
        let answer = server_hello([1; 32], true);
        let parts = [tls.server(&answer[..cut]), tls.server(&answer[cut..])];
        run.packet(3, &parts[1]);
        run.packet(4, &parts[0]);
        assert_eq!(run.new_out(), ["packet 1", "packet 2", "packet 3"], "cut at {cut}");
        run.secret(9, TLS13[0]);
        run.secret(9, TLS13[1]);
        run.secret(9, TLS13[2]);
        assert!(run.new_out().contains(&"packet 4".to_owned()), "cut at {cut}");
    }
}

#[test]
fn a_flow_whose_keys_never_come_is_delayed_once() {
    let mut run = Run::new(Limits::default());
    let mut tls = Connection::new(1);
    run.packet(1, &tls.client(&client_hello([9; 32])));
    run.packet(2, &tls.server(&server_hello([1; 32], true)));
    run.packet(3, &tls.server(&record(23, b"data")));
    run.tick(501);
    assert_eq!(run.new_out(), ["packet 1"]);
    run.tick(502);
    assert_eq!(run.new_out(), ["packet 2", "packet 3"]);
    run.packet(503, &tls.server(&record(23, b"data")));
    assert_eq!(run.new_out(), ["packet 503"]);
    let stats = run.holdback.stats();
    assert_eq!((stats.given_up, stats.expired, stats.waiting), (1, 1, 0));
}

#[test]
fn a_slow_handshake_with_some_keys_goes_on_waiting() {
    let mut run = Run::new(Limits::default());
    let mut tls = Connection::new(1);
    run.packet(1, &tls.client(&client_hello([9; 32])));
    run.packet(2, &tls.server(&server_hello([1; 32], true)));
    run.secret(9, TLS13[0]);
    run.secret(9, TLS13[1]);
    run.packet(3, &tls.server(&record(23, b"certificates")));
    run.tick(600);
    run.new_out();
    run.packet(601, &tls.server(&record(23, b"finished")));
    assert!(run.new_out().is_empty());
    run.secret(9, TLS13[2]);
    assert_eq!(run.new_out(), [TLS13[2], "packet 601"]);
}

#[test]
fn other_flows_wait_to_keep_the_order_of_time_but_not_for_long() {
    let order = Duration::from_millis(200);
    let mut run = Run::new(Limits { order, ..Limits::default() });
    let (mut tls, mut plain) = (Connection::new(1), Connection::new(2));
    run.packet(1, &tls.client(&client_hello([9; 32])));
    run.packet(2, &tls.server(&server_hello([1; 32], true)));
    run.packet(3, &plain.client(b"GET / HTTP/1.0"));
    run.packet(4, &tls.server(&record(23, b"data")));
    run.packet(5, &plain.server(b"HTTP/1.0 200 OK"));
    assert_eq!(run.new_out(), ["packet 1"]);
    assert_eq!(run.holdback.next_deadline(), Some(Timestamp(202 * MILLISECOND)));
    run.tick(202);
    assert_eq!(run.new_out(), ["packet 3", "packet 5"]);
    run.packet(203, &plain.client(b"more"));
    assert_eq!(run.new_out(), ["packet 203"]);
    run.packet(204, &tls.client(b""));
    assert!(run.new_out().is_empty(), "it would overtake its own flow");
    for label in TLS13 {
        run.secret(9, label);
    }
    let out = run.new_out();
    assert_eq!(out[2..], ["packet 2", TLS13[2], "packet 4", "packet 204", TLS13[3]]);
}

#[test]
fn what_is_not_tls_is_never_delayed() {
    let mut run = Run::new(Limits::default());
    let mut plain = Connection::new(2);
    for at in 0..100_u64 {
        run.packet(at, &plain.client(&[0x16, 3, 1, 0, 9, 2, at as u8]));
        run.packet(at, &plain.server(&[at as u8; 30]));
    }
    assert_eq!(run.holdback.stats().passed, 200);
}

#[test]
fn tls_may_begin_late() {
    let mut run = Run::new(Limits::default());
    let mut smtp = Connection::new(25);
    run.packet(1, &smtp.server(b"220 ready\r\n"));
    run.packet(2, &smtp.client(b"STARTTLS\r\n"));
    run.packet(3, &smtp.server(b"220 go ahead\r\n"));
    run.packet(4, &smtp.client(&client_hello([9; 32])));
    run.packet(5, &smtp.server(&server_hello([1; 32], true)));
    assert_eq!(run.new_out().len(), 4);
    run.secret(9, TLS13[0]);
    run.secret(9, TLS13[1]);
    assert_eq!(run.new_out()[2..], ["packet 5"]);
}

#[test]
fn the_same_secret_from_both_ends_is_handed_on_once() {
    let mut run = Run::new(Limits::default());
    for _ in 0..2 {
        run.secret(9, TLS13[0]);
        run.secret(9, "EXPORTER_SECRET");
    }
    assert_eq!(run.new_out(), [TLS13[0], "EXPORTER_SECRET"]);
    assert_eq!(run.holdback.stats().duplicates, 2);
}

#[test]
fn the_end_of_a_connection_is_said_after_its_last_packet() {
    for reset in [false, true] {
        let mut run = Run::new(Limits::default());
        let mut tls = Connection::new(1);
        run.packet(1, &tls.client(&client_hello([9; 32])));
        run.packet(2, &tls.server(&server_hello([1; 32], true)));
        if reset {
            run.packet(3, &tls.segment(0, RST, b""));
        } else {
            run.packet(3, &tls.segment(0, FIN, b""));
            run.packet(3, &tls.segment(1, FIN, b""));
        }
        run.new_out();
        run.finish();
        assert_eq!(run.new_out().last().unwrap(), "ended");
    }
}

#[test]
fn a_connection_on_both_sides_of_an_address_translation_is_two_flows() {
    let mut run = Run::new(Limits::default());
    let (mut inside, mut outside) = (Connection::new(1), Connection::new(2));
    for tls in [&mut inside, &mut outside] {
        run.packet(1, &tls.client(&client_hello([9; 32])));
        run.packet(2, &tls.server(&server_hello([1; 32], true)));
    }
    run.new_out();
    run.secret(9, TLS13[0]);
    run.secret(9, TLS13[1]);
    assert_eq!(run.new_out()[2..], ["packet 2", "packet 1", "packet 2"]);
}

/// Makes traffic out of numbers: what each of a few flows does next.
fn traffic(choices: &[(u8, u8)]) -> Vec<(usize, Vec<u8>)> {
    let mut flows: Vec<_> = (0..6).map(|port| (Connection::new(port), 0)).collect();
    let mut packets = Vec::new();
    for (flow, what) in choices {
        let number = usize::from(*flow) % flows.len();
        let (connection, step) = &mut flows[number];
        let filler = record(23, &vec![*what; usize::from(*what) * 8]);
        let bytes = match (number, *step) {
            (0, _) => connection.client(&filler),
            (_, 0) => connection.client(&client_hello([number as u8; 32])),
            (_, 1) => connection.server(&server_hello([1; 32], number > 1)),
            (1, 2) => connection.client(&record(20, &[1])),
            _ if *what == 0 => connection.segment(1, FIN, b""),
            _ if what % 2 == 0 => connection.client(&filler),
            _ => connection.server(&filler),
        };
        *step += 1;
        packets.push((number, bytes));
    }
    packets
}

#[test]
fn too_much_that_waits_goes_oldest_first() {
    let mut run = Run::new(Limits { bytes: 10_000, ..Limits::default() });
    let mut tls = Connection::new(1);
    run.packet(1, &tls.client(&client_hello([9; 32])));
    for at in 2..12 {
        run.packet(at, &tls.server(&[server_hello([1; 32], true), vec![0; 2000]].concat()));
    }
    let expected: Vec<_> = (1..8).map(|at| format!("packet {at}")).collect();
    assert_eq!(run.new_out(), expected);
    assert_eq!(run.holdback.stats().squeezed, 6);
}

proptest! {
    #[test]
    fn every_packet_comes_out_once_in_its_flows_order_in_time_and_in_bounds(
        choices in prop::collection::vec((any::<u8>(), any::<u8>()), 1..120),
        pauses in prop::collection::vec(0..40_u64, 120),
        secrets in prop::collection::vec((0..120_usize, 1..7_u8, 0..5_usize), 0..40),
        order in 0..600_u64,
        bytes in 1_000..60_000_usize,
        flows in 1..8_usize,
    ) {
        let order = Duration::from_millis(order);
        let limits = Limits { order, bytes, flows, ..Limits::default() };
        let mut run = Run::new(limits);
        let traffic = traffic(&choices);
        let mut now = 0;
        for (at, (_, bytes)) in traffic.iter().enumerate() {
            now += pauses[at];
            run.packet(now, bytes);
            for (_, random, label) in secrets.iter().filter(|(when, ..)| *when == at) {
                let label = TLS13.get(*label).unwrap_or(&"CLIENT_RANDOM");
                run.secret(*random, label);
            }
            let stats = run.holdback.stats();
            prop_assert!(run.holdback.queue.bytes() <= limits.bytes);
            prop_assert_eq!(stats.waiting, at as u64 + 1 - run.packets.len() as u64);
            if let Some(oldest) = run.holdback.queue.oldest() {
                prop_assert!(oldest.arrived.0 + 500 * MILLISECOND > now * MILLISECOND);
                prop_assert!(run.holdback.next_deadline().unwrap().0 > now * MILLISECOND
                    || !run.holdback.in_order);
            }
        }
        run.finish();
        prop_assert_eq!(run.holdback.stats().waiting, 0);
        let sent: Vec<_> = traffic.iter().map(|(_, bytes)| bytes.clone()).collect();
        let mut by_flow: HashMap<_, [Vec<&[u8]>; 2]> = HashMap::new();
        for (side, packets) in [&sent, &run.packets].into_iter().enumerate() {
            for bytes in packets {
                let key = dissect(LinkType::Ethernet, bytes).unwrap().key;
                by_flow.entry(key).or_default()[side].push(bytes);
            }
        }
        for [sent, got] in by_flow.values() {
            prop_assert_eq!(sent, got);
        }
        if run.holdback.stats().reordered == 0 {
            prop_assert_eq!(sent, run.packets);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        packets in prop::collection::vec((0..5_u16, prop::collection::vec(any::<u8>(), 0..200)), 0..30),
    ) {
        let mut run = Run::new(Limits { flows: 2, bytes: 1000, ..Limits::default() });
        for (link, bytes) in &packets {
            run.holdback.interface(0, LinkType::from_number([1, 101, 113, 276, 7][usize::from(*link)]));
            run.packet(1, bytes);
        }
        run.finish();
        prop_assert_eq!(run.packets.len(), packets.len());
    }
}

#[test]
fn a_flow_whose_client_random_was_cut_off_is_not_delayed() {
    let mut run = Run::new(Limits::default());
    let mut tls = Connection::new(1);
    let hello = tls.client(&client_hello([9; 32]));
    run.packet(1, &hello[..70]);
    run.packet(2, &tls.server(&server_hello([1; 32], true)));
    run.packet(3, &tls.client(&record(23, b"data")));
    assert_eq!(run.new_out(), ["packet 1", "packet 2", "packet 3"]);
}

#[test]
fn late_secrets_of_an_old_connection_say_nothing_about_a_new_one_on_its_ports() {
    let mut run = Run::new(Limits::default());
    let mut tls = Connection::new(1);
    run.packet(1, &tls.client(&client_hello([9; 32])));
    run.packet(1, &tls.segment(0, RST, b""));
    let mut tls = Connection::new(1);
    run.packet(2, &tls.client(&client_hello([8; 32])));
    run.packet(3, &tls.server(&server_hello([1; 32], true)));
    run.secret(9, TLS13[0]);
    run.secret(9, TLS13[1]);
    assert!(!run.new_out().contains(&"packet 3".to_owned()));
    run.secret(8, TLS13[0]);
    run.secret(8, TLS13[1]);
    assert!(run.new_out().contains(&"packet 3".to_owned()));
}

#[test]
fn a_connection_that_is_older_is_counted_once_and_not_delayed() {
    let mut run = Run::new(Limits::default());
    let (mut old, mut plain) = (Connection::new(1), Connection::new(2));
    let data = record(23, &[7; 40]);
    for at in 1..4 {
        run.packet(at, &old.client(&data));
        run.packet(at, &old.server(&[&data[..], &data[..20]].concat()));
        run.packet(at, &plain.client(b"\x17\x03\x03zz is not everything"));
        run.packet(at, &plain.client(&record(23, b"too short")));
        run.packet(at, &plain.client(&[&data[..], b"and text"].concat()));
    }
    assert_eq!(run.new_out().len(), 15);
    assert_eq!(run.holdback.undecryptable(), Undecryptable { older: 1, without_secret: 0 });
}

#[test]
fn a_connection_without_secrets_is_counted_once_over_or_not() {
    let mut run = Run::new(Limits::default());
    for port in [1, 2, 3] {
        let mut tls = Connection::new(port);
        run.packet(1, &tls.client(&client_hello([port as u8; 32])));
        run.packet(2, &tls.server(&server_hello([1; 32], port != 3)));
        if port == 2 {
            run.secret(2, TLS13[0]);
        }
        run.packet(3, &tls.server(&record(23, &[7; 40])));
        if port == 1 {
            run.packet(4, &tls.segment(0, RST, b""));
        }
    }
    run.finish();
    let mut late = Connection::new(1);
    run.packet(900, &late.client(&record(23, &[7; 40])));
    run.finish();
    // Nothing was encrypted in the third.
    assert_eq!(run.holdback.undecryptable(), Undecryptable { older: 0, without_secret: 1 });
}

#[test]
fn secrets_that_come_late_are_secrets() {
    let mut run = Run::new(Limits::default());
    let mut tls = Connection::new(1);
    run.packet(1, &tls.client(&client_hello([9; 32])));
    run.packet(2, &tls.server(&server_hello([1; 32], true)));
    run.tick(900);
    assert_eq!(run.holdback.undecryptable().without_secret, 1);
    run.secret(9, TLS13[0]);
    assert_eq!(run.holdback.undecryptable(), Undecryptable::default());
}
