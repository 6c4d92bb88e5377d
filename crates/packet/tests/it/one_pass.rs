//! One pass decrypts everything, whenever the keys come.

use crate::fixture::{Exchanges, data, write};
use crate::tshark::packets;
use packet::Limits;
use proptest::prelude::*;
use std::path::Path;

const MILLISECOND: i64 = 1_000_000;

fn check(
    exchanges: &Exchanges,
    limits: Limits,
    delay: impl FnMut(usize) -> i64,
) -> packet::HoldbackStats {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.pcapng");
    let stats = write(&file, limits, &exchanges.inputs(delay));
    let expected = packets(&data("exchanges.pcap"), Some(&data("exchanges.keys")));
    assert_same(&packets(&file, None), &expected);
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
    let expected = packets(&data("exchanges.pcap"), Some(&data("exchanges.keys")));
    assert_ne!(packets(&file, None), expected, "or the other tests show nothing");
}

#[test]
fn every_body_comes_out_as_it_was_sent() {
    let exchanges = Exchanges::load();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.pcapng");
    write(&file, Limits::default(), &exchanges.inputs(|at| (at as i64 % 7) * 30 * MILLISECOND));
    let sent = String::from_utf8(crate::fixture::body()).unwrap();
    let bodies = bodies_of(&file);
    // Ports 46000 (both ways), 46001 to 46003, 46004 and 46005 twice, 46006 to 46008, 46011.
    assert_eq!(bodies.iter().filter(|body| **body == sent).count(), 13, "{bodies:?}");
}

fn bodies_of(file: &Path) -> Vec<String> {
    let mut bodies = Vec::new();
    for body in crate::tshark::bodies(file) {
        let as_hex =
            data_encoding::HEXLOWER_PERMISSIVE.decode(body.replace([':', ','], "").as_bytes());
        match as_hex {
            Ok(bytes) => bodies.push(String::from_utf8_lossy(&bytes).into_owned()),
            Err(_) => bodies.push(body.replace("\\n", "\n")),
        }
    }
    bodies
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

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
