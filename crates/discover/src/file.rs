//! What identifies a file, and how one is opened without side effects.

use rustix::fs::{FileType, Mode, OFlags, Stat};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A file's identity, as `fstat` reports it on an open file.
///
/// `/proc/PID/maps` and perf records report the superblock's device instead, which differs on btrfs
/// and overlayfs; never compare the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
}

/// Changes when a file's contents were overwritten in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Length in bytes.
    pub size: u64,
    /// Time of the last modification, in nanoseconds since the epoch.
    pub mtime_ns: i128,
}

/// How a file came to be considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A process executes from it.
    Mapped,
    /// The dynamic loader would find it.
    LoaderCache,
    /// The user named it.
    Given,
}

/// A file that is looked for, mostly because it carries a TLS library; open.
#[derive(Debug)]
pub struct Candidate {
    /// Which file.
    pub id: FileId,
    /// Its size and modification time when it was opened.
    pub stamp: Stamp,
    /// Its path, as seen in the mount namespace of the process in which it was found.
    pub path: PathBuf,
    /// The file, open for reading. A deleted file can be read, too.
    pub file: File,
    /// The processes that were seen executing from it; empty unless it was found in one.
    pub pids: Vec<u32>,
    /// How it was found.
    pub origin: Origin,
}

impl Candidate {
    /// A path that names exactly this file for as long as `self.file` stays open: for interfaces
    /// that want a path, whichever mount namespace the file is in and even if it was deleted.
    pub fn open_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// A regular file that was located, but not opened for reading yet.
#[derive(Debug)]
pub(crate) struct Located {
    handle: OwnedFd,
    pub(crate) id: FileId,
    pub(crate) stamp: Stamp,
}

impl Located {
    /// Finds the regular file at `path`. Nothing is opened in the sense of a driver's or a FIFO's
    /// `open`, which could have effects or block. `None`: there is something else there.
    pub(crate) fn at(path: &Path) -> rustix::io::Result<Option<Self>> {
        let handle = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let stat = rustix::fs::fstat(&handle)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let (id, stamp) = identify(&stat);
        Ok(Some(Self { handle, id, stamp }))
    }

    /// Opens it for reading.
    pub(crate) fn open(&self) -> std::io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))
    }

    /// The candidate that it is, opened as `file`.
    pub(crate) fn candidate(
        &self,
        file: File,
        path: PathBuf,
        pid: Option<u32>,
        origin: Origin,
    ) -> Candidate {
        Candidate {
            id: self.id,
            stamp: self.stamp,
            path,
            file,
            pids: pid.into_iter().collect(),
            origin,
        }
    }

    /// True if the file lies on an overlayfs, whose inode numbers in `/proc/PID/maps` are those of a
    /// lower file system on kernels before 6.8.
    pub(crate) fn on_overlay(&self) -> bool {
        const OVERLAYFS_SUPER_MAGIC: i64 = 0x794c_7630;
        rustix::fs::fstatfs(&self.handle).is_ok_and(|fs| fs.f_type == OVERLAYFS_SUPER_MAGIC)
    }
}

fn identify(stat: &Stat) -> (FileId, Stamp) {
    let mtime_ns = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    (
        FileId { dev: stat.st_dev, ino: stat.st_ino },
        Stamp { size: u64::try_from(stat.st_size).unwrap_or(0), mtime_ns },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_device_is_not_a_file() {
        assert!(Located::at(Path::new("/dev/zero")).unwrap().is_none());
        assert!(Located::at(Path::new("/")).unwrap().is_none());
    }

    #[test]
    fn a_hard_link_is_the_same_file_and_a_copy_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("a"), b"x").unwrap();
        std::fs::hard_link(path("a"), path("b")).unwrap();
        std::os::unix::fs::symlink(path("b"), path("c")).unwrap();
        std::fs::copy(path("a"), path("d")).unwrap();
        let id = |name: &str| Located::at(&path(name)).unwrap().unwrap().id;
        assert_eq!(id("a"), id("b"));
        assert_eq!(id("a"), id("c"));
        assert_ne!(id("a"), id("d"));
    }

    #[test]
    fn a_file_deleted_after_it_was_located_can_still_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"contents").unwrap();
        let located = Located::at(&path).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut text = String::new();
        located.open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "contents");
    }
}
