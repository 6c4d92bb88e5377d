//! Faults of certain kernels that probes can run into.

use crate::facts::{self, Facts};
use crate::library::Library;
use crate::report::{Group, Line};
use crate::version::Version;
use discover::process::{self, Seccomp};

pub(crate) fn lines(facts: &Facts, libraries: &[Library]) -> Vec<Line> {
    let mut pids: Vec<u32> =
        libraries.iter().flat_map(|library| library.pids.iter().copied()).collect();
    pids.sort_unstable();
    pids.dedup();
    let filtered: Vec<String> = if kills_filtered(facts) {
        pids.into_iter()
            .filter(|&pid| process::seccomp(pid) == Some(Seccomp::Filter))
            .map(|pid| format!("{} ({pid})", process::comm(pid).unwrap_or_default()))
            .collect()
    } else {
        Vec::new()
    };
    vec![seccomp(facts, &filtered), preemption(facts), five_byte_nop(facts)]
}

fn is_x86(facts: &Facts) -> bool {
    facts.machine == "x86_64"
}

/// From 6.11 on x86-64 has a system call for returning from a function with a uretprobe; a seccomp
/// filter that doesn't know it kills the process. Fixed in 6.14, 6.13.3 and 6.12.14.
fn kills_filtered(facts: &Facts) -> bool {
    is_x86(facts) && facts.version.is_some_and(has_unsafe_uretprobes)
}

fn has_unsafe_uretprobes(version: Version) -> bool {
    const AFFECTED: [(Version, Version); 2] =
        [(Version(6, 11, 0), Version(6, 12, 13)), (Version(6, 13, 0), Version(6, 13, 2))];
    AFFECTED.iter().any(|&(first, last)| (first..=last).contains(&version))
}

/// Whether a return probe can end a program on the running kernel, if that program filters its
/// system calls (seccomp): such a kernel implements return probes by a system call that the filter
/// does not know.
pub fn return_probes_can_kill() -> bool {
    cfg!(target_arch = "x86_64") && facts::kernel_version().is_some_and(has_unsafe_uretprobes)
}

fn seccomp(facts: &Facts, filtered: &[String]) -> Line {
    const NAME: &str = "uretprobes under seccomp";
    const SHOWN: usize = 5;
    if !kills_filtered(facts) {
        return Line::ok(Group::Hazards, NAME, "this kernel is not affected");
    }
    let detail = if filtered.is_empty() {
        "this kernel is affected; no process that uses TLS has a filter now".to_owned()
    } else {
        let named = filtered.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = filtered.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("this kernel is affected; processes with a filter: {named}{more}")
    };
    Line::degraded(
        Group::Hazards,
        NAME,
        detail,
        "a uretprobe would kill a process with a seccomp filter: functions whose return can be seen \
         only that way must be left alone there",
        "update the kernel: fixed in 6.12.14, 6.13.3 and 6.14",
    )
}

/// How the kernel preempts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preemption {
    /// `none`, `voluntary`: not within a program.
    Cooperative,
    Lazy,
    Full,
    Unknown,
}

impl Preemption {
    fn of(facts: &Facts) -> Self {
        let by_name = |name: &str| match name {
            "none" | "voluntary" => Some(Self::Cooperative),
            "lazy" => Some(Self::Lazy),
            "full" => Some(Self::Full),
            _ => None,
        };
        // The debug file shows the mode in force in parentheses.
        let debug = facts
            .preempt_debug
            .as_deref()
            .and_then(|text| by_name(text.split_once('(')?.1.split_once(')')?.0));
        let chosen = || {
            let choice = |word: &str| by_name(word.strip_prefix("preempt=")?);
            facts.command_line.split_ascii_whitespace().filter_map(choice).next_back()
        };
        debug.or_else(chosen).unwrap_or_else(|| Self::built_in(facts))
    }

    /// What the kernel does unless told otherwise at boot.
    fn built_in(facts: &Facts) -> Self {
        const OPTIONS: [(&str, Preemption); 5] = [
            ("CONFIG_PREEMPT_RT=y", Preemption::Full),
            ("CONFIG_PREEMPT=y", Preemption::Full),
            ("CONFIG_PREEMPT_LAZY=y", Preemption::Lazy),
            ("CONFIG_PREEMPT_VOLUNTARY=y", Preemption::Cooperative),
            ("CONFIG_PREEMPT_NONE=y", Preemption::Cooperative),
        ];
        let words: Vec<&str> = facts.build.split_ascii_whitespace().collect();
        if let Some(configuration) = &facts.configuration {
            let found =
                OPTIONS.iter().find(|(line, _)| configuration.lines().any(|have| have == *line));
            return found.map_or(Self::Unknown, |(_, mode)| *mode);
        }
        // `uname -v` names the built-in mode, unless it can be changed at boot.
        if words.contains(&"PREEMPT") || words.contains(&"PREEMPT_RT") {
            Self::Full
        } else if words.contains(&"PREEMPT_LAZY") {
            Self::Lazy
        } else if words.contains(&"PREEMPT_DYNAMIC") {
            Self::Unknown
        } else {
            Self::Cooperative
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Cooperative => "none or voluntary",
            Self::Lazy => "lazy",
            Self::Full => "full",
            Self::Unknown => "unknown",
        }
    }
}

