//! libssl and libcrypto built from the sources that the crate `openssl-src` carries.

use super::command::output;
use super::crates;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Builds the newest release of a series (`110` is OpenSSL 1.1.0) and leaves in `folder`
/// `libssl.so`, `libcrypto.so`, and `program`, which has both linked in statically; returns what
/// was built.
pub(crate) fn build(folder: &Path, series: &str, flags: &[&str]) -> Result<String> {
    let package = crates::fetch(&folder.join("sources"), "openssl-src", series)?;
    let sources = package.join("openssl");
    if !sources.join("Configure").exists() {
        bail!("{} holds no OpenSSL sources", sources.display());
    }
    let version = crates::version(&package);
    // The registry's copy is shared and read-only by agreement: build in a copy.
    let tree = folder.join("build");
    output(Command::new("cp").arg("-a").arg(&sources).arg(&tree))?;
    println!("building {version}: this takes some minutes");
    // The crate carries only what static libraries need.
    output(
        Command::new("perl")
            .args(["Configure", "linux-x86_64", "no-shared", "-fPIC"])
            .args(flags)
            .current_dir(&tree),
    )?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    output(
        Command::new("make")
            .arg(format!("-j{jobs}"))
            .args(["build_generated", "libcrypto.a", "libssl.a"])
            .current_dir(&tree),
    )
    .or_else(|_| output(Command::new("make").arg("build_libs").current_dir(&tree)))?;
    for (library, needed) in [("libcrypto", None), ("libssl", Some("libcrypto.so"))] {
        output(
            Command::new("gcc")
                .args(["-shared", "-Wl,-Bsymbolic", "-Wl,--build-id", "-o"])
                .arg(folder.join(format!("{library}.so")))
                .arg(format!("-Wl,-soname,{library}.so,--whole-archive"))
                .arg(tree.join(format!("{library}.a")))
                .arg("-Wl,--no-whole-archive")
                .args(needed.map(|name| folder.join(name)))
                .args(["-lpthread", "-ldl"]),
        )?;
    }
    fs::write(tree.join("program.c"), "int main(void) { return 0; }\n")?;
    output(
        Command::new("gcc")
            .args(["-Wl,--build-id", "-o"])
            .arg(folder.join("program"))
            .arg(tree.join("program.c"))
            .arg("-Wl,--whole-archive")
            .arg(tree.join("libssl.a"))
            .arg("-Wl,--no-whole-archive")
            .arg(tree.join("libcrypto.a"))
            .args(["-lpthread", "-ldl"]),
    )?;
    fs::remove_dir_all(&tree)?;
    Ok(format!("{version} {} (crates.io)\n", flags.join(" ")))
}
