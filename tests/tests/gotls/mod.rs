//! `ecapture gotls`: programs built by Go 1.15 (arguments on the stack) to 1.27.

mod connections;
mod exactness;
mod fork;
mod harm;
mod memory;
mod packets;
mod which;

use e2e::go::{Transfers, transfer};
use e2e::message::messages;
use e2e::stream::streams;
use e2e::{Capture, Direction, Line, Scratch};

/// Starts `ecapture gotls --format json` and waits until it is ready.
fn capture(scratch: &Scratch, arguments: &[&str]) -> Capture {
    capture_without(scratch, "", arguments)
}

/// The same without some features of the kernel.
fn capture_without(scratch: &Scratch, features: &str, arguments: &[&str]) -> Capture {
    // Rings that hold all of it: what is lost on a busy host is not what is tested here.
    let general = ["--mapsize", "8192", "--format", "json"];
    Capture::without(features, "gotls", scratch, &[&general, arguments].concat())
}

/// Processes as `--pid` takes them.
fn pids(pids: &[u32]) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// What a process sent and received as HTTP bodies, named as the client names it.
fn bodies(lines: &[Line], pid: u32, is_client: bool) -> Transfers {
    let mut transfers = Transfers::new();
    for message in messages(lines, &[pid]) {
        assert!(message.complete, "an incomplete message: {:?}", message.head);
        let name = transfer(is_client == (message.head.dir == Direction::Send), &message.body);
        *transfers.entry(name).or_default() += 1;
    }
    transfers
}

/// The same of whole streams, captured with `--no-parse`.
fn whole(lines: &[Line], pid: u32, is_client: bool) -> Transfers {
    let mut transfers = Transfers::new();
    for stream in streams(lines, &[pid]) {
        let name = transfer(is_client == (stream.dir == Direction::Send), &stream.bytes);
        *transfers.entry(name).or_default() += 1;
    }
    transfers
}
