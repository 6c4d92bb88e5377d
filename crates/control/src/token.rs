//! The token that a client must show.

use rustix::fs::{FileType, Mode, OFlags};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq as _;

/// A random token has so many bytes.
const RANDOM: usize = 32;
/// A token in a file is no shorter, and no longer, in bytes.
const SHORTEST: usize = 16;
const LONGEST: usize = 1024;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The kernel gave no random bytes.
    #[error("no random bytes for a token: {0}")]
    Random(getrandom::Error),
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read or replace it.
    #[error(
        "{path} is not private: it must be a plain file of the user who runs ecapture, and closed to \
         all others (chmod 600)"
    )]
    NotPrivate {
        /// The file.
        path: PathBuf,
    },
    /// What is in it is no token.
    #[error(
        "{path} holds no token: one line of {SHORTEST} to {LONGEST} letters, digits or other visible \
         ASCII characters without spaces is needed, such as `openssl rand -hex 32` prints"
    )]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

/// What a client must know.
#[derive(Clone)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// A new one that nobody can guess.
    pub fn random() -> Result<Self, TokenError> {
        let mut bytes = [0; RANDOM];
        getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
        let mut text = String::with_capacity(2 * RANDOM);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    /// The one in a file that nobody else can read.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Read { path: path.to_owned(), source };
        // A FIFO would make us wait for its other end.
        let flags = OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file: File = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| failed(error.into()))?
            .into();
        let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let others = Mode::RWXG | Mode::RWXO;
        let owner = rustix::process::geteuid().as_raw();
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || mode.intersects(others)
            || (stat.st_uid != owner && stat.st_uid != 0)
        {
            return Err(TokenError::NotPrivate { path: path.to_owned() });
        }
        let mut text = String::new();
        file.take(LONGEST as u64 + 2).read_to_string(&mut text).map_err(failed)?;
        let token = text.trim_end_matches(['\r', '\n']);
        let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        if !(SHORTEST..=LONGEST).contains(&token.len()) || !visible {
            return Err(TokenError::NoToken { path: path.to_owned() });
        }
        Ok(Self(token.to_owned()))
    }

    /// The token itself, to tell the user.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is it. How long that takes tells nothing but whether the length is right.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn random_tokens_differ_and_know_only_themselves() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert!(one.is(one.reveal().as_bytes()));
        assert!(!one.is(other.reveal().as_bytes()));
        assert!(!one.is(b""));
        assert!(!one.is(&one.reveal().as_bytes()[1..]));
    }

    #[test]
    fn a_private_file_is_read() {
        let (_folder, path) = file("0123456789abcdef\n", 0o600);
        assert!(Token::read(&path).unwrap().is(b"0123456789abcdef"));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o666] {
            let (_folder, path) = file("0123456789abcdef\n", mode);
            assert!(matches!(Token::read(&path), Err(TokenError::NotPrivate { .. })), "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for content in ["", "short\n", "0123456789 abcdef\n", "0123456789abcdef\n\n0\n"] {
            let (_folder, path) = file(content, 0o600);
            assert!(matches!(Token::read(&path), Err(TokenError::NoToken { .. })), "{content:?}");
        }
        let (folder, _path) = file("", 0o600);
        assert!(matches!(Token::read(folder.path()), Err(TokenError::NotPrivate { .. })));
    }
}
