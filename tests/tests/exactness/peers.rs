//! Programs of our own in Python and node, whose every byte we choose: no HTTP, nothing parsed.

use super::assert_streams;
use e2e::peer::{Exchange, Language, Side};
use e2e::{Capture, Direction, Payload, Scratch, needs_bpf};

#[track_caller]
fn assert_exchange(client: Side, server: Side, connections: usize) {
    let scratch = Scratch::new();
    // Both run before the capture starts: what is found later is not what is tested here.
    let exchange = Exchange::prepare(&scratch, &client, &server, connections);
    let capture = Capture::raw(&scratch, &[]);
    let pids = exchange.run();
    let lines = capture.stop().lines();
    let requests = vec![client.sends; connections];
    let responses = vec![server.sends; connections];
    assert_streams(&lines, &[pids.client], Direction::Send, &requests);
    assert_streams(&lines, &[pids.client], Direction::Recv, &responses);
    assert_streams(&lines, &[pids.server], Direction::Recv, &requests);
    assert_streams(&lines, &[pids.server], Direction::Send, &responses);
}

fn side(language: Language, sends: Vec<u8>) -> Side {
    Side { language, sends }
}

#[test]
fn python_sends_several_mib_in_one_call() {
    needs_bpf!();
    let client = side(Language::Python, Payload::text(5 << 20));
    assert_exchange(client, side(Language::Python, Payload::binary(3 << 20)), 1);
}

#[test]
fn python_sends_one_byte() {
    needs_bpf!();
    let client = side(Language::Python, Payload::text(1));
    assert_exchange(client, side(Language::Python, Payload::text(1)), 1);
}

#[test]
fn python_threads_have_a_connection_each() {
    needs_bpf!();
    let client = side(Language::Python, Payload::text(70_000));
    assert_exchange(client, side(Language::Python, Payload::multibyte(90_000)), 16);
}

#[test]
fn python_coroutines_share_a_thread() {
    needs_bpf!();
    let client = side(Language::PythonAsync, Payload::text(70_000));
    assert_exchange(client, side(Language::PythonAsync, Payload::binary(90_000)), 16);
}

#[test]
fn node_talks_to_node() {
    needs_bpf!();
    let client = side(Language::Node, Payload::text(3 << 20));
    assert_exchange(client, side(Language::Node, Payload::binary(3 << 20)), 1);
}

#[test]
fn node_holds_64_connections() {
    needs_bpf!();
    let client = side(Language::Node, Payload::text(20_000));
    assert_exchange(client, side(Language::Node, Payload::text(30_000)), 64);
}

#[test]
fn node_talks_to_python() {
    needs_bpf!();
    let client = side(Language::Node, Payload::text(1 << 20));
    assert_exchange(client, side(Language::Python, Payload::text(1 << 20)), 8);
}
