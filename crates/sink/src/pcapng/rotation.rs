//! Cutting a capture into files: when, what they are called, and how many are kept.
//!
//! Names are dumpcap's: `save.pcapng` becomes `save_00001_20261122031500.pcapng`, a number and the
//! time of the beginning, in UTC. They sort in the order of time, and tools keep recognising the
//! extension.

use crate::time::compact;
use event::Timestamp;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// When a new file begins, and how many stay. With neither limit there is one file, under the name
/// that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// Begin a new file before this size in bytes would be passed. (The statistics at a file's end,
    /// or a single larger packet, may pass it.)
    pub size: Option<u64>,
    /// Begin a new file with the first packet this long after a file's beginning.
    pub interval: Option<Duration>,
    /// Delete the oldest file of this run when there are more.
    pub keep: Option<usize>,
}

impl Rotation {
    /// Whether there is more than one file.
    pub(super) fn is_on(&self) -> bool {
        self.size.is_some() || self.interval.is_some()
    }

    /// Whether a file that holds `len` bytes and began at `opened` ends before a block of `more`
    /// bytes about something that happened at `now`.
    pub(super) fn is_due(&self, len: u64, more: u64, opened: Timestamp, now: Timestamp) -> bool {
        self.size.is_some_and(|size| len + more > size)
            || self.interval.is_some_and(|interval| now.since(opened) >= interval)
    }
}

/// The names of a run's files.
pub(super) struct Names {
    given: PathBuf,
    keep: Option<usize>,
    number: u64,
    written: VecDeque<PathBuf>,
}

impl Names {
    pub(super) fn new(given: &Path, keep: Option<usize>) -> Self {
        Self { given: given.to_path_buf(), keep, number: 0, written: VecDeque::new() }
    }

    /// The name of the next file, and the files that are now one too many.
    pub(super) fn next(&mut self, now: Timestamp) -> (PathBuf, Vec<PathBuf>) {
        self.number += 1;
        let mut name = self.given.file_stem().map_or_else(OsString::new, OsString::from);
        name.push(format!("_{:05}_{}", self.number, compact(now)));
        if let Some(extension) = self.given.extension() {
            name.push(".");
            name.push(extension);
        }
        let path = self.given.with_file_name(name);
        self.written.push_back(path.clone());
        let keep = self.keep.unwrap_or(usize::MAX).max(1);
        let surplus = self.written.len().saturating_sub(keep);
        (path, self.written.drain(..surplus).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dumpcaps_and_the_oldest_go() {
        let mut names = Names::new(Path::new("/tmp/a.b/save.pcapng"), Some(2));
        let at = Timestamp(1_795_305_908_000_000_007);
        let (first, none) = names.next(at);
        assert_eq!(first, Path::new("/tmp/a.b/save_00001_20261122000508.pcapng"));
        assert!(none.is_empty());
        assert!(names.next(at).1.is_empty());
        assert_eq!(names.next(at).1, [first]);
        let (bare, _) = Names::new(Path::new("dump"), None).next(at);
        assert_eq!(bare, Path::new("dump_00001_20261122000508"));
    }

    #[test]
    fn a_file_ends_by_size_or_by_time() {
        let (opened, soon, later) = (Timestamp(0), Timestamp(1), Timestamp(2_000_000_000));
        let none = Rotation::default();
        assert!(!none.is_on() && !none.is_due(u64::MAX / 2, 100, opened, later));
        let by_size = Rotation { size: Some(1000), ..none };
        assert!(by_size.is_on() && !by_size.is_due(900, 100, opened, later));
        assert!(by_size.is_due(901, 100, opened, soon));
        let by_time = Rotation { interval: Some(Duration::from_secs(2)), ..none };
        assert!(by_time.is_on() && !by_time.is_due(900, 100, opened, soon));
        assert!(by_time.is_due(900, 100, opened, later));
    }
}
