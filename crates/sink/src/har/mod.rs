//! HTTP exchanges as HAR 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>), which browsers' network
//! panels and many tools open.
//!
//! An exchange becomes an entry when its response is complete. The file is a whole document after every
//! [`Har::flush`]: its end is written again after each batch of entries.

mod document;
mod entry;
mod pending;

use crate::PrivateFileError;
use document::Document;
use event::Record;
use pending::Pending;
use std::io;
use std::path::{Path, PathBuf};

/// What a HAR file holds, and what it could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HarStats {
    /// Entries that were written.
    pub entries: u64,
    /// Entries that could not be written, because writing failed.
    pub discarded: u64,
}

/// Why a HAR file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing to {path} failed: {source}", path = .path.display())]
pub struct HarError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A HAR file under construction.
pub struct Har {
    path: PathBuf,
    document: Document,
    pending: Pending,
    failed: bool,
    stats: HarStats,
}

impl Har {
    /// Creates the file; see [`crate::create_private`].
    pub fn create(path: &Path, creator_version: &str) -> Result<Self, PrivateFileError> {
        let file = crate::create_private(path)?;
        Ok(Self {
            path: path.to_owned(),
            document: Document::new(file, creator_version),
            pending: Pending::default(),
            failed: false,
            stats: HarStats::default(),
        })
    }

    /// Takes a record; what is no HTTP is left out.
    pub fn record(&mut self, record: &Record<'_>) {
        let Self { pending, document, .. } = self;
        pending.record(record, |entry| document.push(&entry));
    }

    /// Writes the entries that are complete. An error is returned once.
    pub fn flush(&mut self) -> Result<(), HarError> {
        if self.failed {
            self.stats.discarded += self.document.discard();
            return Ok(());
        }
        match self.document.write() {
            Ok(entries) => {
                self.stats.entries += entries;
                Ok(())
            }
            Err(source) => {
                self.failed = true;
                self.stats.discarded += self.document.discard();
                Err(HarError { path: self.path.clone(), source })
            }
        }
    }

    /// Writes everything that is left: exchanges that have no response yet, too.
    pub fn finish(&mut self) -> Result<(), HarError> {
        let Self { pending, document, .. } = self;
        pending.finish(|entry| document.push(&entry));
        self.document.end();
        self.flush()
    }

    /// What was written so far.
    pub fn stats(&self) -> HarStats {
        self.stats
    }
}
