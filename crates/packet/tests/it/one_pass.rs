//! One pass decrypts everything, whenever the keys come.

use crate::fixture::{Exchanges, body, data, write};
use crate::tshark::{packets, plaintexts, tshark};
use packet::Limits;
use proptest::prelude::*;
use std::sync::LazyLock;

const MILLISECOND: i64 = 1_000_000;

/// What tshark makes of the recording if it has all keys before it begins.
static EXPECTED: LazyLock<Vec<String>> =
    LazyLock::new(|| packets(&data("exchanges.pcap"), Some(&data("exchanges.keys"))));

fn check(
    exchanges: &Exchanges,
    limits: Limits,
    delay: impl FnMut(usize) -> i64,
) -> packet::HoldbackStats {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.pcapng");
    let stats = write(&file, limits, &exchanges.inputs(delay));
    assert_same(&packets(&file, None), &EXPECTED);
    assert_eq!(stats.expired, 0);
    stats
}

fn assert_same(got: &[String], expected: &[String]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!(got, expected);
    }
}

#[test]
fn keys_that_come_first_hold_nothing_back() {
    let stats = check(&Exchanges::load(), Limits::default(), |_| -10 * MILLISECOND);
    assert_eq!(stats.held, 0);
}

#[test]
fn keys_that_come_late_are_waited_for() {
    let stats = check(&Exchanges::load(), Limits::default(), |_| 100 * MILLISECOND);
    assert!(stats.held > 200, "{stats:?}");
    assert_eq!(stats.reordered, 0);
}

#[test]
fn without_waiting_keys_that_come_late_are_useless() {
    let exchanges = Exchanges::load();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.pcapng");
    let limits = Limits { deadline: std::time::Duration::ZERO, ..Limits::default() };
    write(&file, limits, &exchanges.inputs(|_| 100 * MILLISECOND));
    assert_ne!(packets(&file, None), *EXPECTED, "or the other tests show nothing");
}

#[test]
fn every_body_comes_out_as_it_was_sent() {
    let exchanges = Exchanges::load();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.pcapng");
    write(&file, Limits::default(), &exchanges.inputs(|at| (at as i64 % 7) * 30 * MILLISECOND));
    let body = body();
    let holds_body = |text: &Vec<u8>| text.windows(body.len()).any(|run| run == body);
    let plaintexts = plaintexts(&file, None);
    // Two on ports 46000, 46004, 46005 and 46009, of which the first sends but one line; one on the
    // others that are TCP.
    assert_eq!(plaintexts.len(), 15);
    assert_eq!(plaintexts.iter().filter(|text| holds_body(text)).count(), 14);
    let datagrams = tshark(&file, &["-Y", "quic", "-T", "fields", "-e", "quic.stream_data"]);
    let hex = data_encoding::HEXLOWER.encode(&body);
    assert!(datagrams.replace([',', '\n'], "").contains(&hex), "{datagrams}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 8, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each secret with a delay of its own, as little before its deadline as can be, in and out of
    /// the order of time.
    #[test]
    fn any_delay_up_to_the_deadline_is_waited_for(
        delays in prop::collection::vec(-20..495_i64, 80),
        order in 0..500_u64,
    ) {
        let limits = Limits { order: std::time::Duration::from_millis(order), ..Limits::default() };
        check(&Exchanges::load(), limits, |at| delays[at % delays.len()] * MILLISECOND);
    }
}
