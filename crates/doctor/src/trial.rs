//! Which hooks work here, found out by using them on this process.

use crate::bpf;
use crate::report::{Group, Line, Status};
use discover::{Watcher, maps};
use libbpf_sys as sys;
use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

/// A way of hooking, or something that hooks need.
struct Trial {
    name: &'static str,
    attempt: fn() -> io::Result<()>,
    /// True if there is no capture without it.
    essential: bool,
    /// The first kernel that has it.
    since: &'static str,
    consequence: &'static str,
}

const TRIALS: [Trial; 8] = [
    Trial {
        name: "maps",
        attempt: || bpf::counter().map(drop),
        essential: true,
        since: "4.4, built with CONFIG_BPF_SYSCALL",
        consequence: "no BPF program can keep anything",
    },
    Trial {
        name: "programs",
        attempt: || bpf::program(sys::BPF_PROG_TYPE_KPROBE, 0, None).map(drop),
        essential: true,
        since: "4.4, built with CONFIG_BPF_EVENTS",
        consequence: "nothing can run at a uprobe",
    },
    Trial {
        name: "ring buffer",
        attempt: || bpf::map(sys::BPF_MAP_TYPE_RINGBUF, 0, 0, page_len()).map(drop),
        essential: false,
        since: "5.8",
        consequence: "perf buffers are used instead, which wake the reader for every record",
    },
    Trial {
        name: "attach cookie",
        attempt: || helper(sys::BPF_FUNC_get_attach_cookie),
        essential: false,
        since: "5.15",
        consequence: "each function gets its own instance of the programs, so attaching takes longer",
    },
    Trial {
        name: "bpf_loop",
        attempt: || helper(sys::BPF_FUNC_loop),
        essential: false,
        since: "5.17",
        consequence: "of a call that moves more than 32 MiB at once, the rest is counted as lost",
    },
    Trial {
        name: "task storage",
        attempt: || {
            bpf::counter()?;
            if bpf::has_map(sys::BPF_MAP_TYPE_TASK_STORAGE) { Ok(()) } else { Err(unknown()) }
        },
        essential: false,
        since: "5.11",
        consequence: "what a thread is doing is kept in a table, which can fill up",
    },
    Trial {
        name: "process tracepoints",
        attempt: || raw_tracepoints(&[c"sched_process_fork", c"sched_process_exit"]),
        essential: true,
        since: "4.17, built with CONFIG_BPF_EVENTS",
        consequence: "the ends of processes, and with that of their connections, are not seen",
    },
    Trial {
        name: "socket tracepoints",
        attempt: || raw_tracepoints(&[c"sock_send_length", c"sock_recv_length"]),
        essential: false,
        since: "6.3",
        consequence: "addresses of connections are not known for programs that do their own I/O \
            (curl, Node.js, Envoy)",
    },
];

/// Uprobes can be had in two ways, of which one is enough.
const BY_PERF_EVENT: Trial = Trial {
    name: "uprobe by perf event",
    attempt: by_perf_event,
    essential: false,
    since: "4.17, built with CONFIG_UPROBE_EVENTS",
    consequence: "uprobes are attached by uprobe.multi links only",
};
const BY_MULTI_LINK: Trial = Trial {
    name: "uprobe.multi",
    attempt: by_multi_link,
    essential: false,
    since: "6.6",
    consequence: "each probe takes a file descriptor, and attaching needs CAP_SYS_ADMIN on many \
        kernels",
};

/// Extras of uprobes.
const RETURNS: [Trial; 2] = [
    Trial {
        name: "uretprobe",
        attempt: uretprobe,
        essential: false,
        since: "4.17, built with CONFIG_UPROBE_EVENTS",
        consequence: "functions without a site at their exits are not captured",
    },
    Trial {
        name: "uprobe.session",
        attempt: by_session_link,
        essential: false,
        since: "6.13",
        consequence: "a function's entry and return are probed separately",
    },
];

pub(crate) fn lines() -> Vec<Line> {
    let _quiet = bpf::Quiet::new();
    let mut lines: Vec<Line> = TRIALS.iter().map(|trial| trial.line((trial.attempt)())).collect();
    lines.extend(uprobes((BY_PERF_EVENT.attempt)(), (BY_MULTI_LINK.attempt)()));
    lines.extend(RETURNS.iter().map(|trial| trial.line((trial.attempt)())));
    lines.push(watch());
    lines
}

impl Trial {
    fn line(&self, result: io::Result<()>) -> Line {
        let Err(error) = result else { return Line::ok(Group::Hooks, self.name, "works") };
        let make = if self.essential { Line::missing } else { Line::degraded };
        let line = make(
            Group::Hooks,
            self.name,
            format!("does not work: {error}"),
            self.consequence,
            self.remedy(&error),
        );
        if self.essential { line.essential() } else { line }
    }

    fn remedy(&self, error: &io::Error) -> String {
        if error.kind() == io::ErrorKind::PermissionDenied {
            "run as root, or give CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN; in a container, allow bpf \
             and perf_event_open in its seccomp profile as well"
                .to_owned()
        } else {
            format!("use Linux {} or newer", self.since)
        }
    }
}

/// The lines of the two ways; both missing, and essential, if neither works.
fn uprobes(by_event: io::Result<()>, by_link: io::Result<()>) -> [Line; 2] {
    let neither = by_event.is_err() && by_link.is_err();
    [BY_PERF_EVENT.line(by_event), BY_MULTI_LINK.line(by_link)].map(|line| {
        if neither {
            let consequence = Some("calls of TLS libraries can't be seen".to_owned());
            Line { status: Status::Missing, consequence, ..line }.essential()
        } else {
            line
        }
    })
}

