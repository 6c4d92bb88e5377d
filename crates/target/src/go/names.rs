//! Which functions matter, and the packages that have them.
//!
//! A package counts as `crypto/tls` or a fork of it (`github.com/refraction-networking/utls`, a
//! vendored copy, a national variant) if it has a method `(*Conn).writeRecordLocked`: the name is
//! crypto/tls's own, and the method is what every plaintext passes that is sent.

use super::plan::GoOp;
use memchr::memmem;

/// The method by which a package is recognised.
const MARK: &[u8] = b".(*Conn).writeRecordLocked\0";
/// More forks than this in one program, and longer paths, are not a program's work.
const MOST_PACKAGES: usize = 16;
const LONGEST_PATH: usize = 256;

/// The methods to probe. What sees plaintext once is `writeRecordLocked` for everything sent (it
/// is called with the kind of record) and `Read` for everything received: `Write` may be wrapped
/// or replaced (`utls.(*UConn).Write`), and its end comes after the peer's answer.
pub(super) const METHODS: [(&str, GoOp); 6] = [
    ("(*Conn).writeRecordLocked", GoOp::WriteRecord),
    ("(*Conn).write", GoOp::WriteCiphertext),
    ("(*Conn).Read", GoOp::Read),
    ("(*Conn).Close", GoOp::Close),
    ("(*Conn).clientHandshake", GoOp::ClientHandshake),
    ("(*Conn).serverHandshake", GoOp::ServerHandshake),
];

/// `func (c *Config) writeKeyLog(label string, clientRandom, secret []byte) error`, which is called
/// whether or not there is a writer.
pub(super) const KEY_LOG: &str = "(*Config).writeKeyLog";

/// The packages with the mark, as paths.
pub(super) fn packages(names: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for at in memmem::find_iter(names, MARK) {
        let before = names.get(at.saturating_sub(LONGEST_PATH)..at).unwrap_or_default();
        let start = memchr::memrchr(0, before).map_or(0, |nul| nul + 1);
        let path = before.get(start..).unwrap_or_default();
        let Ok(path) = std::str::from_utf8(path) else { continue };
        if !path.is_empty() && !found.iter().any(|known| known == path) {
            found.push(path.to_owned());
        }
        if found.len() == MOST_PACKAGES {
            break;
        }
    }
    found
}

/// Where `name` stands among the names, from its first character.
pub(super) fn offset_of(names: &[u8], name: &str) -> Option<u64> {
    let needle = [b"\0", name.as_bytes(), b"\0"].concat();
    if names.starts_with(needle.get(1..)?) {
        return Some(0);
    }
    memmem::find(names, &needle).map(|at| at as u64 + 1)
}

/// `func memmove(to, from unsafe.Pointer, n uintptr)`, to which the compiler turns `copy`.
pub(super) const MEMMOVE: &str = "runtime.memmove";
