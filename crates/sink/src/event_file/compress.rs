//! Compressing complete files, in a thread of its own.

use super::backup::{Backups, added};
use flate2::write::GzEncoder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

/// How complete files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// zstd: `.zst`.
    Zstd,
    /// gzip: `.gz`.
    Gzip,
}

/// A thread that compresses one file after another.
pub(super) struct Compressor {
    files: Sender<(PathBuf, Backups)>,
    thread: JoinHandle<()>,
}

impl Compressor {
    pub(super) fn start(how: Compression) -> io::Result<Self> {
        let (files, incoming) = channel::<(PathBuf, Backups)>();
        let work = move || {
            for (path, backups) in incoming {
                if let Err(error) = compress(&path, how) {
                    tracing::error!("{}: cannot be compressed: {error}", path.display());
                }
                backups.prune();
            }
        };
        let thread = thread::Builder::new().name("compress".to_owned()).spawn(work)?;
        Ok(Self { files, thread })
    }

    /// Compresses a file, then deletes those that are too many.
    pub(super) fn compress(&mut self, path: PathBuf, backups: Backups) {
        // It only fails if the thread is gone: then the file stays as it is.
        let _ = self.files.send((path, backups));
    }

    /// Waits until all is done.
    pub(super) fn finish(self) {
        drop(self.files);
        // A panic there was told already.
        let _ = self.thread.join();
    }
}

/// Puts the compressed file in the place of the plain one: at every moment one of them is whole.
fn compress(path: &Path, how: Compression) -> io::Result<()> {
    let end = match how {
        Compression::Zstd => "zst",
        Compression::Gzip => "gz",
    };
    let result = added(path, end);
    let begun = added(&result, "part");
    // Begun by an earlier run that did not come to its end.
    let _ = fs::remove_file(&begun);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&begun)?;
    let written = write(File::open(path)?, &file, how);
    if written.is_err() {
        let _ = fs::remove_file(&begun);
    }
    written?;
    file.sync_all()?;
    fs::rename(&begun, &result)?;
    fs::remove_file(path)
}

fn write(mut from: File, to: &File, how: Compression) -> io::Result<()> {
    match how {
        Compression::Zstd => zstd::stream::copy_encode(from, to, 3),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(to, flate2::Compression::default());
            io::copy(&mut from, &mut encoder)?;
            encoder.finish()?.flush()
        }
    }
}
