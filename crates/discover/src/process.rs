//! Facts about a process, from `/proc`. A process may end at any time: then there is no fact.

use std::fs;
use std::path::PathBuf;

/// Where in `/proc` a process is.
pub(crate) fn path(pid: u32, rest: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{rest}"))
}

/// True if there is a process (not only a thread) with this number.
pub fn exists(pid: u32) -> bool {
    status(pid).is_some_and(|status| status.pid == pid)
}

/// The program it runs, as seen in its mount namespace. Needs the right to trace it.
pub fn exe(pid: u32) -> Option<PathBuf> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let path = fs::read_link(path(pid, "exe")).ok()?;
    let (path, _) = crate::maps::strip_deleted(path.as_os_str().as_bytes());
    Some(PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())))
}

/// Its name, as `ps` shows it.
pub fn comm(pid: u32) -> Option<String> {
    let name = fs::read(path(pid, "comm")).ok()?;
    Some(String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned())
}

/// Its effective user.
pub fn uid(pid: u32) -> Option<u32> {
    status(pid).map(|status| status.effective_uid)
}

/// What a process's system calls are checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seccomp {
    /// Nothing.
    Off,
    /// read, write, exit and sigreturn only.
    Strict,
    /// A filter program; it may kill the process for a system call it doesn't know.
    Filter,
}

/// Whether a process lives under seccomp.
pub fn seccomp(pid: u32) -> Option<Seccomp> {
    status(pid).map(|status| status.seccomp)
}

/// The parts of `/proc/PID/status` that are used here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Thread group.
    pub pid: u32,
    /// Effective user.
    pub effective_uid: u32,
    /// Restriction of its system calls.
    pub seccomp: Seccomp,
    /// Effective capabilities, one bit each.
    pub capabilities: u64,
}

/// Reads `/proc/PID/status`.
pub fn status(pid: u32) -> Option<Status> {
    parse_status(&fs::read(path(pid, "status")).ok()?)
}

fn parse_status(text: &[u8]) -> Option<Status> {
    let text = String::from_utf8_lossy(text);
    // The kernel escapes newlines in `Name:`, the only line that a process can write.
    let line = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
    };
    Some(Status {
        pid: line("Tgid")?.parse().ok()?,
        effective_uid: line("Uid")?.split_ascii_whitespace().nth(1)?.parse().ok()?,
        seccomp: match line("Seccomp") {
            Some("1") => Seccomp::Strict,
            Some("2") => Seccomp::Filter,
            _ => Seccomp::Off,
        },
        capabilities: u64::from_str_radix(line("CapEff")?, 16).ok()?,
    })
}

/// Its path in the cgroup v2 hierarchy, or in the `name=systemd` one where v2 isn't used.
pub fn cgroup(pid: u32) -> Option<String> {
    let text = fs::read(path(pid, "cgroup")).ok()?;
    parse_cgroup(&String::from_utf8_lossy(&text)).map(str::to_owned)
}

fn parse_cgroup(text: &str) -> Option<&str> {
    let v2 = text.lines().find_map(|line| line.strip_prefix("0::"));
    let systemd =
        || text.lines().find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    v2.filter(|path| *path != "/").or_else(systemd).or(v2)
}

/// The container that a cgroup path names: the last run of 64 hexadecimal digits, which is how
/// Docker, containerd, CRI-O and podman name a container's cgroup.
pub fn container_id(cgroup: &str) -> Option<&str> {
    const ID_LEN: usize = 64;
    cgroup.split(|letter: char| !letter.is_ascii_hexdigit()).rfind(|run| run.len() == ID_LEN)
}

/// The namespace of mounts that a process sees. Needs the right to trace it.
pub(crate) fn mount_namespace(pid: u32) -> Option<u64> {
    namespace(&path(pid, "ns/mnt"))
}

/// The namespace of mounts that this process sees.
pub(crate) fn own_mount_namespace() -> Option<u64> {
    namespace(&PathBuf::from("/proc/self/ns/mnt"))
}

fn namespace(link: &std::path::Path) -> Option<u64> {
    let name = fs::read_link(link).ok()?;
    name.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

const PF_EXITING: u64 = 0x4;
const PF_KTHREAD: u64 = 0x0020_0000;

/// True for a thread of the kernel.
pub(crate) fn is_kernel_thread(pid: u32) -> bool {
    fs::read(path(pid, "stat"))
        .is_ok_and(|stat| task_flags(&stat).is_some_and(|flags| flags & PF_KTHREAD != 0))
}

/// True if a process has at least one thread that isn't on its way out. (The first thread may end
/// before the others.)
pub(crate) fn has_living_thread(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(path(pid, "task")) else { return false };
    tasks.flatten().any(|task| {
        fs::read(task.path().join("stat"))
            .is_ok_and(|stat| task_flags(&stat).is_some_and(|flags| flags & PF_EXITING == 0))
    })
}

/// The `flags` of `/proc/PID/stat`: the seventh field after the name, which is in parentheses and
/// may itself hold anything.
fn task_flags(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &[u8] =
        b"Name:\tevil\\nUid:\t0\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t812\n\
        Ngid:\t0\nPid:\t812\nUid:\t1000\t33\t1000\t1000\nCapEff:\t000001ffffffffff\n\
        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn status_takes_the_effective_user() {
        let status = parse_status(STATUS).unwrap();
        assert_eq!(status.pid, 812);
        assert_eq!(status.effective_uid, 33);
        assert_eq!(status.seccomp, Seccomp::Filter);
        assert_eq!(status.capabilities, 0x1ff_ffff_ffff);
    }

    #[test]
    fn a_status_cut_short_is_no_status() {
        assert_eq!(parse_status(b"Name:\tx\nTgid:\t1\n"), None);
        assert_eq!(parse_status(b""), None);
    }

    #[test]
    fn the_v2_cgroup_wins_unless_it_is_the_root() {
        assert_eq!(
            parse_cgroup("0::/system.slice/nginx.service\n"),
            Some("/system.slice/nginx.service")
        );
        assert_eq!(parse_cgroup("4:memory:/a\n1:name=systemd:/b\n0::/\n"), Some("/b"));
        assert_eq!(parse_cgroup("0::/\n"), Some("/"));
        assert_eq!(parse_cgroup("4:memory:/a\n"), None);
    }

    #[test]
    fn containers_are_recognised_by_their_cgroup() {
        let id = "0123456789abcdef".repeat(4);
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods.slice/kubepods-pod1a.slice/cri-containerd-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope/container"),
        ] {
            assert_eq!(container_id(&path), Some(id.as_str()), "{path}");
        }
        assert_eq!(container_id("/user.slice/user-1000.slice"), None);
        assert_eq!(container_id(&format!("/{id}0")), None);
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_flags() {
        let stat = b"7 (a) S 1 2 ) 9) S 1 7 7 0 -1 4194560 0 0";
        assert_eq!(task_flags(stat), Some(4_194_560));
        assert_eq!(task_flags(b"7 (a"), None);
        assert_eq!(task_flags(b"7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_here_and_another_is_not() {
        let own = std::process::id();
        assert!(exists(own));
        assert!(has_living_thread(own));
        assert!(!is_kernel_thread(own));
        assert_eq!(exe(own), std::env::current_exe().ok());
        assert!(mount_namespace(own).is_some());
        assert_eq!(mount_namespace(own), own_mount_namespace());
        assert!(!exists(u32::MAX));
        assert!(!has_living_thread(u32::MAX));
    }
}
