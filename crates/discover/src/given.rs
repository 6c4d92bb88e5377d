//! A file that the user names.

use crate::elf::{self, Unsuitable};
use crate::file::{Candidate, Located, Origin};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a file that the user named can't be used.
#[derive(Debug, Error)]
pub enum GivenError {
    /// There is nothing at the path.
    #[error("{path}: no such file; give the path of a TLS library or of a program that contains one", path = path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// A directory, device, socket.
    #[error("{path}: not a regular file; give the path of a TLS library or of a program that contains one", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// It may not be read.
    #[error("{path}: permission denied; run as root, or make the file readable", path = path.display())]
    NoPermission {
        /// The path.
        path: PathBuf,
    },
    /// It holds no code for this host's 64-bit processes.
    #[error("{path}: {reason}", path = path.display())]
    Unsuitable {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        reason: Unsuitable,
    },
    /// Reading failed.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl GivenError {
    fn new(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { path },
            io::ErrorKind::PermissionDenied => Self::NoPermission { path },
            _ => Self::Io { path, source: error },
        }
    }
}

/// Opens a file that the user names. Whether it carries TLS is not tested: saying what is missing in
/// it takes more than a yes or no.
pub fn given(path: &Path) -> Result<Candidate, GivenError> {
    let failed = |error: io::Error| GivenError::new(path, error);
    let located = Located::at(path)
        .map_err(|error| failed(error.into()))?
        .ok_or_else(|| GivenError::NotAFile { path: path.to_owned() })?;
    let file = located.open().map_err(failed)?;
    let mut header = [0; elf::HEADER_LEN];
    let got = file.read_at(&mut header, 0).map_err(failed)?;
    elf::judge(header.get(..got).unwrap_or_default())
        .map_err(|reason| GivenError::Unsuitable { path: path.to_owned(), reason })?;
    Ok(located.candidate(file, path.to_owned(), None, Origin::Given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_taken_and_its_links_followed() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        let program = std::env::current_exe().unwrap();
        std::os::unix::fs::symlink(&program, &link).unwrap();
        let (direct, linked) = (given(&program).unwrap(), given(&link).unwrap());
        assert_eq!(direct.id, linked.id);
        assert_eq!(linked.path, link);
        assert_eq!(linked.origin, Origin::Given);
        assert_eq!(linked.file.metadata().unwrap().len(), linked.stamp.size);
    }

    #[test]
    fn each_refusal_has_its_own_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        assert!(matches!(given(&path("none")), Err(GivenError::Missing { .. })));
        assert!(matches!(given(dir.path()), Err(GivenError::NotAFile { .. })));
        assert!(matches!(given(Path::new("/dev/null")), Err(GivenError::NotAFile { .. })));
        std::fs::write(path("text"), "GROUP ( /lib/libssl.so.3 )").unwrap();
        assert!(matches!(
            given(&path("text")),
            Err(GivenError::Unsuitable { reason: Unsuitable::NotElf, .. })
        ));
        std::fs::write(path("short"), b"\x7fELF\x02\x01").unwrap();
        assert!(matches!(
            given(&path("short")),
            Err(GivenError::Unsuitable { reason: Unsuitable::NotElf, .. })
        ));
        let mut other = std::fs::read("/proc/self/exe").unwrap();
        other.truncate(64);
        other[18..20].copy_from_slice(&243_u16.to_le_bytes());
        std::fs::write(path("riscv"), other).unwrap();
        let message = given(&path("riscv")).unwrap_err().to_string();
        assert!(message.contains("riscv: it is for RISC-V, and this host is"), "{message}");
        assert!(matches!(given(&path("riscv/x")), Err(GivenError::Missing { .. })));
    }
}
