//! A control group for one test.

use std::fs;
use std::path::{Path, PathBuf};

/// A group in the version 2 hierarchy; removed when dropped, after its processes have ended.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

/// Where the version 2 hierarchy is mounted.
pub fn root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let mount = mount.expect("a mounted cgroup2 hierarchy");
    PathBuf::from(mount.split(' ').nth(1).unwrap())
}

impl Cgroup {
    /// Makes one.
    pub fn new() -> Self {
        let path = root().join(crate::Payload::marker());
        fs::create_dir(&path).unwrap();
        Self { path }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a process into it.
    pub fn add(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Default for Cgroup {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It fails while a process of a failed test is in it; that test says so itself.
        let _ = fs::remove_dir(&self.path);
    }
}
