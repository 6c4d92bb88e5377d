//! Files of events, one after another: the current one has the name that was given, complete ones a name
//! with the time at which they ended.
//!
//! A record is never split between files. Everything handed over is written at once: `kill -9` loses what
//! was not handed over yet, and may cut the last record in the file.

mod backup;
mod compress;

use crate::output::write_fully;
use crate::{Batch, OutputError, OutputState, PrivateFileError, create_private};
use backup::Backups;
pub use compress::Compression;
use compress::Compressor;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// When a new file begins, how many complete ones are kept, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileRotation {
    /// Before this size in bytes would be passed. (A single larger record passes it.)
    pub size: Option<u64>,
    /// With the first records this long after the file's beginning.
    pub interval: Option<Duration>,
    /// Keep so many complete files, those of earlier runs among them.
    pub keep: Option<usize>,
    /// Compress complete files.
    pub compress: Option<Compression>,
}

impl FileRotation {
    fn is_on(&self) -> bool {
        self.size.is_some() || self.interval.is_some()
    }
}

/// What was done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventFileStats {
    /// Records that were written to their last byte.
    pub records: u64,
    /// Bytes that were written, over all files.
    pub bytes: u64,
    /// Records that were given to a closed or failed file, wholly or in part.
    pub discarded: u64,
    /// Files that were begun.
    pub files: u64,
}

/// A file of events.
pub struct EventFile {
    path: PathBuf,
    file: File,
    rotation: FileRotation,
    backups: Backups,
    compressor: Option<Compressor>,
    /// Bytes in the current file.
    len: u64,
    opened: Instant,
    state: OutputState,
    stats: EventFileStats,
}

impl EventFile {
    /// Creates the file; see [`create_private`]. If there is one from an earlier run, then with rotation it
    /// becomes a complete one, else it is emptied.
    pub fn create(path: &Path, rotation: FileRotation) -> Result<Self, PrivateFileError> {
        let refused = |source| PrivateFileError::System { path: path.to_owned(), source };
        let is_other = path.symlink_metadata().is_ok_and(|old| !old.is_file());
        // A device or a FIFO has no successor.
        let rotation = if is_other { FileRotation::default() } else { rotation };
        let backups = Backups::new(path, rotation.keep);
        let mut compressor =
            rotation.compress.map(Compressor::start).transpose().map_err(refused)?;
        let left = rotation.is_on() && path.metadata().is_ok_and(|old| old.len() > 0);
        if left {
            let complete = backups.put_aside().map_err(refused)?;
            if let Some(compressor) = &mut compressor {
                compressor.compress(complete, backups.clone());
            }
            backups.prune();
        }
        Ok(Self {
            file: create_private(path)?,
            path: path.to_owned(),
            rotation,
            backups,
            compressor,
            len: 0,
            opened: Instant::now(),
            state: OutputState::Open,
            stats: EventFileStats { files: 1, ..EventFileStats::default() },
        })
    }

    /// Writes records. An error is returned once; from then on everything is discarded.
    pub fn write(&mut self, batch: &Batch) -> Result<(), OutputError> {
        let mut from = 0;
        while from < batch.records() && self.state == OutputState::Open {
            if let Err(source) = self.rotate_if_due(batch.range(from).len() as u64) {
                return self.fail(source, batch.records() - from);
            }
            let to = self.fitting(batch, from);
            let bytes = batch.slice(&(from..to));
            let before = self.stats.bytes;
            let outcome = write_fully(&mut self.file, bytes, &mut self.stats.bytes);
            self.len += self.stats.bytes - before;
            if let Err(source) = outcome {
                return self.fail(source, batch.records() - from);
            }
            self.stats.records += (to - from) as u64;
            from = to;
        }
        self.stats.discarded += (batch.records() - from) as u64;
        Ok(())
    }

    /// The end of those records from `from` on that still fit into the current file: at least one.
    fn fitting(&self, batch: &Batch, from: usize) -> usize {
        let Some(size) = self.rotation.size else { return batch.records() };
        let begin = batch.range(from).start;
        let room = size.saturating_sub(self.len);
        let fits = |end: &usize| (end - begin) as u64 <= room;
        from + batch.ends[from..].partition_point(fits).max(1)
    }

    fn rotate_if_due(&mut self, next: u64) -> io::Result<()> {
        let by_size = self.rotation.size.is_some_and(|size| self.len + next > size);
        let by_time =
            self.rotation.interval.is_some_and(|interval| self.opened.elapsed() >= interval);
        if self.len == 0 || !(by_size || by_time) {
            return Ok(());
        }
        let complete = self.backups.put_aside()?;
        self.file = create_private(&self.path).map_err(io::Error::other)?;
        self.len = 0;
        self.opened = Instant::now();
        self.stats.files += 1;
        match &mut self.compressor {
            Some(compressor) => compressor.compress(complete, self.backups.clone()),
            None => self.backups.prune(),
        }
        Ok(())
    }

    fn fail(&mut self, source: io::Error, records: usize) -> Result<(), OutputError> {
        self.stats.discarded += records as u64;
        if source.kind() == ErrorKind::BrokenPipe {
            self.state = OutputState::Closed;
            return Ok(());
        }
        self.state = OutputState::Failed;
        let name = self.path.display().to_string();
        Err(OutputError { name, written: self.stats.bytes, source })
    }

    /// Waits until complete files are compressed.
    pub fn finish(&mut self) {
        if let Some(compressor) = self.compressor.take() {
            compressor.finish();
        }
    }

    /// Whether it still takes records.
    pub fn state(&self) -> OutputState {
        self.state
    }

    /// What was written so far.
    pub fn stats(&self) -> EventFileStats {
        self.stats
    }
}
