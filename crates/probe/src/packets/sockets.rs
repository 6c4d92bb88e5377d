//! Who holds the sockets that were made before the capture began.
//!
//! The kernel lists sockets with their cookies and inodes (`sock_diag`), `/proc` lists the descriptors
//! of processes with the inodes of their sockets.

use super::error::Error;
use super::netlink::{self, Family};
use super::record::RawOwner;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct inet_diag_req_v2`
const REQUEST: usize = 56;
/// Offsets in `struct inet_diag_msg`.
const COOKIE: usize = 44;
const INODE: usize = 68;
const STATE: usize = 1;
const TCP_LISTEN: u8 = 10;

/// A socket that the kernel told of.
#[derive(Debug, Clone, Copy)]
struct Socket {
    cookie: u64,
    /// It accepts connections: nobody sends or receives with it.
    listens: bool,
}

/// Which processes are wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) pids: Option<Vec<u32>>,
    pub(super) uid: Option<u32>,
    /// The control group's number, which is its inode's.
    pub(super) cgroup: Option<u64>,
}

impl Wanted {
    fn has(&self, pid: u32, uid: u32) -> bool {
        self.pids.as_ref().is_none_or(|pids| pids.contains(&pid))
            && self.uid.is_none_or(|wanted| wanted == uid)
            && self.cgroup.is_none_or(|wanted| is_in_cgroup(pid, wanted))
    }
}

/// The owners of all TCP and UDP sockets of our network namespace, and notes about what is missing.
pub(super) fn owners(wanted: &Wanted) -> (Vec<RawOwner>, Vec<String>) {
    let mut sockets = HashMap::new();
    let mut notes = Vec::new();
    for (protocol, name) in [(libc::IPPROTO_TCP, "TCP"), (libc::IPPROTO_UDP, "UDP")] {
        for family in [libc::AF_INET, libc::AF_INET6] {
            if let Err(error) = list(family, protocol, &mut sockets) {
                notes.push(format!(
                    "owners of {name} sockets that are older than the capture are unknown until they \
                     are used: {error}"
                ));
                break;
            }
        }
    }
    (holders(&sockets, wanted), notes)
}

/// Adds each socket by its inode.
fn list(family: i32, protocol: i32, sockets: &mut HashMap<u64, Socket>) -> Result<(), Error> {
    let mut request = [0; REQUEST];
    request[0] = family as u8;
    request[1] = protocol as u8;
    // In any state.
    request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    netlink::dump(Family::Sockets, SOCK_DIAG_BY_FAMILY, &request, |message| {
        let inode = netlink::u32_at(message, INODE);
        let cookie = netlink::u32_at(message, COOKIE).zip(netlink::u32_at(message, COOKIE + 4));
        // Those that no process holds have no inode.
        if let (Some(inode), Some((low, high))) = (inode.filter(|inode| *inode != 0), cookie) {
            let cookie = u64::from(high) << 32 | u64::from(low);
            let listens = message.get(STATE) == Some(&TCP_LISTEN);
            sockets.insert(u64::from(inode), Socket { cookie, listens });
        }
    })
    .map_err(|source| Error::List { what: "sockets", source })
}

/// Finds the processes that hold these sockets. Of several, a wanted one counts, else the oldest.
fn holders(sockets: &HashMap<u64, Socket>, wanted: &Wanted) -> Vec<RawOwner> {
    let mut found: HashMap<u64, RawOwner> = HashMap::new();
    for pid in processes() {
        let mut holder: Option<(u32, String, bool)> = None;
        for inode in socket_inodes(pid) {
            let Some(Socket { cookie, listens }) = sockets.get(&inode).copied() else { continue };
            let (uid, comm, is_wanted) = holder.get_or_insert_with(|| {
                let (uid, comm) = identity(pid);
                (uid, comm, wanted.has(pid, uid))
            });
            let owner = RawOwner {
                cookie,
                pid,
                uid: *uid,
                comm: comm.clone(),
                wanted: *is_wanted,
                settled: true,
            };
            let known = found.entry(cookie).or_insert_with(|| owner.clone());
            if known.pid != pid {
                if owner.wanted && !known.wanted {
                    *known = owner;
                }
                // Which of them it is shows when one uses it.
                known.settled = listens;
            }
        }
    }
    found.into_values().collect()
}

fn processes() -> Vec<u32> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

fn socket_inodes(pid: u32) -> impl Iterator<Item = u64> {
    fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(|entry| {
        let target = fs::read_link(entry.ok()?.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

/// The user and name of a process.
fn identity(pid: u32) -> (u32, String) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let uid = field("Uid:")
        .and_then(|numbers| numbers.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    (uid, comm.trim_end_matches('\n').to_owned())
}

/// Whether a process is in the control group with this number, or below it.
fn is_in_cgroup(pid: u32, wanted: u64) -> bool {
    let Some(root) = cgroup_root() else { return false };
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let Some(path) = groups.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return false;
    };
    let mut path = Some(root.join(path));
    while let Some(group) = path {
        if fs::metadata(&group).is_ok_and(|metadata| metadata.ino() == wanted) {
            return true;
        }
        path = group.parent().filter(|parent| parent.starts_with(&root)).map(Path::to_owned);
    }
    false
}

/// Where the control groups (v2) are mounted.
pub(super) fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    mounts.lines().find_map(mount_of_cgroup2).map(PathBuf::from)
}

/// A line of `/proc/mounts`: device, place, type; spaces in the place are written `\040`.
fn mount_of_cgroup2(line: &str) -> Option<String> {
    let mut fields = line.split(' ');
    let place = fields.nth(1)?;
    (fields.next()? == "cgroup2").then(|| place.replace("\\040", " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn our_own_sockets_are_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let udp = UdpSocket::bind("[::1]:0").ok();
        let wanted = Wanted { pids: Some(vec![std::process::id()]), ..Default::default() };
        let (owners, notes) = owners(&wanted);
        let ours: Vec<_> = owners.iter().filter(|o| o.pid == std::process::id()).collect();
        if notes.is_empty() {
            assert!(ours.len() >= 3 + usize::from(udp.is_some()), "{ours:?}");
        }
        assert!(ours.iter().all(|owner| owner.wanted && owner.cookie != 0), "{ours:?}");
        assert!(owners.iter().all(|o| o.wanted == (o.pid == std::process::id())));
        drop((client, server));
    }

    #[test]
    fn the_cgroup_mount_is_found_by_its_type() {
        let line = "cgroup2 /sys/fs/c\\040g cgroup2 rw,nosuid 0 0";
        assert_eq!(mount_of_cgroup2(line).as_deref(), Some("/sys/fs/c g"));
        assert_eq!(mount_of_cgroup2("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0"), None);
        assert_eq!(mount_of_cgroup2(""), None);
    }
}
