//! Which files were reported a moment ago: programs that start all day map the same few.

use super::record::Mapping;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A file is reported again after this time, in nanoseconds: its contents may have been overwritten
/// in place, which nothing else tells.
const REPEAT_AFTER: u64 = 1_000_000_000;

/// Most files remembered at once.
const MAX_REMEMBERED: usize = 1 << 14;

#[derive(Debug, Default)]
pub(super) struct Recent {
    told: HashMap<Sight, u64>,
}

/// A file as a perf record shows it; the generation tells apart files that used the same inode one
/// after the other, the path those of btrfs subvolumes, which share a device.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sight {
    dev: (u32, u32),
    ino: u64,
    generation: u64,
    path_hash: u64,
}

impl Recent {
    /// True if the file was not reported within the last second; from now on it was.
    pub(super) fn is_news(&mut self, mapping: &Mapping<'_>) -> bool {
        let mut hasher = DefaultHasher::new();
        mapping.path.hash(&mut hasher);
        let sight = Sight {
            dev: mapping.dev,
            ino: mapping.ino,
            generation: mapping.generation,
            path_hash: hasher.finish(),
        };
        let is_recent = |told: u64| mapping.at.saturating_sub(told) < REPEAT_AFTER;
        if self.told.get(&sight).is_some_and(|&told| is_recent(told)) {
            return false;
        }
        if self.told.len() >= MAX_REMEMBERED {
            self.told.retain(|_, told| is_recent(*told));
        }
        if self.told.len() >= MAX_REMEMBERED {
            self.told.clear();
        }
        self.told.insert(sight, mapping.at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Record, tests::mmap2};
    use super::*;

    fn news(recent: &mut Recent, pid: u32, ino: u64, path: &str, at: u64) -> bool {
        const MMAP2: u32 = 10;
        let body = mmap2(pid, ino, path, at);
        let Some(Record::Mapping(mapping)) = Record::decode(MMAP2, &body) else { panic!() };
        recent.is_news(&mapping)
    }

    #[test]
    fn a_file_is_told_once_a_second_whoever_maps_it() {
        let mut recent = Recent::default();
        assert!(news(&mut recent, 1, 42, "/lib/a.so", 1000));
        assert!(!news(&mut recent, 2, 42, "/lib/a.so", 1001));
        assert!(news(&mut recent, 2, 43, "/lib/a.so", 1001));
        assert!(news(&mut recent, 2, 42, "/lib/b.so", 1001));
        assert!(!news(&mut recent, 3, 42, "/lib/a.so", 999 + REPEAT_AFTER));
        assert!(news(&mut recent, 3, 42, "/lib/a.so", 1000 + REPEAT_AFTER));
    }

    #[test]
    fn memory_is_bounded() {
        let mut recent = Recent::default();
        for ino in 1..3 * MAX_REMEMBERED as u64 {
            assert!(news(&mut recent, 1, ino, "/a", 1));
            assert!(recent.told.len() <= MAX_REMEMBERED);
        }
    }
}
