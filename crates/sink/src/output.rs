//! From encoded records to a file descriptor: buffered, in order, and honest about what got there.

use crate::{Encoder, Inset, PrivateFileError, create_private};
use event::{Command, Query, Record};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::Path;

/// A batch larger than this is written before it is complete. Usually [`Output::flush`] is called
/// long before: writing may wait, and whoever emits a record may hold what others wait for.
const WRITE_AT: usize = 4 << 20;
/// After a huge record the buffer shrinks to this.
const KEEP_CAPACITY: usize = WRITE_AT;

/// Somewhere that bytes can go.
pub trait Destination: Write + Send {
    /// Waits until a write that would have blocked can go on.
    fn wait_writable(&mut self) -> io::Result<()>;
}

impl Destination for File {
    fn wait_writable(&mut self) -> io::Result<()> {
        let mut fds = [PollFd::new(self, PollFlags::OUT)];
        loop {
            match poll(&mut fds, None) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Writes `bytes` to the last one, waiting where that takes waiting; adds to `written` what got
/// there, also if there is an error.
pub(crate) fn write_fully(
    destination: &mut dyn Destination,
    bytes: &[u8],
    written: &mut u64,
) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match destination.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                *written += count as u64;
                rest = &rest[count..];
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock => destination.wait_writable()?,
                _ => return Err(error),
            },
        }
    }
    destination.flush()
}

/// Whether anybody still takes the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputState {
    /// Yes.
    Open,
    /// The reader went away (`| head`). Nothing is wrong: there is just no more to do.
    Closed,
    /// Writing failed, and the error was returned once.
    Failed,
}

/// Why records could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing to {name} failed after {written} bytes: {source}")]
pub struct OutputError {
    /// The path, or `stdout`.
    pub name: String,
    /// How many bytes got there before.
    pub written: u64,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// What an output has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputStats {
    /// Records that were written to their last byte.
    pub records: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Records that were given to a closed or failed output, wholly or in part.
    pub discarded: u64,
}

/// An encoder, a buffer and a destination.
pub struct Output {
    name: String,
    encoder: Box<dyn Encoder + Send>,
    destination: Box<dyn Destination>,
    buffer: Vec<u8>,
    /// Bodies that belong into the buffer, in order.
    insets: Vec<Inset>,
    /// Their bytes.
    inset_bytes: usize,
    /// Records in the buffer.
    buffered: u64,
    state: OutputState,
    stats: OutputStats,
}

impl Output {
    /// Writes to standard output, as it is at this moment.
    ///
    /// Not through [`io::stdout`], which looks for line ends and copies once more.
    pub fn stdout(encoder: Box<dyn Encoder + Send>) -> io::Result<Self> {
        let fd = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self::new("stdout", Box::new(File::from(fd)), encoder))
    }

    /// Writes to a new private file; see [`create_private`].
    pub fn file(path: &Path, encoder: Box<dyn Encoder + Send>) -> Result<Self, PrivateFileError> {
        let file = create_private(path)?;
        Ok(Self::new(&path.display().to_string(), Box::new(file), encoder))
    }

    /// Writes to `destination`, called `name` in errors.
    pub fn new(
        name: &str,
        destination: Box<dyn Destination>,
        encoder: Box<dyn Encoder + Send>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            encoder,
            destination,
            buffer: Vec::new(),
            insets: Vec::new(),
            inset_bytes: 0,
            buffered: 0,
            state: OutputState::Open,
            stats: OutputStats::default(),
        }
    }

    /// Encodes a record, and writes if enough has come together.
    ///
    /// Returns what [`Output::state`] says afterwards; unless it is `Open`, the record is discarded.
    pub fn write(&mut self, record: &Record<'_>) -> Result<OutputState, OutputError> {
        self.put(|encoder, buffer| encoder.encode_around(record, buffer))
    }

    /// As [`Output::write`], for a command line.
    pub fn write_command(&mut self, command: &Command) -> Result<OutputState, OutputError> {
        self.put(|encoder, buffer| {
            encoder.command(command, buffer);
            None
        })
    }

    /// As [`Output::write`], for a statement.
    pub fn write_query(&mut self, query: &Query) -> Result<OutputState, OutputError> {
        self.put(|encoder, buffer| {
            encoder.query(query, buffer);
            None
        })
    }

    fn put(
        &mut self,
        encode: impl FnOnce(&mut dyn Encoder, &mut Vec<u8>) -> Option<Inset>,
    ) -> Result<OutputState, OutputError> {
        if self.state != OutputState::Open {
            self.stats.discarded += 1;
            return Ok(self.state);
        }
        if let Some(inset) = encode(&mut *self.encoder, &mut self.buffer) {
            self.inset_bytes += inset.body.len();
            self.insets.push(inset);
        }
        self.buffered += 1;
        if self.buffer.len() + self.inset_bytes >= WRITE_AT { self.flush() } else { Ok(self.state) }
    }

    /// Writes everything that was encoded. To be called whenever no more records are at hand, so
    /// that none is held back.
    pub fn flush(&mut self) -> Result<OutputState, OutputError> {
        if self.state != OutputState::Open || self.buffer.is_empty() {
            return Ok(self.state);
        }
        let outcome = self.write_out();
        let records = std::mem::take(&mut self.buffered);
        self.insets.clear();
        self.inset_bytes = 0;
        self.buffer.clear();
        self.buffer.shrink_to(KEEP_CAPACITY);
        match outcome {
            Ok(()) => {
                self.stats.records += records;
                Ok(self.state)
            }
            Err(source) if source.kind() == ErrorKind::BrokenPipe => {
                self.state = OutputState::Closed;
                self.stats.discarded += records;
                Ok(self.state)
            }
            Err(source) => {
                self.state = OutputState::Failed;
                self.stats.discarded += records;
                let written = self.stats.bytes;
                Err(OutputError { name: self.name.clone(), written, source })
            }
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        let mut from = 0;
        for Inset { at, body } in &self.insets {
            let before = self.buffer.get(from..*at).unwrap_or_default();
            from = *at;
            for bytes in [before, body] {
                write_fully(&mut *self.destination, bytes, &mut self.stats.bytes)?;
            }
        }
        let rest = self.buffer.get(from..).unwrap_or_default();
        write_fully(&mut *self.destination, rest, &mut self.stats.bytes)
    }

    /// Whether anybody still takes the records.
    pub fn state(&self) -> OutputState {
        self.state
    }

    /// What was written so far.
    pub fn stats(&self) -> OutputStats {
        self.stats
    }
}
