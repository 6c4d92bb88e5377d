//! A file for what a destination has not taken yet and memory does not hold: first in, first out.
//!
//! The file has no name once it is open: nothing of what was captured stays behind, by whatever death. What
//! was read is given back to the file system.

use crate::{Batch, PrivateFileError, create_private};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers before a batch: how many bytes, and how many records.
const HEAD: usize = 16;

/// One writer, one reader.
pub(super) struct Spill {
    file: File,
    /// Opened for reading: what `create_private` gives is for writing.
    reader: File,
    max: u64,
    written: AtomicU64,
    read: AtomicU64,
}

impl Spill {
    pub(super) fn create(path: &Path, max: u64) -> Result<Self, PrivateFileError> {
        let refused = |source| PrivateFileError::System { path: path.to_owned(), source };
        let file = create_private(path)?;
        // The very same file, whatever happens to its name.
        let reader = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(refused)?;
        if !file.metadata().map_err(refused)?.is_file() {
            return Err(PrivateFileError::NotAFile { path: path.to_owned() });
        }
        std::fs::remove_file(path).map_err(refused)?;
        Ok(Self { file, reader, max, written: AtomicU64::new(0), read: AtomicU64::new(0) })
    }

    /// Appends a batch. False if the file has become as large as it may.
    pub(super) fn push(&self, batch: &Batch) -> io::Result<bool> {
        let mut bytes = Vec::with_capacity(HEAD + batch.ends.len() * 8);
        bytes.extend_from_slice(&(batch.bytes.len() as u64).to_ne_bytes());
        bytes.extend_from_slice(&(batch.ends.len() as u64).to_ne_bytes());
        for end in &batch.ends {
            bytes.extend_from_slice(&(*end as u64).to_ne_bytes());
        }
        let at = self.written.load(Ordering::Acquire);
        let end = at + (bytes.len() + batch.bytes.len()) as u64;
        if end - self.read.load(Ordering::Acquire) > self.max {
            return Ok(false);
        }
        self.file.write_all_at(&bytes, at)?;
        self.file.write_all_at(&batch.bytes, at + bytes.len() as u64)?;
        self.written.store(end, Ordering::Release);
        Ok(true)
    }

    /// Takes the oldest batch; `None` if there is none (yet).
    pub(super) fn pop(&self) -> io::Result<Option<Batch>> {
        let at = self.read.load(Ordering::Acquire);
        if at == self.written.load(Ordering::Acquire) {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        self.reader.read_exact_at(&mut head, at)?;
        let number = |bytes: &[u8]| {
            bytes.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes)) as usize
        };
        let (bytes, records) = (number(&head), number(&head[8..]));
        let mut ends = vec![0; records * 8];
        self.reader.read_exact_at(&mut ends, at + HEAD as u64)?;
        let mut batch = Batch { bytes: vec![0; bytes], ends: Vec::with_capacity(records) };
        batch.ends.extend(ends.chunks_exact(8).map(number));
        self.reader.read_exact_at(&mut batch.bytes, at + (HEAD + ends.len()) as u64)?;
        let end = at + (HEAD + ends.len() + bytes) as u64;
        // Some file systems cannot: then the file only shrinks at its end.
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = fallocate(&self.file, hole, at, end - at);
        self.read.store(end, Ordering::Release);
        Ok(Some(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(text: &str) -> Batch {
        Batch { bytes: text.as_bytes().to_vec(), ends: (1..=text.len()).collect() }
    }

    #[test]
    fn what_goes_in_first_comes_out_first_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let spill = Spill::create(&dir.path().join("spill"), 150).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(spill.pop().unwrap().is_none());
        for round in 0..50 {
            let (one, two) = (format!("one{round}"), format!("two{round}"));
            assert!(spill.push(&batch(&one)).unwrap() && spill.push(&batch(&two)).unwrap());
            assert!(!spill.push(&batch("too much")).unwrap(), "larger than it may be");
            for wanted in [one, two] {
                let got = spill.pop().unwrap().unwrap();
                assert_eq!(got.bytes, wanted.as_bytes());
                assert_eq!(got.records(), wanted.len());
            }
            assert!(spill.pop().unwrap().is_none());
        }
    }
}
