//! Programs and libraries of a Debian suite that `cargo xtask libs` has unpacked, and how to run them
//! on this host.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One unpacked folder.
#[derive(Debug)]
pub struct Suite {
    folder: PathBuf,
}

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// Only in suites that are newer than the host: there it lies beside all other libraries.
const LOADER: &str = "ld-linux-x86-64.so.2";

impl Suite {
    /// One of the names that `cargo xtask libs --list` prints.
    pub fn named(name: &str) -> Self {
        // As `cargo xtask libs` decides it.
        let root = std::env::var_os("ECAPTURE_LIBS").map_or_else(
            || std::env::home_dir().unwrap_or_default().join(".cache/ecapture/libs"),
            PathBuf::from,
        );
        let folder = root.join(name);
        let complete = folder.join(".complete").exists();
        assert!(complete, "{} is not there: cargo xtask libs {name}", folder.display());
        Self { folder: folder.canonicalize().unwrap() }
    }

    /// The path of a library, links followed.
    pub fn library(&self, name: &str) -> PathBuf {
        self.folder.join(LIBRARIES).join(name).canonicalize().unwrap()
    }

    /// A command that runs `program` with the suite's libraries; with those of the host for what an
    /// older suite's C library would be.
    pub fn command(&self, program: &Path) -> Command {
        let libraries = self.folder.join(LIBRARIES);
        let loader = libraries.join(LOADER);
        let mut command = if loader.exists() {
            let mut command = Command::new(loader);
            command.arg("--library-path").arg(&libraries).arg(program);
            command
        } else {
            let mut command = Command::new(program);
            command.env("LD_LIBRARY_PATH", &libraries);
            command
        };
        for variable in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "SSLKEYLOGFILE"] {
            command.env_remove(variable);
        }
        command.env("LC_ALL", "C.UTF-8");
        command
    }

    /// The suite's own program of this name.
    pub fn program(&self, name: &str) -> Command {
        let [user, system] =
            ["usr/bin", "usr/sbin"].map(|folder| self.folder.join(folder).join(name));
        self.command(if user.exists() { &user } else { &system })
    }
}
