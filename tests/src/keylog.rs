//! Key logs: the one that was captured, and the one that a program wrote itself.

use crate::capture::{Capture, Captured};
use crate::scratch::Scratch;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The lines of a key log that a program wrote.
///
/// Without those of RSA key exchanges, which have no client random: the same connection's
/// `CLIENT_RANDOM` says the same.
pub fn own(path: &Path) -> BTreeSet<String> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("RSA "))
        .map(str::to_owned)
        .collect()
}

/// The lines of a key log that `ecapture` wrote. Fails unless each is whole, well-formed, and there once.
pub fn captured(path: &Path) -> BTreeSet<String> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text.is_empty() || text.ends_with('\n'), "{} ends in half a line", path.display());
    let mut lines = BTreeSet::new();
    for line in text.lines() {
        assert!(is_line(line), "not a line of a key log: {line}");
        assert!(lines.insert(line.to_owned()), "twice: {line}");
    }
    lines
}

/// `LABEL`, 32 bytes, and 32 to 64 bytes in lower-case hexadecimal.
fn is_line(line: &str) -> bool {
    let fields: Vec<&str> = line.split(' ').collect();
    let [label, random, secret] = fields[..] else { return false };
    let bytes =
        |hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).map_or(0, |bytes| bytes.len());
    !label.is_empty()
        && label.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
        && bytes(random) == 32
        && matches!(bytes(secret), 32 | 48 | 64)
}

/// A capture of keys that is going on.
#[derive(Debug)]
pub struct KeyCapture {
    capture: Capture,
    log: PathBuf,
}

impl KeyCapture {
    /// Starts `ecapture tls -m keylog` and waits until it is ready.
    pub fn start(scratch: &Scratch, arguments: &[&str]) -> Self {
        Self::of("tls", scratch, arguments)
    }

    /// The same with any module.
    pub fn of(module: &str, scratch: &Scratch, arguments: &[&str]) -> Self {
        let log = scratch.join("captured.keys");
        let path = log.to_str().unwrap().to_owned();
        let arguments = [&["-m", "keylog", "-k", &path], arguments].concat();
        Self { capture: Capture::of(module, scratch, &arguments), log }
    }

    /// The key log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Ends it. Fails unless everything that was seen is in the key log, which has a line or more.
    pub fn stop(self) -> (BTreeSet<String>, Captured) {
        let captured = self.capture.stop();
        assert!(captured.status.success(), "{}", captured.stderr.join("\n"));
        (finished(&self.log, &captured), captured)
    }
}

/// The lines of the key log of a capture that is over. Fails unless the balance agrees with them.
pub fn finished(log: &Path, capture: &Captured) -> BTreeSet<String> {
    let lines = captured(log);
    let keys = |name: &str| capture.number(&format!("/keys/{name}"));
    let summary = &capture.summary;
    assert_eq!((keys("lost"), keys("rejected")), (0, 0), "{summary}");
    assert_eq!(keys("seen"), keys("written") + keys("duplicate"), "{summary}");
    assert_eq!(keys("written"), lines.len() as u64, "{summary}");
    lines
}

/// Fails unless both have the same lines, and says which labels are missing where.
pub fn assert_same(captured: &BTreeSet<String>, own: &BTreeSet<String>) {
    assert!(!own.is_empty(), "the program wrote no keys");
    let only = |one: &BTreeSet<String>, other| -> Vec<String> {
        one.difference(other).map(|line| line.chars().take(60).collect()).collect()
    };
    let (missing, surplus) = (only(own, captured), only(captured, own));
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "of {} lines not captured: {missing:#?}\ncaptured, but not the program's: {surplus:#?}",
        own.len()
    );
}
