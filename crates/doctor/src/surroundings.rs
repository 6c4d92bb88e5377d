//! Mounts and namespaces.

use crate::facts::Facts;
use crate::report::{Group, Line};

/// The first PID and user namespaces (`include/linux/proc_ns.h`).
const FIRST_PID_NAMESPACE: u64 = 0xefff_fffc;
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

pub(crate) fn lines(facts: &Facts) -> Vec<Line> {
    vec![pid_namespace(facts), user_namespace(facts), cgroup2(facts), tracefs(facts)]
}

fn pid_namespace(facts: &Facts) -> Line {
    const NAME: &str = "PID namespace";
    match facts.pid_namespace {
        Some(FIRST_PID_NAMESPACE) => Line::ok(Group::Surroundings, NAME, "the host's"),
        None => Line::ok(Group::Surroundings, NAME, "not reported"),
        Some(_) => {
            let detail = facts
                .container
                .as_ref()
                .map_or("a container's".to_owned(), |id| format!("that of container {id}"));
            Line::degraded(
                Group::Surroundings,
                NAME,
                detail,
                "processes outside can't be seen or named; libraries that only they use are not \
                 found",
                "run on the host, or in a container with --pid=host",
            )
        }
    }
}

fn user_namespace(facts: &Facts) -> Line {
    const NAME: &str = "user namespace";
    match facts.user_namespace {
        Some(FIRST_USER_NAMESPACE) => Line::ok(Group::Surroundings, NAME, "the host's"),
        None => Line::ok(Group::Surroundings, NAME, "not reported"),
        Some(_) => Line::degraded(
            Group::Surroundings,
            NAME,
            "not the host's",
            "capabilities held here don't count for tracing: being root is not enough",
            "run on the host as root, not in a rootless container",
        ),
    }
}

fn cgroup2(facts: &Facts) -> Line {
    const NAME: &str = "cgroup v2";
    match mount_point(&facts.mounts, "cgroup2") {
        Some(path) => Line::ok(Group::Surroundings, NAME, format!("mounted at {path}")),
        None => Line::degraded(
            Group::Surroundings,
            NAME,
            "not mounted",
            "--cgroup_path can't be used",
            "mount -t cgroup2 none /sys/fs/cgroup",
        ),
    }
}

fn tracefs(facts: &Facts) -> Line {
    let detail = match mount_point(&facts.mounts, "tracefs") {
        Some(path) => format!("mounted at {path} (not needed)"),
        None => "not mounted (not needed)".to_owned(),
    };
    Line::ok(Group::Surroundings, "tracefs", detail)
}

/// Where the first file system of a type is mounted, by `/proc/self/mounts`.
fn mount_point<'a>(mounts: &'a str, kind: &str) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let path = fields.next()?;
        (fields.next()? == kind).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    const MOUNTS: &str = "\
proc /proc proc rw,relatime 0 0
cgroup2 /data/cgroup2\\040x tmpfs rw 0 0
none /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0
";

    #[test]
    fn a_file_system_is_found_by_its_type_not_its_name() {
        assert_eq!(mount_point(MOUNTS, "cgroup2"), Some("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point(MOUNTS, "tracefs"), None);
        assert_eq!(mount_point("", "proc"), None);
    }

    #[test]
    fn a_container_is_told_from_the_host() {
        let facts = |pid_namespace| Facts {
            pid_namespace,
            container: Some("ab12".into()),
            ..Facts::default()
        };
        assert_eq!(pid_namespace(&facts(Some(0xefff_fffc))).status, Status::Ok);
        let inside = pid_namespace(&facts(Some(4_026_532_800)));
        assert_eq!(inside.status, Status::Degraded);
        assert!(inside.detail.contains("ab12"));
    }

    #[test]
    fn a_missing_cgroup_hierarchy_costs_only_the_filter() {
        let facts = |mounts: &str| Facts { mounts: mounts.into(), ..Facts::default() };
        assert_eq!(cgroup2(&facts(MOUNTS)).status, Status::Ok);
        assert_eq!(cgroup2(&facts("")).status, Status::Degraded);
        assert_eq!(tracefs(&facts("")).status, Status::Ok);
    }
}
