//! Where the dynamic loader would find TLS libraries that no process has mapped yet.

use crate::ld_cache;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Parts of file names of libraries that may carry TLS. Broad on purpose: what a file really carries
/// is tested afterwards.
const NAME_PARTS: [&str; 4] = ["ssl", "conscrypt", "cronet", "gnutls"];

/// Directories that the loaders search without being told (glibc's, Debian's, musl's).
const DEFAULT_DIRECTORIES: [&str; 8] = [
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    if cfg!(target_arch = "aarch64") { "/lib/aarch64-linux-gnu" } else { "/lib/x86_64-linux-gnu" },
    if cfg!(target_arch = "aarch64") {
        "/usr/lib/aarch64-linux-gnu"
    } else {
        "/usr/lib/x86_64-linux-gnu"
    },
    // Android.
    "/apex/com.android.conscrypt/lib64",
];

/// musl's search path, in place of its defaults.
const MUSL_PATH_FILE: &str = if cfg!(target_arch = "aarch64") {
    "/etc/ld-musl-aarch64.path"
} else {
    "/etc/ld-musl-x86_64.path"
};

/// A loader configuration has a handful of includes; a cycle has no end.
const MAX_CONFIGURATION_FILES: usize = 256;

/// True if a library of this name may carry TLS.
fn may_carry_tls(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    name.windows(3).any(|window| window == b".so")
        && NAME_PARTS
            .iter()
            .any(|part| name.windows(part.len()).any(|window| window == part.as_bytes()))
}

/// The paths of libraries below `root` (normally `/`) that the loader would find and whose names
/// suggest TLS; as the loader names them, so several may lead to one file.
pub fn library_names(root: &Path) -> Vec<PathBuf> {
    let cached = fs::read(below(root, Path::new("/etc/ld.so.cache"))).ok();
    let found = cached.as_deref().and_then(|cache| {
        let entries = ld_cache::entries(cache)?;
        let tls = entries.filter(|entry| may_carry_tls(entry.soname));
        Some(tls.map(|entry| below(root, entry.path)).collect::<Vec<_>>())
    });
    let mut paths = found.unwrap_or_else(|| search(root));
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    paths
}

/// Lists the loader's directories, for systems that have no cache.
fn search(root: &Path) -> Vec<PathBuf> {
    let mut directories = Configuration::read(root);
    directories.extend(musl_path(root));
    directories.extend(DEFAULT_DIRECTORIES.map(PathBuf::from));
    let mut listed = HashSet::new();
    let mut paths = Vec::new();
    for directory in directories {
        let directory = below(root, &directory);
        let Ok(real) = fs::canonicalize(&directory) else { continue };
        if !listed.insert(real) {
            continue;
        }
        let Ok(files) = fs::read_dir(&directory) else { continue };
        let mut names: Vec<_> = files.flatten().map(|file| file.file_name()).collect();
        names.retain(|name| may_carry_tls(name.as_bytes()));
        names.sort();
        paths.extend(names.into_iter().map(|name| directory.join(name)));
    }
    paths
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn musl_path(root: &Path) -> Vec<PathBuf> {
    let text = fs::read(below(root, Path::new(MUSL_PATH_FILE))).unwrap_or_default();
    text.split(|byte| matches!(byte, b'\n' | b':'))
        .map(<[u8]>::trim_ascii)
        .filter(|path| path.starts_with(b"/"))
        .map(|path| PathBuf::from(OsStr::from_bytes(path)))
        .collect()
}

/// `/etc/ld.so.conf` and what it includes.
struct Configuration<'a> {
    root: &'a Path,
    files_left: usize,
    directories: Vec<PathBuf>,
}

impl<'a> Configuration<'a> {
    fn read(root: &'a Path) -> Vec<PathBuf> {
        let mut configuration =
            Self { root, files_left: MAX_CONFIGURATION_FILES, directories: Vec::new() };
        configuration.file(&below(root, Path::new("/etc/ld.so.conf")));
        configuration.directories
    }

    fn file(&mut self, path: &Path) {
        let Some(left) = self.files_left.checked_sub(1) else { return };
        self.files_left = left;
        let Ok(text) = fs::read(path) else { return };
        for line in text.split(|&byte| byte == b'\n') {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
            if let Some(patterns) = line
                .strip_prefix(b"include")
                .filter(|rest| rest.first().is_some_and(u8::is_ascii_whitespace))
            {
                for pattern in patterns.split(u8::is_ascii_whitespace).filter(|p| !p.is_empty()) {
                    self.include(Path::new(OsStr::from_bytes(pattern)), path);
                }
            } else if line.starts_with(b"/") {
                self.directories.push(PathBuf::from(OsStr::from_bytes(line)));
            }
        }
    }

