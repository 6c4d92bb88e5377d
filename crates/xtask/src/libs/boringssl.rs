//! libssl of BoringSSL and its relatives, built from the sources that a crate carries.

use super::command::output;
use super::crates;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Builds `libssl.so` from the folder `ssl` of the crate's `sources`, with release flags. Its
/// libcrypto is left out: what is looked at is libssl, and its calls are only names there.
pub(crate) fn build(folder: &Path, name: &str, version: &str, sources: &str) -> Result<String> {
    let package = crates::fetch(&folder.join("sources"), name, version)?;
    let tree = package.join(sources);
    let built = crates::version(&package);
    println!("building libssl of {built}: this takes half a minute");
    let objects = folder.join("build");
    fs::create_dir_all(&objects)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(tree.join("ssl")).context("the crate has no folder ssl")? {
        let path = entry?.path();
        let is_source = path.extension().is_some_and(|extension| extension == "cc");
        let is_test = path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains("_test"));
        if is_source && !is_test {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{} has no sources", tree.display());
    }
    files.sort();
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    for batch in files.chunks(files.len().div_ceil(jobs)).collect::<Vec<_>>().chunks(jobs) {
        let results: Vec<Result<Vec<u8>>> = std::thread::scope(|scope| {
            let running: Vec<_> =
                batch.iter().map(|files| scope.spawn(|| compile(&tree, &objects, files))).collect();
            running
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| bail!("a compilation panicked")))
                .collect()
        });
        results.into_iter().collect::<Result<Vec<_>>>()?;
    }
    let mut link = Command::new("g++");
    link.args(["-shared", "-Wl,--build-id", "-Wl,-soname,libssl.so", "-o"])
        .arg(folder.join("libssl.so"));
    for entry in fs::read_dir(&objects)? {
        link.arg(entry?.path());
    }
    output(&mut link)?;
    fs::remove_dir_all(&objects)?;
    Ok(format!("{built}, libssl only (crates.io)\n"))
}

fn compile(tree: &Path, objects: &Path, files: &[std::path::PathBuf]) -> Result<Vec<u8>> {
    output(
        Command::new("g++")
            .args(["-std=c++17", "-O2", "-DNDEBUG", "-fPIC", "-fvisibility=hidden"])
            .args(["-fno-exceptions", "-fno-rtti"])
            .args(["-DBORINGSSL_IMPLEMENTATION", "-DBORINGSSL_SHARED_LIBRARY", "-I"])
            .arg(tree.join("include"))
            .arg("-c")
            .args(files)
            .current_dir(objects),
    )
}
