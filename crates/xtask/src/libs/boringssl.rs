//! BoringSSL and AWS-LC, built from the sources that a crate carries: by their lists of sources, and
//! with the assembler code that they have generated, so that neither `CMake` nor Go is needed.

use super::crates;
use super::gcc::{self, Sources};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// One of the two: where its sources and the lists of them are in its crate.
pub(crate) struct Fork {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    sources: &'static str,
    /// The list of libcrypto's files.
    crypto: fn(&Path) -> Result<Vec<String>>,
    /// In the sources.
    includes: &'static [&'static str],
    defines: &'static [&'static str],
}

pub(crate) const BORINGSSL: Fork = Fork {
    package: "boring-sys",
    version: "=5.4.0",
    sources: "deps/boringssl",
    crypto: listed_for_cmake,
    includes: &["include"],
    defines: &[],
};

pub(crate) const AWS_LC: Fork = Fork {
    package: "aws-lc-sys",
    version: "=0.41.0",
    sources: "aws-lc",
    crypto: listed_for_cargo,
    includes: &[
        "include",
        "third_party/s2n-bignum/include",
        "third_party/s2n-bignum/s2n-bignum-imported/include",
    ],
    defines: &["-DDISABLE_CPU_JITTER_ENTROPY=1"],
};

/// Builds both libraries with release flags, but for what nothing looks into: the rest of libcrypto
/// is not optimised, which saves a third of the time.
pub(crate) fn build(folder: &Path, fork: &Fork) -> Result<String> {
    let package = crates::fetch(&folder.join("sources"), fork.package, fork.version)?;
    let tree = package.join(fork.sources);
    let built = crates::version(&package);
    println!("building {built}: this takes a minute");
    let sources = |files, optimise: &str| Sources {
        tree: &tree,
        files,
        flags: [optimise, "-DNDEBUG", "-fvisibility=hidden", "-fno-strict-aliasing"]
            .into_iter()
            .chain(["-DBORINGSSL_IMPLEMENTATION", "-DBORINGSSL_SHARED_LIBRARY"])
            .chain(fork.defines.iter().copied())
            .map(str::to_owned)
            .chain(fork.includes.iter().map(|name| format!("-I{}", tree.join(name).display())))
            .collect(),
        cplusplus: &["-std=c++17", "-fno-exceptions", "-fno-rtti"],
    };
    let objects = folder.join("build");
    let (bio, rest) =
        (fork.crypto)(&package)?.into_iter().partition(|file| file.starts_with("crypto/bio/"));
    let mut crypto = gcc::compile(&sources(bio, "-O2"), &objects)?;
    crypto.extend(gcc::compile(&sources(rest, "-O0"), &objects)?);
    let ssl = gcc::compile(&sources(ssl(&tree)?, "-O2"), &objects)?;
    gcc::link(folder, &crypto, &ssl)?;
    fs::remove_dir_all(&objects)?;
    Ok(format!("{built} (crates.io)\n"))
}

/// The files of libssl: all there are, but for tests.
fn ssl(tree: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(tree.join("ssl")).context("the crate has no folder ssl")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.strip_suffix(".cc").is_some_and(|name| !name.contains("_test")) {
            files.push(format!("ssl/{name}"));
        }
    }
    files.sort();
    Ok(files)
}

/// BoringSSL's lists, each `set(NAME file…)` with a line for each word.
fn listed_for_cmake(package: &Path) -> Result<Vec<String>> {
    const LISTS: [&str; 4] =
        ["BCM_SOURCES", "BCM_SOURCES_ASM", "CRYPTO_SOURCES", "CRYPTO_SOURCES_ASM"];
    let list = package.join("deps/boringssl/gen/sources.cmake");
    let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let mut files = Vec::new();
    for block in text.split("set(").skip(1) {
        let mut words = block.split_whitespace();
        if words.next().is_some_and(|name| LISTS.contains(&name)) {
            files.extend(words.take_while(|word| *word != ")").map(str::to_owned));
        }
    }
    Ok(files)
}

/// AWS-LC's, as strings in the crate's build script.
fn listed_for_cargo(package: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for list in ["universal.rs", "linux_x86_64.rs"] {
        let list = package.join("builder/cc_builder").join(list);
        let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
        files.extend(text.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    // A source of entropy that it does not need, and that is built in a way of its own.
    files.retain(|file| !file.contains("jitterentropy"));
    // The crate's lists leave this one out: nothing in the crate calls it.
    files.push("crypto/hrss/asm/poly_rq_mul.S".to_owned());
    Ok(files)
}
