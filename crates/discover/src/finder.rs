//! Finding the files that carry a TLS library (or what else the caller looks for): each is opened and tested once, and told once.

use crate::file::{Candidate, FileId, Located, Origin, Stamp};
use crate::maps::{self, Mapping};
use crate::watch::NewMapping;
use crate::{image, loader, process};
use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Which processes to look at.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// All but this one.
    All,
    /// These.
    Only(&'a [u32]),
}

/// What a look at the running processes brought.
#[derive(Debug, Default)]
pub struct ProcessScan {
    /// The files that are looked for and hadn't been told before.
    pub candidates: Vec<Candidate>,
    /// How many processes could be looked at.
    pub processes: usize,
    /// How many could not, for lack of rights.
    pub unreadable: usize,
    /// How many different files they execute from.
    pub files: usize,
    /// Files that could not be opened or read, and why.
    pub failed: Vec<(PathBuf, io::Error)>,
}

/// What a look at the loader's configuration brought.
#[derive(Debug, Default)]
pub struct LoaderScan {
    /// The files that are looked for and hadn't been told before.
    pub candidates: Vec<Candidate>,
    /// Files that could not be opened or read, and why.
    pub failed: Vec<(PathBuf, io::Error)>,
}

/// Finds files that carry TLS, or are another thing that is looked for, as `carries` says of their
/// symbol tables.
///
/// A file is told once for all its paths and ways of being found, and once more whenever its
/// contents were changed in place.
#[derive(Debug)]
pub struct Finder<F> {
    carries: F,
    judged: HashMap<FileId, Judged>,
}

#[derive(Debug, Clone, Copy)]
struct Judged {
    stamp: Stamp,
    carries: bool,
}

/// More files than this that carry no TLS are not remembered: a build host makes new ones all day.
const MAX_JUDGED: usize = 1 << 16;

impl<F: FnMut(&[u8]) -> bool> Finder<F> {
    /// `carries` gets the file's bytes in their places, of which only headers, symbol tables, strings,
    /// hash tables, the dynamic section and notes are filled in; the rest reads as zeros.
    pub fn new(carries: F) -> Self {
        Self { carries, judged: HashMap::new() }
    }

    /// Looks at the executable mappings of running processes.
    pub fn scan_processes(&mut self, scope: Scope<'_>) -> ProcessScan {
        let mut scan = ProcessScan::default();
        let mut seen = HashMap::new();
        let mut text = Vec::with_capacity(1 << 16);
        let all;
        let pids = match scope {
            Scope::All => {
                all = other_processes();
                all.as_slice()
            }
            Scope::Only(pids) => pids,
        };
        for &pid in pids {
            match read_maps(pid, &mut text) {
                Maps::Text => {
                    scan.processes += 1;
                    self.scan_process(pid, &text, &mut seen, &mut scan);
                }
                Maps::Cut => {
                    scan.processes += 1;
                    self.scan_process(pid, &text, &mut seen, &mut scan);
                    let error = io::Error::new(io::ErrorKind::FileTooLarge, "over 64 MiB; cut");
                    scan.failed.push((process::path(pid, "maps"), error));
                }
                Maps::Unreadable => scan.unreadable += 1,
                Maps::None => {}
            }
        }
        scan.files = seen.len();
        scan
    }

    /// Looks at the libraries that the dynamic loader would find.
    pub fn scan_loader(&mut self) -> LoaderScan {
        let mut scan = LoaderScan::default();
        for path in loader::library_names(Path::new("/")) {
            let located = match Located::at(&path) {
                Ok(Some(located)) => located,
                // A cache may be older than the last package removal.
                Ok(None) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => continue,
                Err(error) => {
                    scan.failed.push((path, error.into()));
                    continue;
                }
            };
            match self.judge(&located) {
                Ok(Some(file)) => {
                    scan.candidates.push(located.candidate(file, path, None, Origin::LoaderCache));
                }
                Ok(None) => {}
                Err(error) => scan.failed.push((path, error)),
            }
        }
        scan
    }

    /// Looks at a mapping that the watcher reported. `Ok(None)`: nothing to tell. An error means
    /// that the file could not be reached, mostly because the process is gone again.
    pub fn look_at(&mut self, mapping: &NewMapping) -> io::Result<Option<Candidate>> {
        let place = Place {
            pid: mapping.pid,
            range: (mapping.addr, mapping.addr.saturating_add(mapping.len)),
            ino: mapping.ino,
            deleted: mapping.deleted,
            own_namespace: may_be_own(process::mount_namespace(mapping.pid)),
        };
        let Some(located) = place.locate(&mapping.path)? else { return Ok(None) };
        let file = self.judge(&located)?;
        Ok(file.map(|file| {
            located.candidate(file, mapping.path.clone(), Some(mapping.pid), Origin::Mapped)
        }))
    }

