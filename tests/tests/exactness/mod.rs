//! Every byte that goes through the library comes out once, in order, from both ends.

mod http1;
mod http2;
mod http2_joined_late;
mod http_parsed;
mod large;
pub(crate) mod openssl;
mod peers;
mod sendfile;

use e2e::curl::Transferred;
use e2e::line::{Direction, Line};
use e2e::stream::{self, digests, streams};

/// One byte, one KiB, what fits in a TLS record and one more or less, and many records.
const SIZES: [usize; 6] = [1, 1 << 10, (16 << 10) - 1, 16 << 10, (16 << 10) + 1, 1 << 20];

/// Compares the streams of some processes and one direction with what they should be, as sets.
#[track_caller]
pub(crate) fn assert_streams(lines: &[Line], pids: &[u32], dir: Direction, expected: &[Vec<u8>]) {
    let all = streams(lines, pids);
    let captured = stream::of(&all, dir);
    assert_eq!(
        digests(captured.iter().map(|stream| &stream.bytes[..])),
        digests(expected.iter().map(Vec::as_slice)),
        "{dir:?} of {pids:?}"
    );
}

/// Compares both ends of HTTP/1.1 transfers, one connection each, with what curl says went over.
#[track_caller]
fn assert_http1(lines: &[Line], workers: &[u32], transfers: &[Transferred]) {
    let requests: Vec<_> = transfers.iter().map(Transferred::request).collect();
    let responses: Vec<_> = transfers.iter().map(Transferred::response).collect();
    for (transfer, (request, response)) in transfers.iter().zip(requests.iter().zip(&responses)) {
        assert_streams(lines, &[transfer.pid], Direction::Send, std::slice::from_ref(request));
        assert_streams(lines, &[transfer.pid], Direction::Recv, std::slice::from_ref(response));
    }
    assert_streams(lines, workers, Direction::Recv, &requests);
    assert_streams(lines, workers, Direction::Send, &responses);
}
