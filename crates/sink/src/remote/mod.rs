//! Destinations on the network: each has a queue that never makes the capture wait, and a thread that sends
//! what is in it, reconnects, and knows what arrived.
//!
//! `docs/destinations.md` says what that is for each kind of connection.

mod backoff;
mod link;
mod queue;
mod sender;
mod socket;
mod spill;
mod tls;
mod unacked;
mod websocket;
mod window;

use crate::{Batch, PrivateFileError};
use queue::Queue;
pub use queue::RemoteStats;
use sender::Sender;
use spill::Spill;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tls::TlsClient;
pub use websocket::Framing;

/// Where a destination is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP connection.
    Tcp(Address),
    /// A TCP connection with TLS.
    Tls(Address, Trust),
    /// A WebSocket at this URL; with TLS if there is somebody to trust.
    WebSocket(Address, String, Option<Trust>),
    /// A stream socket in the file system.
    Unix(PathBuf),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// Everybody's.
    pub insecure: bool,
    /// Those of the authorities in this PEM file, instead of the system's.
    pub ca: Option<PathBuf>,
}

/// What a destination is like.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// What it is called in the log and in the summary.
    pub name: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// How a record becomes a WebSocket message.
    pub framing: Framing,
    /// Hold at most so many bytes in memory.
    pub queue: usize,
    /// A file for what exceeds that, and how large it may become.
    pub spill: Option<(PathBuf, u64)>,
}

/// Why a destination cannot be used, whether or not it can be reached now.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The host is no name that a certificate could have.
    #[error("{0}: neither a host name nor an IP address")]
    Name(String),
    /// The authorities that the user named cannot be read.
    #[error("{path}: {why}", path = .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// This system has no authorities.
    #[error(
        "no certificate authorities are installed on this system: install ca-certificates or name a file (?ca=FILE) ({0})"
    )]
    NoAuthorities(String),
    /// The TLS library refused.
    #[error("TLS: {0}")]
    Tls(#[source] rustls::Error),
    /// The spill file cannot be made.
    #[error("spill file: {0}")]
    Spill(#[from] PrivateFileError),
    /// The system refused a thread or a descriptor.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A destination on the network.
pub struct Remote {
    name: String,
    queue: Arc<Queue>,
}

impl Remote {
    /// Starts to connect.
    pub fn start(options: RemoteOptions) -> Result<Self, RemoteError> {
        let RemoteOptions { name, endpoint, framing, queue, spill } = options;
        let tls = match &endpoint {
            Endpoint::Tls(address, trust) | Endpoint::WebSocket(address, _, Some(trust)) => {
                Some(TlsClient::new(&address.host, trust)?)
            }
            Endpoint::Tcp(_) | Endpoint::WebSocket(_, _, None) | Endpoint::Unix(_) => None,
        };
        let spill = spill.map(|(path, max)| Spill::create(&path, max)).transpose()?.map(Arc::new);
        let queue = Arc::new(Queue::new(queue, spill.is_some())?);
        if let Some(spill) = &spill {
            let (spill, queue) = (Arc::clone(spill), Arc::clone(&queue));
            let work = move || queue.spill(&spill);
            thread::Builder::new().name("spill".to_owned()).spawn(work)?;
        }
        let sender = Sender::new(name.clone(), endpoint, tls, framing, Arc::clone(&queue), spill);
        thread::Builder::new().name("destination".to_owned()).spawn(move || sender.run())?;
        Ok(Self { name, queue })
    }

    /// Takes records to send, or counts them as dropped. Never waits.
    pub fn take(&self, batch: &Arc<Batch>) {
        self.queue.push(batch);
    }

    /// No more records come, and what is there must be out by `deadline`.
    pub fn close(&self, deadline: Instant) {
        self.queue.close(deadline);
    }

    /// Waits until everything is out, after [`Remote::close`], or the deadline is over.
    pub fn wait(&self) {
        // A moment longer, so that its thread can say how far it came.
        if let Some(deadline) = self.queue.deadline() {
            self.queue.wait_until_done(deadline + Duration::from_millis(200));
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What became of the records so far.
    pub fn stats(&self) -> RemoteStats {
        self.queue.stats()
    }
}
