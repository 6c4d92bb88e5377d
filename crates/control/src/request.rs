//! What the servers ask of the capture, which answers from its own thread when it comes to it.

use crate::body::Change;
use crate::metrics::Metric;
use rustix::event::{EventfdFlags, eventfd};
use serde_json::Value;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// So many may wait.
const WAITING: usize = 10;
/// A client waits no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(50);

/// Takes the answer.
#[derive(Debug)]
pub struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    /// Answers. Nobody may be waiting any more; that is not our business.
    pub fn send(self, answer: T) {
        let _ = self.0.send(answer);
    }
}

/// Why a configuration was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// It is wrong, or this capture cannot do it.
    Wrong(String),
    /// It should have worked.
    Failed(String),
    /// Another change is under way.
    Busy,
}

/// What became of a configuration: what was changed, and how; or why not.
pub type Configured = Result<Value, Rejected>;

/// A question or an order.
#[derive(Debug)]
pub enum Request {
    /// What runs, and how it is configured.
    Status(Reply<Value>),
    /// What was seen, written and lost so far.
    Stats(Reply<Value>),
    /// The same as metrics.
    Metrics(Reply<Vec<Metric>>),
    /// Be otherwise.
    Configure(Change, Reply<Configured>),
}

/// The capture's end.
#[derive(Debug)]
pub struct Requests {
    receiver: Receiver<Request>,
    arrived: Arc<OwnedFd>,
}

impl Requests {
    /// Becomes readable when there is something to [`take`](Self::take).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }

    /// The next request, if there is one.
    pub fn take(&self) -> Option<Request> {
        let _ = rustix::io::read(self.arrived.as_fd(), &mut [0; 8]);
        self.receiver.try_recv().ok()
    }
}

/// The servers' end.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    sender: SyncSender<Request>,
    arrived: Arc<OwnedFd>,
}

pub(crate) fn channel() -> io::Result<(Asker, Requests)> {
    let (sender, receiver) = sync_channel(WAITING);
    let arrived = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    Ok((Asker { sender, arrived: Arc::clone(&arrived) }, Requests { receiver, arrived }))
}

impl Asker {
    /// `None`: the capture has too much to do, or has ended.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.sender.try_send(request(Reply(sender))).ok()?;
        let _ = rustix::io::write(self.arrived.as_fd(), &1_u64.to_ne_bytes());
        tokio::time::timeout(PATIENCE, receiver).await.ok()?.ok()
    }
}