    /// Reads the files that a pattern names; `*` is understood in the last component, which is
    /// where every distribution has it. A relative pattern is relative to the including file.
    fn include(&mut self, pattern: &Path, from: &Path) {
        let pattern = if pattern.is_absolute() {
            below(self.root, pattern)
        } else {
            from.with_file_name(pattern)
        };
        let (Some(directory), Some(name)) = (pattern.parent(), pattern.file_name()) else { return };
        let Some((head, tail)) = split_at_star(name.as_bytes()) else {
            return self.file(&pattern);
        };
        let Ok(files) = fs::read_dir(directory) else { return };
        let mut names: Vec<_> = files.flatten().map(|file| file.file_name()).collect();
        names.retain(|name| {
            let name = name.as_bytes();
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        });
        names.sort();
        for name in names {
            self.file(&directory.join(name));
        }
    }
}

fn split_at_star(pattern: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pattern.iter().position(|&byte| byte == b'*')?;
    Some((pattern.get(..at)?, pattern.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ld_cache::{FLAGS_HERE, tests::cache_of};

    /// A root directory with these files.
    fn root_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, contents) in files {
            let path = below(root.path(), Path::new(path));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        root
    }

    fn names(root: &tempfile::TempDir) -> Vec<String> {
        library_names(root.path())
            .iter()
            .map(|path| format!("/{}", path.strip_prefix(root.path()).unwrap().display()))
            .collect()
    }

    #[test]
    fn the_cache_is_believed_and_each_path_named_once() {
        let root = root_with(&[
            (
                "/etc/ld.so.cache",
                &cache_of(&[
                    (FLAGS_HERE, "libssl.so.3", "/usr/lib/libssl.so.3"),
                    (FLAGS_HERE, "libssl.so", "/usr/lib/libssl.so.3"),
                    (FLAGS_HERE, "libboringssl.so", "/opt/libboringssl.so"),
                    (FLAGS_HERE, "libcrypto.so.3", "/usr/lib/libcrypto.so.3"),
                ]),
            ),
            ("/usr/lib/libssl.so.1.1", b""),
        ]);
        assert_eq!(names(&root), ["/usr/lib/libssl.so.3", "/opt/libboringssl.so"]);
    }

    #[test]
    fn without_a_cache_the_configuration_and_its_includes_are_followed() {
        let root = root_with(&[
            ("/etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf # comment\n/opt/b\n"),
            ("/etc/ld.so.conf.d/a.conf", b"# nothing\n /opt/a \ninclude more/x\n"),
            ("/etc/ld.so.conf.d/a.txt", b"/opt/c\n"),
            ("/etc/ld.so.conf.d/more/x", b"/opt/d\n"),
            ("/opt/a/libssl.so.3", b""),
            ("/opt/b/libssl-awslc.so", b""),
            ("/opt/b/libssl.a", b""),
            ("/opt/c/libssl.so.1.1", b""),
            ("/opt/d/libssl.so.1.1", b""),
            ("/usr/lib/libssl.so.1.0.2", b""),
        ]);
        assert_eq!(
            names(&root),
            [
                "/opt/a/libssl.so.3",
                "/opt/d/libssl.so.1.1",
                "/opt/b/libssl-awslc.so",
                "/usr/lib/libssl.so.1.0.2"
            ]
        );
    }

    #[test]
    fn a_configuration_that_includes_itself_comes_to_an_end() {
        let root = root_with(&[
            ("/etc/ld.so.conf", b"include /etc/ld.so.*\ninclude ld.so.conf\n/opt/a\n"),
            ("/opt/a/libssl.so.3", b""),
        ]);
        assert_eq!(names(&root), ["/opt/a/libssl.so.3"]);
    }

    #[test]
    fn musl_has_its_own_path_file() {
        let root = root_with(&[(MUSL_PATH_FILE, b"/opt/m:/opt/n\n"), ("/opt/n/libssl.so.3", b"")]);
        assert_eq!(names(&root), ["/opt/n/libssl.so.3"]);
    }

    #[test]
    fn a_broken_cache_is_as_good_as_none() {
        let root = root_with(&[("/etc/ld.so.cache", b"glibc"), ("/usr/lib/libssl.so.3", b"")]);
        assert_eq!(names(&root), ["/usr/lib/libssl.so.3"]);
    }

    #[test]
    fn names_are_judged_by_the_table() {
        for name in ["libssl.so", "libssl.so.3", "libboringssl.so", "libssl-56bbd6.so.1.1"] {
            assert!(may_carry_tls(name.as_bytes()), "{name}");
        }
        for name in ["libcrypto.so.3", "libssl.a", "libss.so.2", ""] {
            assert!(!may_carry_tls(name.as_bytes()), "{name}");
        }
    }
}
