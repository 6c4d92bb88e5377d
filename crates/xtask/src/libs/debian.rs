//! Packages of Debian's archive, of any suite and architecture, unpacked without installing.

use super::command::{download, output};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

const ARCHIVE: &str = "http://deb.debian.org/debian";

/// Unpacks `packages` into `folder`; returns what was unpacked, one package a line.
pub(crate) fn fetch(
    root: &Path,
    folder: &Path,
    suite: &str,
    architecture: &str,
    packages: &[&str],
) -> Result<String> {
    let index = index(root, suite, architecture)?;
    let mut origin = String::new();
    for package in packages {
        let entry = find(&index, package)
            .with_context(|| format!("no package {package} in {suite}/{architecture}"))?;
        let bytes = download(&format!("{ARCHIVE}/{}", entry.file))?;
        let sum = hex(&Sha256::digest(&bytes));
        if sum != entry.sha256 {
            bail!("{}: SHA-256 is {sum}, the archive's index says {}", entry.file, entry.sha256);
        }
        let file = folder.join("package.deb");
        fs::write(&file, bytes)?;
        output(Command::new("dpkg-deb").arg("-x").arg(&file).arg(folder))?;
        fs::remove_file(&file)?;
        writeln!(origin, "{package} {} ({suite}/{architecture})", entry.version)?;
    }
    Ok(origin)
}

/// The suite's list of packages, kept for an hour so that several folders share one download.
fn index(root: &Path, suite: &str, architecture: &str) -> Result<String> {
    const FRESH: std::time::Duration = std::time::Duration::from_hours(1);
    let kept = root.join(format!(".index-{suite}-{architecture}"));
    let fresh = fs::metadata(&kept)
        .and_then(|data| data.modified())
        .is_ok_and(|at| at.elapsed().is_ok_and(|age| age < FRESH));
    if fresh {
        return Ok(fs::read_to_string(&kept)?);
    }
    let url = format!("{ARCHIVE}/dists/{suite}/main/binary-{architecture}/Packages.xz");
    let packed = root.join(format!(".index-{suite}-{architecture}.xz"));
    fs::write(&packed, download(&url)?)?;
    let text = output(Command::new("xz").args(["--decompress", "--stdout"]).arg(&packed))?;
    fs::remove_file(&packed)?;
    fs::write(&kept, &text)?;
    String::from_utf8(text).with_context(|| format!("{url} is not UTF-8"))
}

struct Entry<'i> {
    version: &'i str,
    file: &'i str,
    sha256: &'i str,
}

fn find<'i>(index: &'i str, package: &str) -> Option<Entry<'i>> {
    let stanza = index
        .split("\n\n")
        .find(|stanza| stanza.lines().next() == Some(&format!("Package: {package}")))?;
    let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
    Some(Entry {
        version: field("Version: ")?,
        file: field("Filename: ")?,
        sha256: field("SHA256: ")?,
    })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: libssl3t64\nVersion: 3.5.7-1\nFilename: pool/a.deb\nSHA256: 00\n\n\
                         Package: libssl3\nVersion: 3.0.20-1\nFilename: pool/b.deb\nSHA256: 11\n";

    #[test]
    fn a_package_is_found_by_its_whole_name() {
        let entry = find(INDEX, "libssl3").unwrap();
        assert_eq!((entry.version, entry.file, entry.sha256), ("3.0.20-1", "pool/b.deb", "11"));
        assert!(find(INDEX, "libssl").is_none());
    }

    #[test]
    fn checksums_are_written_as_the_archive_does() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
