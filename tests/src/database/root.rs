//! A root directory for a suite's programs: its own files, a data folder, nothing else of the host's.

use crate::Scratch;
use crate::process::command;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Not root, which servers refuse to run as.
const USER: u32 = 65534;

/// The root of one suite's servers. They run in a mount namespace of their own, as in a container.
#[derive(Debug)]
pub struct Root {
    files: PathBuf,
    root: PathBuf,
}

/// Mounts what the root is made of, and goes there for good.
const ENTER: &str = r#"
set -e
files=$1 root=$2; shift 2
mount --bind "$files/usr" "$root/usr"
for folder in lib lib64; do
	[ ! -d "$files/$folder" ] || mount --bind "$files/$folder" "$root/$folder"
done
for device in null urandom; do mount --bind /dev/$device "$root/dev/$device"; done
mount --bind /proc "$root/proc"
exec env -i PATH=/usr/sbin:/usr/bin:/bin LC_ALL=C chroot --userspec=65534:65534 "$root" "$@"
"#;

impl Root {
    /// `suite` is `bullseye`, `bookworm`, `trixie` or `sid`.
    pub fn new(scratch: &Scratch, suite: &str) -> Self {
        let cache = std::env::var_os("ECAPTURE_LIBS").map_or_else(
            || std::env::home_dir().unwrap_or_default().join(".cache/ecapture/libs"),
            PathBuf::from,
        );
        let name = format!("{suite}-databases");
        let files = cache.join(&name);
        assert!(
            files.join(".complete").exists(),
            "{} is not there: cargo xtask libs {name}",
            files.display()
        );
        let root = scratch.join("root");
        for folder in ["usr", "bin", "etc", "tmp", "dev", "proc", "data"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o777)).unwrap();
        chown(root.join("data"), Some(USER), Some(USER)).unwrap();
        for folder in ["lib", "lib64"] {
            if files.join(folder).is_dir() {
                fs::create_dir(root.join(folder)).unwrap();
            } else {
                symlink(format!("usr/{folder}"), root.join(folder)).unwrap();
            }
        }
        for device in ["null", "urandom"] {
            fs::write(root.join("dev").join(device), "").unwrap();
        }
        fs::write(root.join("etc/passwd"), "nobody:x:65534:65534::/data:/bin/sh\n").unwrap();
        fs::write(root.join("etc/group"), "nogroup:x:65534:\n").unwrap();
        let shell = ["bin/busybox", "usr/bin/busybox"].map(|path| files.join(path));
        let shell = shell.iter().find(|path| path.exists()).expect("the suite has busybox");
        fs::copy(shell, root.join("bin/sh")).unwrap();
        Self { files: files.canonicalize().unwrap(), root }
    }

    /// A command in the root, as [`USER`]. The process that runs it becomes the program.
    pub fn command(&self, program: &str) -> Command {
        let mut enter = command("unshare");
        enter.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter"]);
        enter.arg(&self.files).arg(&self.root).arg(program);
        enter
    }

    /// Where the host sees a path of the root.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// The file of a program, outside of the root.
    pub fn file(&self, inside: &str) -> PathBuf {
        self.files.join(inside.trim_start_matches('/'))
    }

    /// True if the suite has this program.
    pub fn has(&self, inside: &str) -> bool {
        Path::exists(&self.file(inside))
    }
}
