//! The destinations that the user named, opened; and what became of what went there.

use anyhow::Context as _;
use cli::{DestinationPlace, Format, Global};
use serde::Serialize;
use sink::{
    Address, Compression, Endpoint, EventFile, FileRotation, Framing, Receiver, Remote,
    RemoteOptions, Trust,
};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Held in memory for a destination, unless the user says otherwise.
const QUEUE: usize = 64 << 20;
/// At the end, what has not got out by then is counted as lost.
const AT_THE_END: Duration = Duration::from_secs(5);

/// A destination that is open.
#[derive(Clone)]
pub(crate) struct Destination {
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) receiver: Receiver,
}

/// What became of the records for a destination.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DestinationReport {
    name: String,
    /// That were meant for it.
    records: u64,
    delivered: u64,
    /// That did not get there, by whatever cause.
    lost: u64,
    /// Of these, those for which the queue had no room.
    dropped: u64,
    /// That were sent a second time because a connection broke before they were confirmed.
    resent: u64,
    spilled: u64,
    connections: u64,
}

impl DestinationReport {
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

impl Destination {
    /// Opens a file, or starts to connect. `default` is the format if the destination does not say one.
    pub(crate) fn open(
        given: &cli::Destination,
        default: Format,
        global: &Global,
    ) -> anyhow::Result<Self> {
        let format = given.format.unwrap_or(default);
        let name = given.name.clone();
        let endpoint = match &given.place {
            DestinationPlace::File(path) => return Self::file(path, format, global),
            DestinationPlace::Tcp(address) => Endpoint::Tcp(self::address(address)),
            DestinationPlace::Tls(address, trust) => {
                Endpoint::Tls(self::address(address), self::trust(trust))
            }
            DestinationPlace::WebSocket(address, url) => {
                Endpoint::WebSocket(self::address(address), url.clone(), None)
            }
            DestinationPlace::SecureWebSocket(address, url, trust) => {
                Endpoint::WebSocket(self::address(address), url.clone(), Some(self::trust(trust)))
            }
            DestinationPlace::Unix(path) => Endpoint::Unix(path.clone()),
        };
        let queue = given.queue.map(|queue| usize::try_from(queue.get()).unwrap_or(usize::MAX));
        let remote = Remote::start(RemoteOptions {
            name: name.clone(),
            endpoint,
            framing: match format {
                Format::Text | Format::Json => Framing::Lines,
                Format::Protobuf => Framing::Delimited,
            },
            queue: queue.unwrap_or(QUEUE),
            spill: given.spill.as_ref().map(|spill| (spill.path.clone(), spill.max.get())),
        })
        .with_context(|| name.clone())?;
        Ok(Self { name, format, receiver: Receiver::Remote(Arc::new(remote)) })
    }

    /// Opens a file that rotates as the user wants.
    pub(crate) fn file(path: &Path, format: Format, global: &Global) -> anyhow::Result<Self> {
        let rotation = FileRotation {
            size: global.rotate.bytes.map(Into::into),
            interval: global.rotate.time,
            keep: global.rotate.keep.map(|keep| usize::try_from(keep.get()).unwrap_or(usize::MAX)),
            compress: global.compress.map(|compression| match compression {
                cli::Compression::Zstd => Compression::Zstd,
                cli::Compression::Gzip => Compression::Gzip,
            }),
        };
        let file = EventFile::create(path, rotation)?;
        let receiver = Receiver::File(Arc::new(Mutex::new(file)));
        Ok(Self { name: path.display().to_string(), format, receiver })
    }

    /// What became of the records so far.
    pub(crate) fn report(&self) -> DestinationReport {
        let name = self.name.clone();
        match &self.receiver {
            Receiver::File(file) => {
                let file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let stats = file.stats();
                // What nobody wanted to read any more is not lost.
                let failed = file.state() == sink::OutputState::Failed;
                DestinationReport {
                    name,
                    records: stats.records + stats.discarded,
                    delivered: stats.records,
                    lost: if failed { stats.discarded } else { 0 },
                    dropped: 0,
                    resent: 0,
                    spilled: 0,
                    connections: 0,
                }
            }
            Receiver::Remote(remote) => {
                let stats = remote.stats();
                DestinationReport {
                    name,
                    records: stats.taken,
                    delivered: stats.delivered,
                    lost: stats.lost(),
                    dropped: stats.dropped,
                    resent: stats.resent,
                    spilled: stats.spilled,
                    connections: stats.connections,
                }
            }
        }
    }
}

/// No more comes: waits, not too long, until everything is there.
pub(crate) fn finish(destinations: &[Destination]) {
    let deadline = Instant::now() + AT_THE_END;
    for destination in destinations {
        if let Receiver::Remote(remote) = &destination.receiver {
            remote.close(deadline);
        }
    }
    for destination in destinations {
        match &destination.receiver {
            Receiver::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).finish(),
            Receiver::Remote(remote) => remote.wait(),
        }
    }
}

fn address(given: &cli::HostPort) -> Address {
    Address { host: given.host.clone(), port: given.port }
}

fn trust(given: &cli::Trust) -> Trust {
    Trust { insecure: given.insecure, ca: given.ca.clone() }
}
