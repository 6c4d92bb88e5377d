//! Lists of C, C++ and assembler files made into objects, and those into libraries, by gcc: for
//! sources that come without a build system that this machine has.

use super::command::output;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files of one tree that are compiled alike.
pub(crate) struct Sources<'a> {
    /// Where the files' names start.
    pub(crate) tree: &'a Path,
    pub(crate) files: Vec<String>,
    /// For every file.
    pub(crate) flags: Vec<String>,
    /// For C++ only.
    pub(crate) cplusplus: &'a [&'a str],
}

/// Compiles the files with all cores; the objects are in `folder`.
pub(crate) fn compile(sources: &Sources<'_>, folder: &Path) -> Result<Vec<PathBuf>> {
    if sources.files.is_empty() {
        bail!("{} has no sources", sources.tree.display());
    }
    fs::create_dir_all(folder)?;
    let object = |file: &str| folder.join(format!("{}.o", file.replace('/', "_")));
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(file) = sources.files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let is_cplusplus = Path::new(file).extension().is_some_and(|it| it == "cc");
            let mut gcc = Command::new(if is_cplusplus { "g++" } else { "gcc" });
            gcc.args(["-w", "-fPIC"]).args(&sources.flags);
            if is_cplusplus {
                gcc.args(sources.cplusplus);
            }
            output(gcc.arg("-c").arg(sources.tree.join(file)).arg("-o").arg(object(file)))?;
        }
        Ok(())
    };
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
    })?;
    Ok(sources.files.iter().map(|file| object(file)).collect())
}

/// Leaves `libcrypto.so` and `libssl.so` in `folder`, and both as archives in `folder/static`.
pub(crate) fn link(folder: &Path, crypto: &[PathBuf], ssl: &[PathBuf]) -> Result<()> {
    let archives = folder.join("static");
    fs::create_dir_all(&archives).context("creating a folder for the archives")?;
    for (name, objects, needed) in
        [("libcrypto", crypto, None), ("libssl", ssl, Some(folder.join("libcrypto.so")))]
    {
        output(
            Command::new("g++")
                .args(["-shared", "-Wl,--build-id", "-Wl,-Bsymbolic-functions"])
                .arg(format!("-Wl,-soname,{name}.so"))
                .arg("-o")
                .arg(folder.join(format!("{name}.so")))
                .args(objects)
                .args(needed)
                .arg("-lpthread"),
        )?;
        let archive = archives.join(format!("{name}.a"));
        output(Command::new("ar").arg("rcs").arg(archive).args(objects))?;
    }
    Ok(())
}
