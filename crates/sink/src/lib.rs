//! From records to bytes: how a [`event::Record`] is written, and where to.
//!
//! * [`Encoder`]: one record in, its bytes out. [`TextEncoder`] is for people, [`JsonEncoder`] for
//!   programs; `docs/events.md` describes the latter's lines.
//!   [`ProtobufEncoder`] writes the messages of `proto/ecapture.proto`.
//! * [`Output`]: an encoder, a buffer and a destination. It knows when nobody reads any more.
//! * [`Broadcast`]: an encoder and several destinations: an [`EventFile`], which rotates, or a [`Remote`],
//!   which has a queue and a thread, so that a slow receiver slows nothing.
//! * [`Stored`]: reads records back from what was written.
//! * [`Har`]: HTTP exchanges for the network panels of browsers.
//! * [`KeyLog`]: TLS secrets to a key log that Wireshark reads.
//! * [`Pcapng`]: packets and the keys to them, into one file or several.
//! * [`create_private`]: how every file that may hold captured secrets is made.
//!
//! What a record means is `flow`'s business; what the user asked for is `cli`'s.

mod batch;
mod broadcast;
mod event_file;
mod har;
mod invisible;
mod json;
mod keylog;
mod kind;
mod output;
mod pcapng;
mod private_file;
mod protobuf;
mod remote;
mod stored;
mod text;
mod time;

pub use batch::Batch;
pub use broadcast::{Broadcast, Receiver};
pub use event_file::{Compression, EventFile, EventFileStats, FileRotation};
pub use har::{Har, HarError, HarStats};
pub use json::{JsonEncoder, JsonOptions};
pub use keylog::{KeyLog, KeyLogStats, Logged};
pub use output::{Destination, Output, OutputError, OutputState, OutputStats};
pub use pcapng::{Interface, InterfaceCounts, Pcapng, PcapngError, PcapngStats, Rotation, Section};
pub use private_file::{PrivateFileError, create_private};
pub use protobuf::{ProtobufEncoder, ProtobufOptions, run_log};
pub use remote::{
    Address, Endpoint, Framing, Remote, RemoteError, RemoteOptions, RemoteStats, Trust,
};
pub use stored::{Form, ReadError, Recorded, Stored, StoredStats};
pub use text::{TextEncoder, TextOptions, visible, visible_lines};

pub use time::rfc3339;

use event::HeldBody;
use std::sync::Arc;

/// The messages of `proto/ecapture.proto`.
pub mod proto {
    pub use crate::protobuf::generated::*;
}

/// A body that goes out as it is, and where: before the byte at `at` of what was encoded.
#[derive(Debug, Clone)]
pub struct Inset {
    at: usize,
    body: Arc<HeldBody>,
}

/// Turns records into bytes.
pub trait Encoder {
    /// Appends one record to `out`: a block of text, or one line of JSON.
    fn encode(&mut self, record: &event::Record<'_>, out: &mut Vec<u8>);

    /// The same without a body that need not be copied, if there is one.
    fn encode_around(&mut self, record: &event::Record<'_>, out: &mut Vec<u8>) -> Option<Inset> {
        self.encode(record, out);
        None
    }

    /// Appends one command line to `out`.
    fn command(&mut self, command: &event::Command, out: &mut Vec<u8>);

    /// Appends one statement of a database server to `out`.
    fn query(&mut self, query: &event::Query, out: &mut Vec<u8>);
}

/// The part of `payload` that is shown when the user asked for at most `limit` bytes.
fn cut(payload: &[u8], limit: Option<usize>) -> &[u8] {
    match limit {
        Some(limit) if limit < payload.len() => &payload[..limit],
        _ => payload,
    }
}
