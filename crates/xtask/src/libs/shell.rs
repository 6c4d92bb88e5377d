//! bash built from the sources in Debian's archive, in the way that other distributions build it.

use super::command::{download, output};
use super::debian::hex;
use anyhow::{Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::process::Command;

const ARCHIVE: &str = "http://deb.debian.org/debian/pool/main/b/bash";

/// Builds a release of bash that is linked with the host's libreadline, and leaves it, stripped, in
/// `folder/usr/bin`; returns what was built.
pub(crate) fn build(folder: &Path, version: &str, sha256: &str) -> Result<String> {
    let name = format!("bash_{version}.orig.tar.xz");
    let bytes = download(&format!("{ARCHIVE}/{name}"))?;
    let sum = hex(&Sha256::digest(&bytes));
    if sum != sha256 {
        bail!("{name}: SHA-256 is {sum}, not {sha256}");
    }
    let archive = folder.join(&name);
    fs::write(&archive, bytes)?;
    output(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder))?;
    fs::remove_file(&archive)?;
    let tree = folder.join(format!("bash-{version}"));
    println!("building bash {version}: this takes a minute");
    output(
        Command::new("./configure")
            .args(["--quiet", "--with-installed-readline", "--disable-nls"])
            .current_dir(&tree),
    )?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    output(
        Command::new("make").arg(format!("-j{jobs}")).args(["--silent", "bash"]).current_dir(&tree),
    )?;
    let place = folder.join("usr/bin");
    fs::create_dir_all(&place)?;
    output(Command::new("strip").arg("-o").arg(place.join("bash")).arg(tree.join("bash")))?;
    fs::remove_dir_all(&tree)?;
    Ok(format!("bash {version} with libreadline\n"))
}
