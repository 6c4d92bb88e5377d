//! LibreSSL, built from the sources that a crate carries: the only ones in any registry, of its first
//! release.

use super::crates;
use super::gcc::{self, Sources};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const PACKAGE: &str = "libressl-pnacl-sys";
const VERSION: &str = "=2.1.6";

/// For systems whose C library has no `getentropy`.
const GETENTROPY: &str = "getentropy_";

/// Builds both libraries by the lists in its makefiles; what `configure` would find out is known.
pub(crate) fn build(folder: &Path) -> Result<String> {
    let package = crates::fetch(&folder.join("sources"), PACKAGE, VERSION)?;
    let tree = package.join("libressl");
    let built = crates::version(&package);
    println!("building {built}: this takes half a minute");
    let sources = |files, optimise: &str| Sources {
        tree: &tree,
        files,
        flags: [optimise, "-std=gnu99", "-D_DEFAULT_SOURCE", "-DOPENSSL_NO_ASM"]
            .into_iter()
            .chain(["-DLIBRESSL_INTERNAL", "-DOPENSSL_NO_HW_PADLOCK", "-DNO_SYSLOG"])
            // Errors in compilers that are younger than it.
            .chain(["-Wno-implicit-function-declaration", "-Wno-int-conversion"])
            .map(str::to_owned)
            .chain(
                ["include", "crypto", "crypto/asn1", "crypto/evp", "crypto/modes"]
                    .map(|name| format!("-I{}", tree.join(name).display())),
            )
            .collect(),
        cplusplus: &[],
    };
    let objects = folder.join("build");
    let (bio, rest) =
        listed(&tree, "crypto")?.into_iter().partition(|file| file.starts_with("crypto/bio/"));
    let mut crypto = gcc::compile(&sources(bio, "-O2"), &objects)?;
    crypto.extend(gcc::compile(&sources(rest, "-O0"), &objects)?);
    let ssl = gcc::compile(&sources(listed(&tree, "ssl")?, "-O2"), &objects)?;
    gcc::link(folder, &crypto, &ssl)?;
    fs::remove_dir_all(&objects)?;
    Ok(format!("{built} (crates.io)\n"))
}

/// The files of `lib…_la_SOURCES = file` and `+= file`.
fn listed(tree: &Path, part: &str) -> Result<Vec<String>> {
    let makefile = tree.join(part).join("Makefile.am");
    let text = fs::read_to_string(&makefile).with_context(|| makefile.display().to_string())?;
    let file = |line: &str| {
        let (variable, file) = line.split_once('=')?;
        let is_list = variable.starts_with("lib") && variable.contains("_la_SOURCES");
        let file = file.trim();
        (is_list && file.strip_suffix(".c").is_some()).then(|| format!("{part}/{file}"))
    };
    let files = text.lines().filter_map(file);
    Ok(files.filter(|file| !file.contains(GETENTROPY) && !file.ends_with("_win.c")).collect())
}
