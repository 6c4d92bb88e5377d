//! The TLS libraries of other suites and versions that `cargo xtask libs` provides, and how to run a
//! program with them.

use crate::scratch::Scratch;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One library, with what is needed to run it.
#[derive(Debug)]
pub struct Version {
    folder: PathBuf,
    libraries: &'static str,
    /// The names of libcrypto and libssl.
    names: [&'static str; 2],
    /// Whether it brings its own C library, and so the loader to start programs with.
    has_loader: bool,
    /// A folder with copies of libcrypto and libssl that are used instead.
    copies: Option<PathBuf>,
}

const DEBIAN: &str = "usr/lib/x86_64-linux-gnu";
const OPENSSL_3: [&str; 2] = ["libcrypto.so.3", "libssl.so.3"];

/// Name in the cache, folder of the libraries in it, their names, whether it has its own loader.
const VERSIONS: [(&str, &str, [&str; 2], bool); 13] = [
    (
        "wheel-openssl-1.0.2",
        "psycopg2/.libs",
        ["libcrypto-c1fa9491.so.1.0.2q", "libssl-c0c2ede4.so.1.0.2q"],
        false,
    ),
    ("openssl-1.1.0", "", ["libcrypto.so", "libssl.so"], false),
    ("bullseye-run", DEBIAN, ["libcrypto.so.1.1", "libssl.so.1.1"], false),
    ("trixie-run", DEBIAN, OPENSSL_3, true),
    ("sid-run", DEBIAN, OPENSSL_3, true),
    ("openssl-3-O0", "", ["libcrypto.so", "libssl.so"], false),
    ("openssl-4.0", "", ["libcrypto.so", "libssl.so"], false),
    ("libressl-2.0", "", ["libcrypto.so", "libssl.so"], false),
    ("boringssl-run", "", ["libcrypto.so", "libssl.so"], false),
    ("aws-lc-run", "", ["libcrypto.so", "libssl.so"], false),
    ("android-10", "usr/lib/x86_64-linux-gnu/android", ["libcrypto.so.0", "libssl.so.0"], false),
    ("android-13", "usr/lib/x86_64-linux-gnu/android", ["libcrypto.so.0", "libssl.so.0"], false),
    ("android-14", "usr/lib/x86_64-linux-gnu/android", ["libcrypto.so.0", "libssl.so.0"], false),
];

impl Version {
    /// One of the names that `cargo xtask libs --list` prints.
    pub fn named(name: &str) -> Self {
        let (_, libraries, names, has_loader) = *VERSIONS
            .iter()
            .find(|(known, ..)| *known == name)
            .unwrap_or_else(|| panic!("no version {name} in the table"));
        let folder = Self::folder_of(name);
        Self { folder, libraries, names, has_loader, copies: None }
    }

    fn folder_of(name: &str) -> PathBuf {
        // As `cargo xtask libs` decides it.
        let root = std::env::var_os("ECAPTURE_LIBS").map_or_else(
            || std::env::home_dir().unwrap_or_default().join(".cache/ecapture/libs"),
            PathBuf::from,
        );
        let folder = root.join(name);
        assert!(
            folder.join(".complete").exists(),
            "{} is not there: cargo xtask libs {name}",
            folder.display()
        );
        folder.canonicalize().unwrap()
    }

    /// The program of node, which has OpenSSL inside.
    pub fn node() -> PathBuf {
        Self::folder_of("node").join("package/bin/node")
    }

    /// What this host's programs use.
    pub fn of_host() -> Self {
        Self {
            folder: "/".into(),
            libraries: DEBIAN,
            names: OPENSSL_3,
            has_loader: false,
            copies: None,
        }
    }

    /// The same with files of its own: probes belong to files, so what is attached to these sees the
    /// programs that this version runs, and no others of this host.
    #[must_use]
    pub fn copied(self, scratch: &Scratch) -> Self {
        let copies = scratch.join("copied-libraries");
        fs::create_dir(&copies).unwrap();
        for name in self.names {
            fs::copy(self.folder().join(name), copies.join(name)).unwrap();
        }
        Self { copies: Some(copies), ..self }
    }

    /// The paths of libcrypto and libssl.
    pub fn libraries(&self) -> [PathBuf; 2] {
        let folder = self.copies.clone().unwrap_or_else(|| self.folder());
        self.names.map(|name| folder.join(name))
    }

    /// Its archives to link programs with: libssl, then libcrypto.
    pub fn archives(&self) -> [PathBuf; 2] {
        ["libssl.a", "libcrypto.a"].map(|name| self.folder.join("static").join(name))
    }

    fn folder(&self) -> PathBuf {
        self.folder.join(self.libraries)
    }

    /// A command that runs `program` with this version's libraries.
    pub fn command(&self, program: &Path) -> Command {
        let folder = self.folder();
        let search = std::env::join_paths(self.copies.iter().chain([&folder])).unwrap();
        let mut command = if self.has_loader {
            let mut command = Command::new(folder.join("ld-linux-x86-64.so.2"));
            command.arg("--library-path").arg(search).arg(program);
            command
        } else {
            let mut command = Command::new(program);
            command.env("LD_LIBRARY_PATH", search);
            command
        };
        command.env_remove("SSLKEYLOGFILE");
        command
    }

    /// Its own `openssl`.
    pub fn openssl(&self) -> Command {
        self.command(&self.folder.join("usr/bin/openssl"))
    }
}
