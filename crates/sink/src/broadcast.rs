//! One encoder, several destinations.

use crate::{Batch, Encoder, EventFile, OutputError, OutputState, Remote};
use event::Record;
use std::sync::{Arc, Mutex, PoisonError};

/// A batch larger than this goes out before it is complete.
const SEND_AT: usize = 1 << 20;

/// A destination, which may be shared between events and the log.
#[derive(Clone)]
pub enum Receiver {
    /// A file. Writing to it waits for the disk.
    File(Arc<Mutex<EventFile>>),
    /// Something on the network, which never makes anybody wait.
    Remote(Arc<Remote>),
}

impl Receiver {
    /// Hands over records. An error is returned once.
    pub fn take(&self, batch: &Arc<Batch>) -> Result<(), OutputError> {
        match self {
            Self::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write(batch),
            Self::Remote(remote) => {
                remote.take(batch);
                Ok(())
            }
        }
    }

    /// Whether it still takes records. A network destination does: it may come back.
    pub fn state(&self) -> OutputState {
        match self {
            Self::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).state(),
            Self::Remote(_) => OutputState::Open,
        }
    }
}

/// Encodes records once for all destinations of a format.
pub struct Broadcast {
    encoder: Box<dyn Encoder + Send>,
    batch: Batch,
    receivers: Vec<Receiver>,
}

impl Broadcast {
    /// Nothing is encoded yet.
    pub fn new(encoder: Box<dyn Encoder + Send>, receivers: Vec<Receiver>) -> Self {
        Self { encoder, batch: Batch::default(), receivers }
    }

    /// Encodes a record, and hands over what has come together if that is much.
    pub fn write(&mut self, record: &Record<'_>) -> Result<(), OutputError> {
        self.write_with(|encoder, out| encoder.encode(record, out))
    }

    /// The same of whatever the encoder can encode.
    pub fn write_with(
        &mut self,
        encode: impl FnOnce(&mut dyn Encoder, &mut Vec<u8>),
    ) -> Result<(), OutputError> {
        encode(&mut *self.encoder, &mut self.batch.bytes);
        self.batch.ends.push(self.batch.bytes.len());
        if self.batch.bytes.len() >= SEND_AT { self.flush() } else { Ok(()) }
    }

    /// Hands over everything that was encoded. Every destination gets it, also if another fails; the last
    /// error is returned.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        if self.batch.ends.is_empty() {
            return Ok(());
        }
        // The next one is likely as large.
        let next = Batch {
            bytes: Vec::with_capacity(self.batch.bytes.len().min(SEND_AT)),
            ends: Vec::with_capacity(self.batch.ends.len()),
        };
        let batch = Arc::new(std::mem::replace(&mut self.batch, next));
        let mut outcome = Ok(());
        for receiver in &self.receivers {
            if let Err(error) = receiver.take(&batch) {
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Open if at least one destination still takes records; else how the first one ended.
    pub fn state(&self) -> OutputState {
        let mut states = self.receivers.iter().map(Receiver::state);
        let first = states.next().unwrap_or(OutputState::Open);
        if first == OutputState::Open || states.any(|state| state == OutputState::Open) {
            return OutputState::Open;
        }
        first
    }
}
