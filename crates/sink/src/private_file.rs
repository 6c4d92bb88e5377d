//! Files that may hold captured secrets: for their owner alone, and never somebody else's trap.

use rustix::fs::{FileType, Mode, OFlags, fchmod, fstat, ftruncate, open};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Why a file was not created.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The last part of the path is a symbolic link.
    #[error(
        "{path}: is a symbolic link, and captured data is never written through one; name the file itself"
    )]
    Symlink {
        /// The file.
        path: PathBuf,
    },
    /// It is there already and somebody else's.
    #[error(
        "{path}: exists and belongs to user {owner}, who could read what is captured; remove it or choose another name"
    )]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// The numerical user id.
        owner: u32,
    },
    /// It is there already under other names too.
    #[error(
        "{path}: exists and has {links} hard links, so overwriting it would change other files; remove it or choose another name"
    )]
    HardLinked {
        /// The file.
        path: PathBuf,
        /// How many.
        links: u64,
    },
    /// It is there already and is a device, a socket or a folder.
    #[error("{path}: is neither a regular file nor a FIFO; for standard output say -")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path}: cannot be created: {source}")]
    System {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

/// Creates `path` with mode 0600, or empties it if it is there.
///
/// Never follows a symbolic link in the last part of the path. A regular file that exists must
/// belong to the caller and have one name; it becomes 0600. Devices and FIFOs are used as they are.
pub fn create_private(path: &Path) -> Result<File, PrivateFileError> {
    // Not O_TRUNC: what is there is looked at first.
    let (file, kind) = open_private(path, OFlags::empty())?;
    if kind == FileType::RegularFile {
        ftruncate(&file, 0).map_err(|errno| refusal(path, errno))?;
    }
    Ok(file)
}

/// Creates `path` with mode 0600 or, if it is there, opens it to append to it, by the same rules; but
/// takes only regular files and FIFOs. Also opens what a regular file holds already.
pub(crate) fn append_private(path: &Path) -> Result<(File, Option<File>), PrivateFileError> {
    let not_a_file = || PrivateFileError::NotAFile { path: path.to_path_buf() };
    let (file, kind) = open_private(path, OFlags::APPEND).map_err(|error| match error {
        PrivateFileError::System { source, .. }
            if matches!(Errno::from_io_error(&source), Some(Errno::ISDIR | Errno::NXIO)) =>
        {
            not_a_file()
        }
        other => other,
    })?;
    match kind {
        FileType::Fifo => Ok((file, None)),
        FileType::RegularFile => {
            let system = |errno| refusal(path, errno);
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let old = open(path, flags, Mode::empty()).map_err(system)?;
            let (one, other) = (fstat(&file).map_err(system)?, fstat(&old).map_err(system)?);
            // Another file has been put in its place: then what was there is not known.
            let same = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
            Ok((file, same.then(|| File::from(old))))
        }
        _ => Err(not_a_file()),
    }
}

fn open_private(path: &Path, mode: OFlags) -> Result<(File, FileType), PrivateFileError> {
    let system = |errno| refusal(path, errno);
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = open(path, flags | mode, Mode::RUSR | Mode::WUSR).map_err(system)?;
    let stat = fstat(&fd).map_err(system)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::RegularFile {
        let path = || path.to_path_buf();
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(PrivateFileError::ForeignOwner { path: path(), owner: stat.st_uid });
        }
        if stat.st_nlink > 1 {
            let links = stat.st_nlink as u64;
            return Err(PrivateFileError::HardLinked { path: path(), links });
        }
        fchmod(&fd, Mode::RUSR | Mode::WUSR).map_err(system)?;
    }
    Ok((File::from(fd), kind))
}

fn refusal(path: &Path, errno: Errno) -> PrivateFileError {
    let path = path.to_path_buf();
    match errno {
        Errno::LOOP => PrivateFileError::Symlink { path },
        errno => PrivateFileError::System { path, source: errno.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_new_file_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.json");
        create_private(&path).unwrap().write_all(b"secret").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"secret");
    }

    #[test]
    fn an_old_file_of_ours_is_emptied_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.json");
        fs::write(&path, "old and long").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        create_private(&path).unwrap().write_all(b"new").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_symlink_is_refused_and_its_target_is_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        let error = create_private(&link).unwrap_err();
        assert!(matches!(error, PrivateFileError::Symlink { .. }), "{error}");
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }

    #[test]
    fn a_dangling_symlink_creates_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        symlink(&target, &link).unwrap();
        create_private(&link).unwrap_err();
        assert!(!target.exists());
    }

    #[test]
    fn a_file_with_another_name_is_refused_and_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let (other, path) = (dir.path().join("other"), dir.path().join("events.json"));
        fs::write(&other, "precious").unwrap();
        fs::hard_link(&other, &path).unwrap();
        let error = create_private(&path).unwrap_err();
        assert!(matches!(error, PrivateFileError::HardLinked { links: 2, .. }), "{error}");
        assert_eq!(fs::read(&other).unwrap(), b"precious");
    }

    #[test]
    fn a_device_is_used_as_it_is() {
        let before = mode(Path::new("/dev/null"));
        create_private(Path::new("/dev/null")).unwrap().write_all(b"x").unwrap();
        assert_eq!(mode(Path::new("/dev/null")), before);
    }

    #[test]
    fn the_error_names_the_path_and_the_reason() {
        let error = create_private(Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/nowhere/at/all: cannot be created: No such file or directory (os error 2)"
        );
    }
}
