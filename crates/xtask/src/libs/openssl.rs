//! libssl and libcrypto built from the sources that the crate `openssl-src` carries.

use super::command::output;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the newest release of a series (`110` is OpenSSL 1.1.0) and leaves the two shared
/// libraries in `folder`; returns what was built.
pub(crate) fn build(folder: &Path, series: &str, flags: &[&str]) -> Result<String> {
    let sources = sources(folder, series)?;
    let version = sources
        .parent()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    // The registry's copy is shared and read-only by agreement: build in a copy.
    let tree = folder.join("build");
    output(Command::new("cp").arg("-a").arg(&sources).arg(&tree))?;
    println!("building {version}: this takes some minutes");
    output(
        Command::new("perl")
            .args(["Configure", "linux-x86_64", "shared"])
            .args(flags)
            .current_dir(&tree),
    )?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    output(Command::new("make").arg(format!("-j{jobs}")).arg("build_libs").current_dir(&tree))?;
    let mut kept = 0;
    for entry in fs::read_dir(&tree)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The versioned files, not the links to them.
        if (name.starts_with("libssl.so.") || name.starts_with("libcrypto.so."))
            && !fs::symlink_metadata(&path)?.is_symlink()
        {
            fs::copy(&path, folder.join(&name))?;
            kept += 1;
        }
    }
    fs::remove_dir_all(&tree)?;
    if kept != 2 {
        bail!("{version}: expected libssl and libcrypto, found {kept} libraries");
    }
    Ok(format!("{version} {} (crates.io)\n", flags.join(" ")))
}

/// Lets cargo fetch the crate, and asks it where.
fn sources(folder: &Path, series: &str) -> Result<PathBuf> {
    let project = folder.join("sources");
    fs::create_dir_all(&project)?;
    fs::write(
        project.join("Cargo.toml"),
        format!(
            "[package]\nname = \"sources\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
             [workspace]\n[lib]\npath = \"lib.rs\"\n\
             [dependencies]\nopenssl-src = \"{series}\"\n"
        ),
    )?;
    fs::write(project.join("lib.rs"), "")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = output(
        Command::new(&cargo).args(["metadata", "--format-version", "1"]).current_dir(&project),
    )?;
    let metadata = String::from_utf8(tree)?;
    fs::remove_dir_all(&project)?;
    // One path is wanted out of a large document: the manifest of the one package of that name.
    let manifest = metadata
        .split('"')
        .find(|text| text.contains("/openssl-src-") && text.ends_with("/Cargo.toml"))
        .context("cargo metadata names no openssl-src manifest")?;
    let sources = Path::new(manifest).with_file_name("openssl");
    if !sources.join("Configure").exists() {
        bail!("{} holds no OpenSSL sources", sources.display());
    }
    Ok(sources)
}
