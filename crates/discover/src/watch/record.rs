//! The records of a perf event's ring buffer that are asked for here, decoded.
//!
//! Layouts: `perf_event_open(2)`, "MMAP layout". With `sample_id_all` and a sample type of TIME, each
//! record ends in its time.

use crate::elf::{u32_at, u64_at};

/// `enum perf_event_type`.
mod kind {
    pub(super) const LOST: u32 = 2;
    pub(super) const EXIT: u32 = 4;
    pub(super) const FORK: u32 = 7;
    pub(super) const MMAP2: u32 = 10;
}

/// One record; `at` is in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Mapping(Mapping<'a>),
    /// A process or thread was made.
    Fork {
        pid: u32,
        parent: u32,
        at: u64,
    },
    /// A thread ended.
    Exit {
        pid: u32,
        tid: u32,
        at: u64,
    },
    /// The ring was full.
    Lost {
        records: u64,
        at: u64,
    },
}

/// A file was mapped for execution, or one of its mappings was made executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapping<'a> {
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) addr: u64,
    pub(crate) len: u64,
    pub(crate) dev: (u32, u32),
    pub(crate) ino: u64,
    pub(crate) generation: u64,
    /// As the kernel wrote it, ` (deleted)` included.
    pub(crate) path: &'a [u8],
    pub(crate) at: u64,
}

const TIME_LEN: usize = 8;

impl<'a> Record<'a> {
    /// Decodes the bytes after a record's header. `None`: a record of no interest here, or one that
    /// is not as the kernel makes them.
    pub(crate) fn decode(kind: u32, body: &'a [u8]) -> Option<Self> {
        let (fields, time) = body.split_at_checked(body.len().checked_sub(TIME_LEN)?)?;
        let at = u64_at(time, 0)?;
        match kind {
            kind::MMAP2 => Mapping::decode(fields, at).map(Self::Mapping),
            kind::FORK => {
                Some(Self::Fork { pid: u32_at(fields, 0)?, parent: u32_at(fields, 4)?, at })
            }
            kind::EXIT => Some(Self::Exit { pid: u32_at(fields, 0)?, tid: u32_at(fields, 8)?, at }),
            kind::LOST => Some(Self::Lost { records: u64_at(fields, 8)?, at }),
            _ => None,
        }
    }
}

impl<'a> Mapping<'a> {
    /// `None` too for memory that isn't a file's: `//anon`, `[vdso]`, `anon_inode:…`; and for a
    /// process outside this one's PID namespace, which shows as 0 or -1 and can't be reached.
    fn decode(fields: &'a [u8], at: u64) -> Option<Self> {
        const PATH_AT: usize = 64;
        let path = fields.get(PATH_AT..)?;
        let path = path.split(|&byte| byte == 0).next()?;
        let ino = u64_at(fields, 40)?;
        let pid = u32_at(fields, 0)?;
        if matches!(pid, 0 | u32::MAX) {
            return None;
        }
        if ino == 0 || path.first() != Some(&b'/') || path.starts_with(b"//") {
            return None;
        }
        Some(Self {
            pid,
            tid: u32_at(fields, 4)?,
            addr: u64_at(fields, 8)?,
            len: u64_at(fields, 16)?,
            dev: (u32_at(fields, 32)?, u32_at(fields, 36)?),
            ino,
            generation: u64_at(fields, 48)?,
            path,
            at,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An MMAP2 record's body as the kernel lays it out.
    pub(crate) fn mmap2(pid: u32, ino: u64, path: &str, at: u64) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(pid.to_le_bytes());
        body.extend((pid + 1).to_le_bytes());
        for word in [0x7f00_0000_1000_u64, 0x3000, 0x1000] {
            body.extend(word.to_le_bytes());
        }
        body.extend(8_u32.to_le_bytes());
        body.extend(1_u32.to_le_bytes());
        body.extend(ino.to_le_bytes());
        body.extend(99_u64.to_le_bytes());
        body.extend(5_u32.to_le_bytes());
        body.extend(2_u32.to_le_bytes());
        body.extend(path.bytes());
        body.resize((body.len() + 1).next_multiple_of(8), 0);
        body.extend(at.to_le_bytes());
        body
    }

    #[test]
    fn a_mapping_is_read_field_by_field() {
        let body = mmap2(7, 42, "/usr/lib/libssl.so.3", 1234);
        let expected = Mapping {
            pid: 7,
            tid: 8,
            addr: 0x7f00_0000_1000,
            len: 0x3000,
            dev: (8, 1),
            ino: 42,
            generation: 99,
            path: b"/usr/lib/libssl.so.3",
            at: 1234,
        };
        assert_eq!(Record::decode(kind::MMAP2, &body), Some(Record::Mapping(expected)));
    }

    #[test]
    fn memory_without_a_file_is_no_mapping() {
        for (ino, path) in [(0, "//anon"), (9, "//toolong"), (0, "[vdso]"), (3, "anon_inode:x")] {
            assert_eq!(Record::decode(kind::MMAP2, &mmap2(1, ino, path, 1)), None, "{path}");
        }
    }

    #[test]
    fn forks_exits_and_losses_are_read() {
        let mut task = Vec::new();
        for word in [10_u32, 9, 12, 9] {
            task.extend(word.to_le_bytes());
        }
        task.extend(77_u64.to_le_bytes());
        task.extend(78_u64.to_le_bytes());
        assert_eq!(
            Record::decode(kind::FORK, &task),
            Some(Record::Fork { pid: 10, parent: 9, at: 78 })
        );
        assert_eq!(
            Record::decode(kind::EXIT, &task),
            Some(Record::Exit { pid: 10, tid: 12, at: 78 })
        );
        let lost: Vec<u8> = [1_u64, 33, 78].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(Record::decode(kind::LOST, &lost), Some(Record::Lost { records: 33, at: 78 }));
    }

    proptest! {
        #[test]
        fn no_record_makes_it_panic(
            kind in 0_u32..24,
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = Record::decode(kind, &body);
        }
    }
}
