//! What this process may do: capabilities, lockdown, system-wide settings, locked memory.

use crate::facts::Facts;
use crate::report::{Group, Line, Status};
use crate::version::Version;

struct Capability {
    name: &'static str,
    bit: u32,
    /// `CAP_SYS_ADMIN` includes it.
    included_in_admin: bool,
    /// Before this kernel it doesn't exist.
    since: Version,
    /// From this kernel on it is of no use here.
    until: Option<Version>,
    lacking: Status,
    consequence: &'static str,
}

const ADMIN_BIT: u32 = 21;
const ALWAYS: Version = Version(0, 0, 0);
/// Before it, locked memory limits BPF maps; since, the memory cgroup accounts for them.
const MEMCG_ACCOUNTING: Version = Version(5, 11, 0);

/// `include/uapi/linux/capability.h`.
const CAPABILITIES: [Capability; 7] = [
    Capability {
        name: "CAP_BPF",
        bit: 39,
        included_in_admin: true,
        since: Version(5, 8, 0),
        until: None,
        lacking: Status::Missing,
        consequence: "no BPF program can be loaded",
    },
    Capability {
        name: "CAP_PERFMON",
        bit: 38,
        included_in_admin: true,
        since: Version(5, 8, 0),
        until: None,
        lacking: Status::Missing,
        consequence: "no program for uprobes can be loaded, and new libraries can't be watched for",
    },
    Capability {
        name: "CAP_SYS_ADMIN",
        bit: ADMIN_BIT,
        included_in_admin: false,
        since: ALWAYS,
        until: None,
        lacking: Status::Degraded,
        consequence: "uprobes need uprobe.multi links (Linux 6.6): stable kernels since July 2025 \
            refuse the older kind",
    },
    Capability {
        name: "CAP_SYS_PTRACE",
        bit: 19,
        included_in_admin: false,
        since: ALWAYS,
        until: None,
        lacking: Status::Degraded,
        consequence: "what other users' processes have mapped can't be seen: libraries are found \
            only where the loader would look, and in containers not at all",
    },
    Capability {
        name: "CAP_CHECKPOINT_RESTORE",
        bit: 40,
        included_in_admin: true,
        since: Version(5, 9, 0),
        until: None,
        lacking: Status::Degraded,
        consequence: "libraries that were deleted or replaced while in use can't be opened",
    },
    Capability {
        name: "CAP_NET_ADMIN",
        bit: 12,
        included_in_admin: false,
        since: ALWAYS,
        until: None,
        lacking: Status::Degraded,
        consequence: "packets can't be captured (pcap mode)",
    },
    Capability {
        name: "CAP_SYS_RESOURCE",
        bit: 24,
        included_in_admin: false,
        since: ALWAYS,
        until: Some(MEMCG_ACCOUNTING),
        lacking: Status::Degraded,
        consequence: "the limit on locked memory can't be raised",
    },
];

pub(crate) fn lines(facts: &Facts) -> Vec<Line> {
    let mut lines: Vec<Line> =
        CAPABILITIES.iter().filter_map(|row| capability(row, facts)).collect();
    lines.push(lockdown(facts));
    lines.extend(unprivileged_bpf(facts));
    lines.extend(paranoid(facts));
    lines.extend(locked_memory(facts));
    lines
}

fn has(facts: &Facts, bit: u32) -> bool {
    facts.capabilities >> bit & 1 == 1
}

fn capability(row: &Capability, facts: &Facts) -> Option<Line> {
    if has(facts, row.bit) {
        return Some(Line::ok(Group::Rights, row.name, "held"));
    }
    if row.included_in_admin && has(facts, ADMIN_BIT) {
        return Some(Line::ok(Group::Rights, row.name, "included in CAP_SYS_ADMIN"));
    }
    if facts.version.is_some_and(|version| version < row.since) {
        return None;
    }
    if row.until.is_some_and(|until| facts.is_at_least(until)) {
        return Some(Line::ok(Group::Rights, row.name, "not held, and not needed on this kernel"));
    }
    let remedy = if facts.effective_uid == Some(0) {
        format!(
            "it was taken from this process: give it back (docker run --cap-add {}, or \
             CapabilityBoundingSet= of the systemd unit)",
            row.name.trim_start_matches("CAP_")
        )
    } else {
        "run as root, or give the binary capabilities: setcap cap_bpf,cap_perfmon,cap_sys_admin,\
         cap_sys_ptrace,cap_net_admin+ep"
            .to_owned()
    };
    let make = if row.lacking == Status::Missing { Line::missing } else { Line::degraded };
    Some(make(Group::Rights, row.name, "not held", row.consequence, remedy))
}

/// `none [integrity] confidentiality`: the one in brackets is in force.
fn lockdown(facts: &Facts) -> Line {
    const NAME: &str = "lockdown";
    let Some(text) = &facts.lockdown else {
        return Line::ok(Group::Rights, NAME, "not reported");
    };
    match in_brackets(text) {
        Some("confidentiality") => Line::degraded(
            Group::Rights,
            NAME,
            "confidentiality",
            "programs can't read kernel memory: addresses of connections are not known from it",
            "boot with lockdown=integrity or without Secure Boot's lockdown",
        ),
        mode => Line::ok(Group::Rights, NAME, mode.unwrap_or("none")),
    }
}

fn in_brackets(text: &str) -> Option<&str> {
    Some(text.split_once('[')?.1.split_once(']')?.0)
}

/// It never gives what uprobes need; shown because it is the first thing that people look at.
fn unprivileged_bpf(facts: &Facts) -> Option<Line> {
    let value = facts.unprivileged_bpf_disabled?;
    Some(Line::ok(
        Group::Rights,
        "kernel.unprivileged_bpf_disabled",
        format!("{value} (programs for uprobes need CAP_BPF whatever it is)"),
    ))
}

