//! Sees files being mapped for execution, on the whole host, as it happens.
//!
//! One perf event per CPU that takes no samples and only reports mappings, forks and exits: it needs
//! neither tracefs nor BPF, and costs nothing while nothing is executed or loaded. CPUs that are
//! brought online later are not covered.

mod error;
mod followed;
mod recent;
mod record;

pub use error::WatchError;

use crate::maps::strip_deleted;
use crate::sys::{self, Ring};
use followed::Followed;
use recent::Recent;
use record::{Mapping, Record};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Something that happened on the host; `at` is in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A process executes from a file that was not seen recently.
    Mapping(NewMapping),
    /// A followed process made another, which is followed from now on.
    Fork {
        /// The process that called fork.
        parent: u32,
        /// The new one.
        child: u32,
        /// When.
        at: u64,
    },
    /// A followed process is over: its last thread has ended or is about to.
    Exit {
        /// Which.
        pid: u32,
        /// When.
        at: u64,
    },
    /// Notices were lost: scan again. The ends of followed processes are told all the same, their
    /// forks are not.
    Lost {
        /// How many, as far as it is known; at least 1.
        records: u64,
        /// When it was noticed.
        at: u64,
    },
}

impl Notice {
    fn at(&self) -> u64 {
        match self {
            Self::Mapping(mapping) => mapping.at,
            Self::Fork { at, .. } | Self::Exit { at, .. } | Self::Lost { at, .. } => *at,
        }
    }
}

/// A file that a process maps for execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMapping {
    /// Which process, in this process's PID namespace.
    pub pid: u32,
    /// Which thread.
    pub tid: u32,
    /// The superblock's device number, major and minor: not always what `stat` says.
    pub dev: (u32, u32),
    /// The inode number.
    pub ino: u64,
    /// The path, as seen from that process's root.
    pub path: PathBuf,
    /// True if the path was unlinked.
    pub deleted: bool,
    /// First address.
    pub addr: u64,
    /// Length in bytes.
    pub len: u64,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at: u64,
}

/// Watches for new mappings, and for the ends of processes that are followed.
#[derive(Debug)]
pub struct Watcher {
    rings: Vec<Ring>,
    recent: Recent,
    followed: Followed,
    happened: Vec<Happening>,
    scratch: Vec<u8>,
}

/// Room for all rings together, shared by the CPUs within these limits for one.
const RINGS_LEN: usize = 2 << 20;
const RING_LEN_MIN: usize = 16 << 10;
const RING_LEN_MAX: usize = 128 << 10;