/// From 6.13 on a program at a uprobe can be preempted by another one on the same CPU. That harms
/// programs that keep data in per-CPU memory across helper calls; `probe`'s keep none.
fn preemption(facts: &Facts) -> Line {
    const NAME: &str = "preemption in probes";
    const SINCE: Version = Version(6, 13, 0);
    if !facts.is_at_least(SINCE) {
        return Line::ok(Group::Hazards, NAME, "this kernel is not affected");
    }
    let mode = Preemption::of(facts);
    if mode == Preemption::Cooperative {
        return Line::ok(Group::Hazards, NAME, format!("mode {}: not affected", mode.as_str()));
    }
    let detail = format!(
        "mode {}; the programs here keep nothing per CPU, their stack neither",
        mode.as_str()
    );
    Line::ok(Group::Hazards, NAME, detail)
}

/// From 6.18 on x86-64 a uprobe on a 5-byte nop becomes a call, which has overwritten memory below
/// the stack pointer of functions that rely on it.
fn five_byte_nop(facts: &Facts) -> Line {
    const SINCE: Version = Version(6, 18, 0);
    let detail = if is_x86(facts) && facts.is_at_least(SINCE) {
        "this kernel rewrites them to calls; sites are never chosen there"
    } else {
        "this kernel is not affected"
    };
    Line::ok(Group::Hazards, "uprobes on 5-byte nops", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    fn facts(version: Version) -> Facts {
        Facts { version: Some(version), machine: "x86_64".into(), ..Facts::default() }
    }

    #[test]
    fn only_the_faulty_releases_are_affected() {
        for (version, affected) in [
            (Version(6, 10, 14), false),
            (Version(6, 11, 0), true),
            (Version(6, 11, 11), true),
            (Version(6, 12, 13), true),
            (Version(6, 12, 14), false),
            (Version(6, 13, 2), true),
            (Version(6, 13, 3), false),
            (Version(6, 14, 0), false),
        ] {
            assert_eq!(kills_filtered(&facts(version)), affected, "{version}");
        }
        let arm = Facts { machine: "aarch64".into(), ..facts(Version(6, 12, 0)) };
        assert!(!kills_filtered(&arm));
    }

    #[test]
    fn endangered_processes_are_named() {
        let filtered: Vec<String> = (1..8).map(|pid| format!("firefox ({pid})")).collect();
        let line = seccomp(&facts(Version(6, 12, 9)), &filtered);
        assert_eq!(line.status, Status::Degraded);
        assert!(line.detail.contains("firefox (5) and 2 more"), "{}", line.detail);
        assert_eq!(seccomp(&facts(Version(6, 1, 0)), &[]).status, Status::Ok);
    }

    #[test]
    fn the_mode_in_force_is_asked_for_in_order_of_certainty() {
        let mut facts = facts(Version(6, 14, 0));
        facts.build = "#1 SMP PREEMPT_DYNAMIC Debian".into();
        assert_eq!(Preemption::of(&facts), Preemption::Unknown);
        facts.configuration = Some("# CONFIG_PREEMPT is not set\nCONFIG_PREEMPT_NONE=y\n".into());
        assert_eq!(Preemption::of(&facts), Preemption::Cooperative);
        facts.command_line = "quiet preempt=none preempt=full ro".into();
        assert_eq!(Preemption::of(&facts), Preemption::Full);
        facts.preempt_debug = Some("none voluntary full (lazy)\n".into());
        assert_eq!(Preemption::of(&facts), Preemption::Lazy);
    }

    #[test]
    fn uname_names_a_mode_that_cannot_be_changed() {
        let of = |build: &str| {
            Preemption::of(&Facts { build: build.into(), ..facts(Version(6, 14, 0)) })
        };
        assert_eq!(of("#1 SMP PREEMPT Debian"), Preemption::Full);
        assert_eq!(of("#1 SMP PREEMPT_RT"), Preemption::Full);
        assert_eq!(of("#1 SMP"), Preemption::Cooperative);
    }

    #[test]
    fn preemption_is_named_and_harmless() {
        let mut facts = facts(Version(6, 14, 0));
        facts.command_line = "preempt=lazy".into();
        let line = preemption(&facts);
        assert_eq!(line.status, Status::Ok);
        assert!(line.detail.contains("lazy"), "{}", line.detail);
        facts.version = Some(Version(6, 12, 0));
        assert!(preemption(&facts).detail.contains("not affected"));
    }
}
