//! Sources out of a crate of crates.io, by cargo itself.

use super::command::output;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lets cargo fetch the crate, and asks it where. `scratch` is made and removed again.
pub(crate) fn fetch(scratch: &Path, name: &str, version: &str) -> Result<PathBuf> {
    fs::create_dir_all(scratch)?;
    fs::write(
        scratch.join("Cargo.toml"),
        format!(
            "[package]\nname = \"sources\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
             [workspace]\n[lib]\npath = \"lib.rs\"\n\
             [dependencies]\n{name} = \"{version}\"\n"
        ),
    )?;
    fs::write(scratch.join("lib.rs"), "")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = output(
        Command::new(&cargo).args(["metadata", "--format-version", "1"]).current_dir(scratch),
    )?;
    let metadata = String::from_utf8(tree)?;
    fs::remove_dir_all(scratch)?;
    // One path is wanted out of a large document: the manifest of the one package of that name.
    let folder = format!("/{name}-");
    let manifest = metadata
        .split('"')
        .find(|text| {
            text.strip_suffix("/Cargo.toml").and_then(|path| path.rsplit_once('/')).is_some_and(
                |(_, last)| {
                    let version = format!("/{last}");
                    version
                        .strip_prefix(&folder)
                        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
                },
            )
        })
        .with_context(|| format!("cargo metadata names no manifest of {name}"))?;
    Ok(Path::new(manifest).parent().context("a manifest in no folder")?.to_owned())
}

/// `openssl-src-300.6.1+3.6.3` of the folder that [`fetch`] returned.
pub(crate) fn version(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
