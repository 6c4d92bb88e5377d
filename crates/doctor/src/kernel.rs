//! The kernel's version, machine and types.

use crate::facts::{Facts, Types};
use crate::report::{Group, Line};
use crate::version::Version;

/// Ring buffers: the oldest kernel that can carry payload out whole.
const OLDEST: Version = Version(5, 8, 0);

pub(crate) fn lines(facts: &Facts) -> Vec<Line> {
    vec![version(facts), machine(facts), types(facts)]
}

fn version(facts: &Facts) -> Line {
    let shown = match facts.version {
        Some(version) if !facts.release.starts_with(&version.to_string()) => {
            format!("Linux {} (upstream {version})", facts.release)
        }
        _ => format!("Linux {}", facts.release),
    };
    if facts.version.is_none_or(|version| version >= OLDEST) {
        return Line::ok(Group::Kernel, "version", shown);
    }
    Line::degraded(
        Group::Kernel,
        "version",
        shown,
        format!("before Linux {OLDEST}; what the distribution has not backported is missing"),
        "believe the hooks below, which were tried; use a newer kernel",
    )
}

fn machine(facts: &Facts) -> Line {
    match facts.machine.as_str() {
        "x86_64" => Line::ok(Group::Kernel, "machine", "x86-64"),
        "aarch64" => Line::ok(Group::Kernel, "machine", "AArch64"),
        other => Line::missing(
            Group::Kernel,
            "machine",
            other,
            "the registers that hold a call's arguments are known for x86-64 and AArch64 only",
            "use one of those machines",
        )
        .essential(),
    }
}

fn types(facts: &Facts) -> Line {
    const NAME: &str = "types (BTF)";
    const CONSEQUENCE: &str = "addresses of connections are found by reading /proc, or not at all";
    match &facts.types {
        Types::Present { len } => Line::ok(
            Group::Kernel,
            NAME,
            format!("/sys/kernel/btf/vmlinux, {:.1} MiB", *len as f64 / f64::from(1 << 20)),
        ),
        Types::None => Line::degraded(
            Group::Kernel,
            NAME,
            "/sys/kernel/btf/vmlinux is not there",
            CONSEQUENCE,
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (every current distribution's is)",
        ),
        Types::Broken => Line::degraded(
            Group::Kernel,
            NAME,
            "/sys/kernel/btf/vmlinux does not begin as it should",
            CONSEQUENCE,
            "start with --btf 2, which uses no kernel types",
        ),
        Types::Unreadable(why) => Line::degraded(
            Group::Kernel,
            NAME,
            format!("/sys/kernel/btf/vmlinux: {why}"),
            CONSEQUENCE,
            "run as root; in a container, make /sys/kernel/btf visible",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    #[test]
    fn a_debian_kernel_is_shown_with_its_stable_release() {
        let facts = Facts {
            release: "6.1.0-18-amd64".into(),
            version: Some(Version(6, 1, 76)),
            ..Facts::default()
        };
        let line = version(&facts);
        assert_eq!(line.detail, "Linux 6.1.0-18-amd64 (upstream 6.1.76)");
        assert_eq!(line.status, Status::Ok);
        let facts = Facts { version: Some(Version(5, 4, 9)), ..facts };
        assert_eq!(version(&facts).status, Status::Degraded);
    }

    #[test]
    fn another_machine_cannot_capture() {
        let machine = |name: &str| machine(&Facts { machine: name.into(), ..Facts::default() });
        assert_eq!(machine("x86_64").status, Status::Ok);
        assert_eq!(machine("aarch64").status, Status::Ok);
        let other = machine("riscv64");
        assert_eq!(other.status, Status::Missing);
        assert!(other.essential);
    }

    #[test]
    fn without_types_capture_is_degraded_not_impossible() {
        for state in [Types::None, Types::Broken, Types::Unreadable("denied".into())] {
            let line = types(&Facts { types: state, ..Facts::default() });
            assert_eq!(line.status, Status::Degraded);
            assert!(line.remedy.is_some());
        }
    }
}
