//! A wheel of `PyPI`, by pip itself: some carry old libraries that nothing else does any more.

use super::command::output;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Unpacks the wheel for `CPython` 3.7 on x86-64; returns what was unpacked.
pub(crate) fn fetch(folder: &Path, package: &str, version: &str) -> Result<String> {
    output(
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
            .args(["--platform", "manylinux1_x86_64", "--implementation", "cp"])
            .args(["--python-version", "37", "--abi", "cp37m", "--dest"])
            .arg(folder)
            .arg(format!("{package}=={version}")),
    )?;
    let wheel = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip left no wheel")?;
    output(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder))?;
    fs::remove_file(&wheel)?;
    Ok(format!("{package} {version} (PyPI)\n"))
}