impl Watcher {
    /// Starts to watch all CPUs that are online.
    pub fn open() -> Result<Self, WatchError> {
        let cpus = online_cpus();
        let ring_len = ring_len(cpus.len(), rustix::param::page_size());
        let mut rings = Vec::with_capacity(cpus.len());
        for cpu in cpus {
            let fd = match sys::open_mapping_event(cpu) {
                Ok(fd) => fd,
                // It went offline meanwhile.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => continue,
                Err(error) => return Err(WatchError::opening(cpu, ring_len, error)),
            };
            let ring = Ring::new(fd, ring_len)
                .map_err(|error| WatchError::mapping(cpu, ring_len, error))?;
            rings.push(ring);
        }
        Ok(Self {
            rings,
            recent: Recent::default(),
            followed: Followed::default(),
            happened: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// What to wait on: each becomes readable when there is something to [`drain`](Self::drain).
    /// Waiting a few milliseconds between a drain and the next wait bounds the cost on a host that
    /// starts programs all the time.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(AsFd::as_fd)
    }

    /// Asks for the forks and the end of a process (and of the processes that it makes). False: it is
    /// over already.
    pub fn follow(&mut self, pid: u32) -> bool {
        self.followed.add(pid)
    }

    /// Hands over all that happened since the last time, in the order of time.
    pub fn drain(&mut self, mut each: impl FnMut(Notice)) {
        let mut happened = std::mem::take(&mut self.happened);
        for ring in &mut self.rings {
            let recent = &mut self.recent;
            let whole = ring.drain(&mut self.scratch, |kind, body| {
                if let Some(record) = Record::decode(kind, body) {
                    happened.extend(Happening::of(&record, recent));
                }
            });
            if !whole {
                let at = happened.last().map_or(0, Happening::at);
                happened.push(Happening::Told(Notice::Lost { records: 1, at }));
            }
        }
        happened.sort_by_key(Happening::at);
        for happening in happened.drain(..) {
            match happening {
                Happening::Told(notice) => {
                    let lost = matches!(notice, Notice::Lost { .. }).then_some(notice.at());
                    each(notice);
                    if let Some(at) = lost {
                        self.followed.sweep(|pid| each(Notice::Exit { pid, at }));
                    }
                }
                Happening::Fork { parent, child, at } => {
                    if self.followed.forked(parent, child) {
                        each(Notice::Fork { parent, child, at });
                    }
                }
                Happening::ThreadExit { pid, tid, at } => {
                    if self.followed.thread_ended(pid, tid) {
                        each(Notice::Exit { pid, at });
                    }
                }
            }
        }
        self.happened = happened;
    }
}

/// A record that matters, before it is known whom it concerns.
#[derive(Debug)]
enum Happening {
    Told(Notice),
    Fork { parent: u32, child: u32, at: u64 },
    ThreadExit { pid: u32, tid: u32, at: u64 },
}

impl Happening {
    fn of(record: &Record<'_>, recent: &mut Recent) -> Option<Self> {
        match *record {
            Record::Mapping(mapping) => recent
                .is_news(&mapping)
                .then(|| Self::Told(Notice::Mapping(NewMapping::from(&mapping)))),
            // A thread.
            Record::Fork { pid, parent, .. } if pid == parent => None,
            Record::Fork { pid, parent, at } => Some(Self::Fork { parent, child: pid, at }),
            Record::Exit { pid, tid, at } => Some(Self::ThreadExit { pid, tid, at }),
            Record::Lost { records, at } => Some(Self::Told(Notice::Lost { records, at })),
        }
    }

    fn at(&self) -> u64 {
        match self {
            Self::Told(notice) => notice.at(),
            Self::Fork { at, .. } | Self::ThreadExit { at, .. } => *at,
        }
    }
}

impl From<&Mapping<'_>> for NewMapping {
    fn from(mapping: &Mapping<'_>) -> Self {
        let (path, deleted) = strip_deleted(mapping.path);
        Self {
            pid: mapping.pid,
            tid: mapping.tid,
            dev: mapping.dev,
            ino: mapping.ino,
            path: Path::new(OsStr::from_bytes(path)).to_owned(),
            deleted,
            addr: mapping.addr,
            len: mapping.len,
            at: mapping.at,
        }
    }
}

/// A power of two of whole pages.
fn ring_len(cpus: usize, page: usize) -> usize {
    let share = (RINGS_LEN / cpus.max(1)).clamp(RING_LEN_MIN, RING_LEN_MAX);
    // Rounds down to a power of two.
    (1 << share.ilog2()).max(page)
}

fn online_cpus() -> Vec<u32> {
    let cpus = std::fs::read_to_string("/sys/devices/system/cpu/online")
        .ok()
        .and_then(|list| parse_cpu_list(list.trim()));
    cpus.unwrap_or_else(|| {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (0..count as u32).collect()
    })
}

/// `0-3,8`. No machine has more CPUs than fit in 16 bits.
fn parse_cpu_list(list: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for range in list.split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
        cpus.extend((from..=to).map(u32::from));
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_powers_of_two_of_whole_pages() {
        assert_eq!(ring_len(1, 4096), 128 << 10);
        assert_eq!(ring_len(24, 4096), 64 << 10);
        assert_eq!(ring_len(512, 4096), 16 << 10);
        assert_eq!(ring_len(512, 65536), 64 << 10);
        assert_eq!(ring_len(0, 4096), 128 << 10);
    }

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(parse_cpu_list("0"), Some(vec![0]));
        assert_eq!(parse_cpu_list("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_cpu_list(""), None);
        assert_eq!(parse_cpu_list("0-4294967295"), None);
    }

    #[test]
    fn a_thread_is_not_a_child() {
        let thread = Record::Fork { pid: 4, parent: 4, at: 1 };
        assert!(Happening::of(&thread, &mut Recent::default()).is_none());
    }
}