fn paranoid(facts: &Facts) -> Option<Line> {
    const NAME: &str = "kernel.perf_event_paranoid";
    const PERFMON_BIT: u32 = 38;
    let value = facts.perf_event_paranoid?;
    if has(facts, PERFMON_BIT) || has(facts, ADMIN_BIT) {
        let detail = format!("{value} (no matter with CAP_PERFMON)");
        return Some(Line::ok(Group::Rights, NAME, detail));
    }
    if value <= 0 {
        return Some(Line::ok(Group::Rights, NAME, value.to_string()));
    }
    Some(Line::degraded(
        Group::Rights,
        NAME,
        value.to_string(),
        "new libraries can't be watched for without CAP_PERFMON",
        "run as root, or give CAP_PERFMON; or set it to 0",
    ))
}

/// Matters only before Linux 5.11.
fn locked_memory(facts: &Facts) -> Option<Line> {
    const NAME: &str = "locked memory";
    const ENOUGH: u64 = 64 << 20;
    const RESOURCE_BIT: u32 = 24;
    if facts.is_at_least(MEMCG_ACCOUNTING) {
        return None;
    }
    let limit = soft_limit(&facts.limits, "Max locked memory")?;
    let shown = match limit {
        UNLIMITED => "unlimited".to_owned(),
        bytes => format!("{} KiB", bytes >> 10),
    };
    if limit >= ENOUGH || has(facts, RESOURCE_BIT) {
        return Some(Line::ok(Group::Rights, NAME, shown));
    }
    Some(Line::degraded(
        Group::Rights,
        NAME,
        shown,
        "BPF maps and ring buffers count as locked memory on this kernel and may not fit",
        "ulimit -l unlimited, or LimitMEMLOCK=infinity in the systemd unit; or a smaller --mapsize",
    ))
}

const UNLIMITED: u64 = u64::MAX;

/// The soft limit of this name in `/proc/self/limits`.
fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_ascii_whitespace().next()? {
        "unlimited" => Some(UNLIMITED),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max stack size            8388608              unlimited            bytes     
Max locked memory         65536                65536                bytes     
Max address space         unlimited            unlimited            bytes     
";

    fn facts(version: Version, capabilities: u64) -> Facts {
        Facts {
            version: Some(version),
            capabilities,
            effective_uid: Some(1000),
            limits: LIMITS.into(),
            perf_event_paranoid: Some(2),
            ..Facts::default()
        }
    }

    fn status_of(lines: &[Line], name: &str) -> Option<Status> {
        lines.iter().find(|line| line.name == name).map(|line| line.status)
    }

    #[test]
    fn root_has_what_it_needs() {
        let lines = lines(&facts(Version(6, 1, 0), !0));
        assert!(lines.iter().all(|line| line.status == Status::Ok), "{lines:?}");
    }

    #[test]
    fn a_user_lacks_everything_and_is_told_what_to_do() {
        let lines = lines(&facts(Version(6, 1, 0), 0));
        assert_eq!(status_of(&lines, "CAP_BPF"), Some(Status::Missing));
        assert_eq!(status_of(&lines, "CAP_SYS_PTRACE"), Some(Status::Degraded));
        assert_eq!(status_of(&lines, "CAP_SYS_RESOURCE"), Some(Status::Ok));
        assert_eq!(status_of(&lines, "kernel.perf_event_paranoid"), Some(Status::Degraded));
        for line in lines.iter().filter(|line| line.status != Status::Ok) {
            assert!(line.consequence.is_some() && line.remedy.is_some(), "{line:?}");
        }
    }

    #[test]
    fn admin_includes_bpf_but_not_ptrace() {
        let lines = lines(&facts(Version(6, 1, 0), 1 << ADMIN_BIT));
        assert_eq!(status_of(&lines, "CAP_BPF"), Some(Status::Ok));
        assert_eq!(status_of(&lines, "CAP_CHECKPOINT_RESTORE"), Some(Status::Ok));
        assert_eq!(status_of(&lines, "CAP_SYS_PTRACE"), Some(Status::Degraded));
    }

    #[test]
    fn an_old_kernel_has_no_fine_capabilities_and_counts_locked_memory() {
        let lines = lines(&facts(Version(5, 4, 0), 0));
        assert_eq!(status_of(&lines, "CAP_BPF"), None);
        assert_eq!(status_of(&lines, "CAP_SYS_RESOURCE"), Some(Status::Degraded));
        assert_eq!(status_of(&lines, "locked memory"), Some(Status::Degraded));
    }

    #[test]
    fn a_capability_taken_from_root_is_not_answered_by_becoming_root() {
        let facts = Facts { effective_uid: Some(0), ..facts(Version(6, 1, 0), 0) };
        let lines = lines(&facts);
        let remedy = lines[0].remedy.as_ref().unwrap();
        assert!(remedy.contains("--cap-add BPF"), "{remedy}");
    }

    #[test]
    fn only_confidentiality_hurts() {
        let status = |text: &str| {
            lockdown(&Facts { lockdown: Some(text.into()), ..Facts::default() }).status
        };
        assert_eq!(status("[none] integrity confidentiality\n"), Status::Ok);
        assert_eq!(status("none [integrity] confidentiality\n"), Status::Ok);
        assert_eq!(status("none integrity [confidentiality]\n"), Status::Degraded);
        assert_eq!(status(""), Status::Ok);
    }

    #[test]
    fn limits_are_read_by_name() {
        assert_eq!(soft_limit(LIMITS, "Max locked memory"), Some(65536));
        assert_eq!(soft_limit(LIMITS, "Max address space"), Some(UNLIMITED));
        assert_eq!(soft_limit(LIMITS, "Max nice"), None);
    }
}
