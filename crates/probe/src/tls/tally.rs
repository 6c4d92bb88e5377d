//! What the kernel side counted.

use super::decode::Decoder;
use super::shared::Shared;
use crate::record::counter;
use event::LossTable;

/// Calls and bytes since the start. Bytes are payload. What was seen is what was delivered plus
/// what was lost.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Successful calls that sent data.
    pub calls_send: u64,
    /// Successful calls that received data.
    pub calls_recv: u64,
    /// Bytes that the program sent.
    pub bytes_send: u64,
    /// Bytes that the program received.
    pub bytes_recv: u64,
    /// Calls that looked at data without taking it (`SSL_peek`).
    pub peeks: u64,
    /// `SSL_sendfile` calls.
    pub sendfile_calls: u64,
    /// Bytes that `SSL_sendfile` sent and that cannot be shown.
    pub sendfile_bytes: u64,
    /// Bytes handed out as chunks, both directions.
    pub delivered: u64,
    /// Connections seen.
    pub connections: u64,
    /// What was lost and where.
    pub lost: LossTable,
    /// Notices of connection starts and ends that were lost; no payload.
    pub lifecycle_lost: u64,
}

impl Tally {
    pub(super) fn read(shared: &Shared, decoder: &Decoder) -> Self {
        let counts = shared.counts();
        let sum = |field| counts.sum(field);
        let mut lost = LossTable::default();
        for (place, field) in counter::LOSSES {
            let place = match (place, shared) {
                (counter::RING_FULL, Shared::Unmapped(_)) => "perf_buffer",
                _ => place,
            };
            lost.add(place, sum(field), sum(field + 1));
        }
        lost.add("unknown_connection", decoder.unknown_events, decoder.unknown_bytes);
        Self {
            calls_send: sum(counter::CALLS_SEND),
            calls_recv: sum(counter::CALLS_RECV),
            bytes_send: sum(counter::BYTES_SEND),
            bytes_recv: sum(counter::BYTES_RECV),
            peeks: sum(counter::PEEKS),
            sendfile_calls: sum(counter::SENDFILE_CALLS),
            sendfile_bytes: sum(counter::SENDFILE_BYTES),
            delivered: decoder.delivered,
            connections: decoder.connections(),
            lost,
            lifecycle_lost: sum(counter::LIFECYCLE_LOST),
        }
    }
}
