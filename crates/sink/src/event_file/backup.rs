//! Complete files: what they are called, and which of them stay.
//!
//! `events.json` becomes `events-2026-11-22T03-15-00.123.json`: the local time at which it ended.

use chrono::{DateTime, Local, NaiveDateTime, TimeDelta};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// The length of a time in that form.
const TIME_LEN: usize = 23;
/// What compression adds.
pub(super) const COMPRESSED: [&str; 2] = ["zst", "gz"];

/// The complete files of one path.
#[derive(Debug, Clone)]
pub(super) struct Backups {
    path: PathBuf,
    keep: Option<usize>,
}

impl Backups {
    pub(super) fn new(path: &Path, keep: Option<usize>) -> Self {
        Self { path: path.to_owned(), keep }
    }

    /// Gives the current file the name of a complete one, which is returned.
    pub(super) fn put_aside(&self) -> io::Result<PathBuf> {
        let mut time = Local::now();
        loop {
            let name = self.name(&time);
            // Nobody else makes such names: what is looked up stays true.
            let taken = |path: &Path| path.symlink_metadata().is_ok();
            let packed = |path: &Path| COMPRESSED.iter().any(|end| taken(&added(path, end)));
            if !taken(&name) && !packed(&name) {
                fs::rename(&self.path, &name)?;
                return Ok(name);
            }
            time += TimeDelta::milliseconds(1);
        }
    }

    fn name(&self, time: &DateTime<Local>) -> PathBuf {
        let mut name = OsString::from(self.stem());
        name.push(format!("-{}", time.format(TIME)));
        if let Some(extension) = self.path.extension() {
            name.push(".");
            name.push(extension);
        }
        self.path.with_file_name(name)
    }

    fn stem(&self) -> &OsStr {
        self.path.file_stem().unwrap_or_default()
    }

    /// Deletes the oldest complete files if there are more than are to be kept. What cannot be deleted
    /// stays, and is told.
    pub(super) fn prune(&self) {
        let Some(keep) = self.keep else { return };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut complete: Vec<(NaiveDateTime, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| Some((self.time_of(&entry.file_name())?, entry.path())))
            .collect();
        complete.sort();
        let surplus = complete.len().saturating_sub(keep);
        for (_, path) in complete.drain(..surplus) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!("{}: cannot be deleted: {error}", path.display());
            }
        }
    }

    /// When a file ended, if its name is that of one of ours.
    fn time_of(&self, name: &OsStr) -> Option<NaiveDateTime> {
        let (name, stem) = (name.to_str()?, self.stem().to_str()?);
        let rest = name.strip_prefix(stem)?.strip_prefix('-')?;
        let (time, end) = (rest.get(..TIME_LEN)?, rest.get(TIME_LEN..)?);
        let extension = match self.path.extension() {
            Some(extension) => format!(".{}", extension.to_str()?),
            None => String::new(),
        };
        let end = end.strip_prefix(&*extension)?;
        let ours =
            end.is_empty() || end.strip_prefix('.').is_some_and(|end| COMPRESSED.contains(&end));
        if !ours {
            return None;
        }
        NaiveDateTime::parse_from_str(time, TIME).ok()
    }
}

/// `path` with `.end` added to its name.
pub(super) fn added(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone as _;

    #[test]
    fn names_have_the_time_before_the_extension() {
        let time = Local.with_ymd_and_hms(2026, 11, 22, 3, 15, 0).unwrap();
        let name = |path: &str| Backups::new(Path::new(path), None).name(&time);
        assert_eq!(name("/a/b.c/e.json"), Path::new("/a/b.c/e-2026-11-22T03-15-00.000.json"));
        assert_eq!(name("events"), Path::new("events-2026-11-22T03-15-00.000"));
    }

    #[test]
    fn only_names_of_ours_are_taken_for_complete_files() {
        let backups = Backups::new(Path::new("/a/e.json"), None);
        let ours = |name: &str| backups.time_of(OsStr::new(name)).is_some();
        assert!(ours("e-2026-11-22T03-15-00.000.json"));
        assert!(ours("e-2026-11-22T03-15-00.000.json.zst"));
        for name in [
            "e.json",
            "e-2026-11-22T03-15-00.000.txt",
            "e-2026-11-22T03-15-00.000.json.bak",
            "e-2026-13-22T03-15-00.000.json",
            "other-2026-11-22T03-15-00.000.json",
            "e-é026-11-22T03-15-00.000.json",
        ] {
            assert!(!ours(name), "{name}");
        }
    }
}