    fn scan_process(
        &mut self,
        pid: u32,
        text: &[u8],
        seen: &mut HashMap<Sight, Option<usize>>,
        scan: &mut ProcessScan,
    ) {
        let namespace = process::mount_namespace(pid);
        let own_namespace = may_be_own(namespace);
        for mapping in maps::executable(text) {
            let entry = match seen.entry(Sight::of(&mapping, namespace)) {
                Entry::Vacant(entry) => entry,
                Entry::Occupied(entry) => {
                    let candidate = entry.get().and_then(|index| scan.candidates.get_mut(index));
                    if let Some(candidate) = candidate {
                        note_pid(candidate, pid);
                    }
                    continue;
                }
            };
            let place = Place {
                pid,
                range: (mapping.start, mapping.end),
                ino: mapping.ino,
                deleted: mapping.deleted,
                own_namespace,
            };
            let path = mapping.path();
            let located = match place.locate(&path) {
                Ok(Some(located)) => located,
                Ok(None) => {
                    entry.insert(None);
                    continue;
                }
                // Another process that maps it may still be there, so it isn't marked as seen.
                Err(error) => {
                    if process::exists(pid) {
                        scan.failed.push((path, error));
                    }
                    continue;
                }
            };
            match self.judge(&located) {
                Ok(Some(file)) => {
                    entry.insert(Some(scan.candidates.len()));
                    scan.candidates.push(located.candidate(file, path, Some(pid), Origin::Mapped));
                }
                Ok(None) => {
                    let same = scan.candidates.iter().position(|known| known.id == located.id);
                    if let Some(candidate) = same.and_then(|at| scan.candidates.get_mut(at)) {
                        note_pid(candidate, pid);
                    }
                    entry.insert(same);
                }
                Err(error) => {
                    entry.insert(None);
                    scan.failed.push((path, error));
                }
            }
        }
    }

    /// The file, open, if it is looked for and this hasn't been told yet.
    fn judge(&mut self, located: &Located) -> io::Result<Option<File>> {
        let known = self.judged.get(&located.id);
        if known.is_some_and(|known| known.stamp == located.stamp) {
            return Ok(None);
        }
        let file = located.open()?;
        let carries = match image::symbols(&file, located.stamp.size)? {
            Ok(image) => (self.carries)(&image),
            Err(_unsuitable) => false,
        };
        if self.judged.len() >= MAX_JUDGED {
            self.judged.retain(|_, judged| judged.carries);
        }
        self.judged.insert(located.id, Judged { stamp: located.stamp, carries });
        Ok(carries.then_some(file))
    }
}

/// A file as `/proc/PID/maps` shows it. Device and inode alone don't tell two files apart: btrfs
/// reports one device for all its subvolumes, and each numbers its inodes on its own.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sight {
    dev: (u32, u32),
    ino: u64,
    namespace: Option<u64>,
    path_hash: u64,
}

impl Sight {
    fn of(mapping: &Mapping<'_>, namespace: Option<u64>) -> Self {
        let mut hasher = DefaultHasher::new();
        mapping.raw_path.hash(&mut hasher);
        Self { dev: mapping.dev, ino: mapping.ino, namespace, path_hash: hasher.finish() }
    }
}

/// False if it is known that a process sees other mounts than this one.
fn may_be_own(namespace: Option<u64>) -> bool {
    namespace.is_none() || namespace == process::own_mount_namespace()
}

/// Where a mapped file can be got hold of.
#[derive(Debug)]
struct Place {
    pid: u32,
    range: (u64, u64),
    ino: u64,
    deleted: bool,
    own_namespace: bool,
}

impl Place {
    /// Tries the mapping itself, which is always the right file but needs `CAP_SYS_ADMIN` or
    /// `CAP_CHECKPOINT_RESTORE`, then the path within the process's root, then the plain path, which
    /// outlives the process.
    fn locate(&self, path: &Path) -> io::Result<Option<Located>> {
        let (start, end) = self.range;
        let mapping = process::path(self.pid, &format!("map_files/{start:x}-{end:x}"));
        let first = match Located::at(&mapping) {
            Ok(located) => return Ok(located),
            Err(error) => error,
        };
        if self.deleted {
            return Err(first.into());
        }
        let inside = process::path(self.pid, "root").join(path.strip_prefix("/").unwrap_or(path));
        if let Some(located) = self.checked(&inside) {
            return Ok(Some(located));
        }
        if let Some(located) = self.own_namespace.then(|| self.checked(path)).flatten() {
            return Ok(Some(located));
        }
        Err(first.into())
    }

    /// The file at a path, if it is the mapped one: the path may lead elsewhere by now.
    fn checked(&self, path: &Path) -> Option<Located> {
        let located = Located::at(path).ok()??;
        (located.id.ino == self.ino || located.on_overlay()).then_some(located)
    }
}

fn note_pid(candidate: &mut Candidate, pid: u32) {
    if candidate.pids.last() != Some(&pid) {
        candidate.pids.push(pid);
    }
}

/// Longest `/proc/PID/maps` that is read. A process may have 65 530 mappings of files whose paths have
/// 4 KiB each, and one that does is up to no good.
const MAX_MAPS_LEN: u64 = 64 << 20;

enum Maps {
    Text,
    /// Only the first [`MAX_MAPS_LEN`] bytes.
    Cut,
    Unreadable,
    /// Gone, or a thread of the kernel.
    None,
}

fn read_maps(pid: u32, text: &mut Vec<u8>) -> Maps {
    text.clear();
    let read = File::open(process::path(pid, "maps"))
        .and_then(|maps| maps.take(MAX_MAPS_LEN).read_to_end(text));
    match read {
        Ok(0) => Maps::None,
        Ok(len) if len as u64 == MAX_MAPS_LEN => Maps::Cut,
        Ok(_) => Maps::Text,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            if process::is_kernel_thread(pid) {
                Maps::None
            } else {
                Maps::Unreadable
            }
        }
        Err(_gone) => Maps::None,
    }
}

fn other_processes() -> Vec<u32> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != own)
        .collect();
    pids.sort_unstable();
    pids
}
