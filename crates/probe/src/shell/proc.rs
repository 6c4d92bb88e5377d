//! What `/proc` tells of a shell, where the kernel side cannot.

use super::record::Start;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

/// The program that the process runs.
pub(super) fn exe(pid: u32) -> Option<Arc<str>> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(Arc::from(path.to_string_lossy().as_ref()))
}

/// Fills in what the kernel side leaves out without type information, as far as the process still
/// shows it. By then the command may have begun to run.
pub(super) fn complete(start: &mut Start) {
    let pid = start.pid;
    start.cwd =
        fs::read_link(format!("/proc/{pid}/cwd")).ok().map(|path| path.into_os_string().into_vec());
    start.login_uid = fs::read_to_string(format!("/proc/{pid}/loginuid"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|uid| *uid != u32::MAX);
    let Ok(fields) = fs::read(format!("/proc/{pid}/stat")) else { return };
    if let Some((ppid, tty)) = parent_and_tty(&fields) {
        start.ppid = Some(ppid);
        start.tty = tty;
    }
}

/// Fields 4 and 7 of `/proc/PID/stat` (proc(5)).
fn parent_and_tty(stat: &[u8]) -> Option<(u32, Option<(u32, u32)>)> {
    // The name may hold anything, parentheses included.
    let after = stat.get(stat.iter().rposition(|byte| *byte == b')')? + 1..)?;
    let fields: Vec<&str> = std::str::from_utf8(after).ok()?.split_whitespace().collect();
    let device: i32 = fields.get(4)?.parse().ok()?;
    let device = device as u32;
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    Some((fields.get(1)?.parse().ok()?, (device != 0).then_some((major, minor))))
}

/// The device's usual name (Linux, `Documentation/admin-guide/devices.txt`).
pub(super) fn tty_name(major: u32, minor: u32) -> String {
    match (major, minor) {
        // The kernel counts on beyond 256 within the first major number.
        (136..=143, _) => format!("/dev/pts/{}", (major - 136) * 256 + minor),
        (4, 0..64) => format!("/dev/tty{minor}"),
        (4, _) => format!("/dev/ttyS{}", minor - 64),
        (5, 1) => "/dev/console".to_owned(),
        (204, 64..80) => format!("/dev/ttyAMA{}", minor - 64),
        (229, _) => format!("/dev/hvc{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_have_their_usual_names() {
        for (major, minor, name) in [
            (136, 3, "/dev/pts/3"),
            (136, 300, "/dev/pts/300"),
            (4, 1, "/dev/tty1"),
            (4, 64, "/dev/ttyS0"),
            (5, 1, "/dev/console"),
            (250, 7, "250:7"),
        ] {
            assert_eq!(tty_name(major, minor), name);
        }
    }

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let stat = b"42 (a) S 9 9 (b) S 7 42 42 34819 42 0";
        assert_eq!(parent_and_tty(stat), Some((7, Some((136, 3)))));
        assert_eq!(parent_and_tty(b"42 (cron) S 1 42 42 0 -1"), Some((1, None)));
        assert_eq!(parent_and_tty(b"42"), None);
    }
}
