//! A package of the npm registry, by npm itself.

use super::command::output;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Unpacks one version of a package into `folder/package`; returns what was unpacked.
pub(crate) fn fetch(folder: &Path, package: &str, version: &str) -> Result<String> {
    let name = output(
        Command::new("npm")
            .args(["pack", "--silent", "--pack-destination"])
            .arg(folder)
            .arg(format!("{package}@{version}")),
    )?;
    let name = String::from_utf8(name)?;
    let file = folder.join(name.lines().last().context("npm pack named no file")?.trim());
    output(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(folder))?;
    fs::remove_file(&file)?;
    Ok(format!("{package} {version} (npm)\n"))
}
