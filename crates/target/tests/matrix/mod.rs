//! The real libraries that `cargo xtask libs` fetches and builds.

use std::path::{Path, PathBuf};

/// A folder of the matrix, or none if it is not there and this run may do without.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    // As `cargo xtask libs` decides it.
    let root = std::env::var_os("ECAPTURE_LIBS").map_or_else(
        || std::env::home_dir().unwrap_or_default().join(".cache/ecapture/libs"),
        PathBuf::from,
    );
    let folder = root.join(name);
    if folder.join(".complete").exists() {
        return Some(folder);
    }
    let required = ["CI", "ECAPTURE_REQUIRE_BPF"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "0"));
    assert!(!required, "{name} is not in {}: run `cargo xtask libs {name}`", root.display());
    eprintln!("skipped: {name} is not in {}: run `cargo xtask libs {name}`", root.display());
    None
}

/// The contents of the one regular file under `folder` whose name starts with `prefix`.
pub(crate) fn file(folder: &Path, prefix: &str) -> Vec<u8> {
    let path =
        find(folder, prefix).unwrap_or_else(|| panic!("no {prefix}* in {}", folder.display()));
    std::fs::read(path).unwrap()
}

fn find(folder: &Path, prefix: &str) -> Option<PathBuf> {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    entries.iter().find_map(|entry| {
        let kind = entry.file_type().unwrap();
        let named = entry.file_name().to_string_lossy().starts_with(prefix);
        if kind.is_dir() {
            find(&entry.path(), prefix)
        } else {
            (kind.is_file() && named).then(|| entry.path())
        }
    })
}