fn watch() -> Line {
    const NAME: &str = "watching for new libraries";
    match Watcher::open() {
        Ok(_) => Line::ok(Group::Hooks, NAME, "works"),
        Err(error) => Line::degraded(
            Group::Hooks,
            NAME,
            "does not work",
            "libraries that a program maps later are not captured",
            error.to_string(),
        ),
    }
}

fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this kernel doesn't know it")
}

/// The system's answer was good, but the probe was silent.
fn silent() -> io::Error {
    io::Error::other("attached, but it did not fire")
}

fn page_len() -> u32 {
    rustix::param::page_size() as u32
}

fn helper(id: u32) -> io::Result<()> {
    bpf::program(sys::BPF_PROG_TYPE_KPROBE, 0, None)?;
    if bpf::has_helper(sys::BPF_PROG_TYPE_KPROBE, id) { Ok(()) } else { Err(unknown()) }
}

fn raw_tracepoints(names: &[&CStr]) -> io::Result<()> {
    let program = bpf::program(sys::BPF_PROG_TYPE_RAW_TRACEPOINT, 0, None)?;
    for name in names {
        bpf::attach_raw_tracepoint(&program, name)
            .map_err(|error| io::Error::new(error.kind(), format!("{name:?}: {error}")))?;
    }
    Ok(())
}

/// This program's file, by a name that works whatever its path.
const OWN_FILE: &CStr = c"/proc/self/exe";

/// The offset in [`OWN_FILE`] of the function to probe.
fn landing_offset() -> io::Result<u64> {
    let address = bpf::landing_address();
    let text = std::fs::read("/proc/self/maps")?;
    let found = maps::executable(&text)
        .find(|mapping| (mapping.start..mapping.end).contains(&address))
        .map(|mapping| address - mapping.start + mapping.offset);
    found.ok_or_else(|| io::Error::other("this program's own code is not mapped from a file"))
}

fn event_type() -> io::Result<u32> {
    let text = std::fs::read_to_string("/sys/bus/event_source/devices/uprobe/type")?;
    text.trim().parse().map_err(io::Error::other)
}

fn by_perf_event() -> io::Result<()> {
    let event = bpf::uprobe_event(event_type()?, false, OWN_FILE, landing_offset()?)?;
    let counter = bpf::counter()?;
    let program = bpf::program(sys::BPF_PROG_TYPE_KPROBE, 0, Some(&counter))?;
    let _link = bpf::attach_to_event(&program, &event)?;
    fires(&counter)
}

fn by_multi_link() -> io::Result<()> {
    const KIND: u32 = sys::BPF_TRACE_UPROBE_MULTI;
    let counter = bpf::counter()?;
    let program = bpf::program(sys::BPF_PROG_TYPE_KPROBE, KIND, Some(&counter))?;
    let _link = bpf::attach_multi(&program, KIND, 0, OWN_FILE, landing_offset()?)?;
    fires(&counter)
}

fn fires(counter: &OwnedFd) -> io::Result<()> {
    bpf::hit();
    if bpf::count(counter)? > 0 { Ok(()) } else { Err(silent()) }
}

/// Attached, but not run over: on some kernels a return through it kills a process that has a seccomp
/// filter, and this one may have.
fn uretprobe() -> io::Result<()> {
    const KIND: u32 = sys::BPF_TRACE_UPROBE_MULTI;
    let by_link = || {
        let program = bpf::program(sys::BPF_PROG_TYPE_KPROBE, KIND, None)?;
        let flags = sys::BPF_F_UPROBE_MULTI_RETURN;
        bpf::attach_multi(&program, KIND, flags, OWN_FILE, landing_offset()?).map(drop)
    };
    let by_event = || {
        let event = bpf::uprobe_event(event_type()?, true, OWN_FILE, landing_offset()?)?;
        let program = bpf::program(sys::BPF_PROG_TYPE_KPROBE, 0, None)?;
        bpf::attach_to_event(&program, &event).map(drop)
    };
    by_link().or_else(|_| by_event())
}

/// Not run over either, for the same reason.
fn by_session_link() -> io::Result<()> {
    const KIND: u32 = sys::BPF_TRACE_UPROBE_SESSION;
    let program = bpf::program(sys::BPF_PROG_TYPE_KPROBE, KIND, None)?;
    bpf::attach_multi(&program, KIND, 0, OWN_FILE, landing_offset()?).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    #[test]
    fn one_way_to_have_uprobes_is_enough() {
        for lines in [uprobes(Ok(()), refused()), uprobes(refused(), Ok(()))] {
            assert!(lines.iter().all(|line| line.status != Status::Missing && !line.essential));
        }
        let lines = uprobes(refused(), Err(unknown()));
        assert!(lines.iter().all(|line| line.status == Status::Missing && line.essential));
    }

    #[test]
    fn the_remedy_fits_the_failure() {
        let trial = &TRIALS[2];
        assert!(trial.line(refused()).remedy.unwrap().contains("run as root"));
        assert!(trial.line(Err(unknown())).remedy.unwrap().contains("Linux 5.8"));
        assert_eq!(trial.line(Ok(())).status, Status::Ok);
    }

    #[test]
    fn the_function_to_probe_is_in_this_program() {
        let offset = landing_offset().unwrap();
        assert!(offset < std::fs::metadata("/proc/self/exe").unwrap().len());
    }
}
