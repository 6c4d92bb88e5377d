//! The library beside another: which libcrypto a libssl works with.

use crate::file::Located;
use crate::{maps, process};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file that a candidate works with, open.
#[derive(Debug)]
pub struct Neighbour {
    /// Its path in the mount namespace in which it was found.
    pub path: PathBuf,
    /// The file, open for reading.
    pub file: File,
}

/// Finds the library that the one at `library` needs under the name `soname` (its `DT_NEEDED` entry,
/// such as `libcrypto.so.3`).
///
/// With a process that maps both, it is the file mapped there; otherwise the one of that name in the
/// same directory, in that process's root or this one's. `None`: not there.
pub fn companion(
    pid: Option<u32>,
    library: &Path,
    soname: &OsStr,
) -> io::Result<Option<Neighbour>> {
    if Path::new(soname).components().count() != 1 {
        return Ok(None);
    }
    if let Some(found) = pid.and_then(|pid| mapped(pid, library, soname)) {
        return Ok(Some(found));
    }
    let beside = library.with_file_name(soname);
    let path = match pid {
        Some(pid) => process::path(pid, "root").join(beside.strip_prefix("/").unwrap_or(&beside)),
        None => beside.clone(),
    };
    match Located::at(&path) {
        Ok(Some(located)) => Ok(Some(Neighbour { path: beside, file: located.open()? })),
        Ok(None) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The file that a process has mapped under this name: in the library's own directory if there is
/// one, else wherever it is. `libcrypto.so.3` is often a link to `libcrypto.so.3.0.9`, and a mapping
/// shows the latter.
fn mapped(pid: u32, library: &Path, soname: &OsStr) -> Option<Neighbour> {
    let text = fs::read(process::path(pid, "maps")).ok()?;
    let soname = soname.as_bytes();
    let mut named: Vec<_> = maps::executable(&text)
        .filter(|mapping| {
            mapping.path().file_name().is_some_and(|name| {
                name.as_bytes()
                    .strip_prefix(soname)
                    .is_some_and(|version| version.first().is_none_or(|&byte| byte == b'.'))
            })
        })
        .collect();
    named.sort_by_key(|mapping| mapping.path().parent() != library.parent());
    named.iter().find_map(|mapping| {
        let (start, end) = (mapping.start, mapping.end);
        let exact = process::path(pid, &format!("map_files/{start:x}-{end:x}"));
        let path = mapping.path();
        let inside = process::path(pid, "root").join(path.strip_prefix("/").unwrap_or(&path));
        let located = Located::at(&exact).ok().flatten().or_else(|| {
            Located::at(&inside).ok().flatten().filter(|it| it.id.ino == mapping.ino)
        })?;
        Some(Neighbour { path, file: located.open().ok()? })
    })
}
