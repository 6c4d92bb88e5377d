//! What a capture module brings; the run does the rest.

use super::balance::Balance;
use anyhow::bail;
use discover::Candidate;
use std::num::NonZeroU64;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

/// What [`Module::drain`] did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Drained {
    /// How many records of the kernel side it handled.
    pub(crate) records: usize,
    /// It stopped although there is more.
    pub(crate) more: bool,
}

impl std::ops::AddAssign for Drained {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.more |= other.more;
    }
}

/// Decided before anything is loaded into the kernel: whom to capture.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Only these processes; more may be added by their children.
    pub(crate) pids: Option<Vec<u32>>,
    /// Children of `pids` too.
    pub(crate) follow_children: bool,
    /// Only this effective user.
    pub(crate) uid: Option<u32>,
    /// Only tasks in this cgroup (version 2) or below it.
    pub(crate) cgroup: Option<OwnedFd>,
    /// The kernel's type information may be used.
    pub(crate) use_btf: bool,
    /// All of this, and the probes, can be changed while the capture runs.
    pub(crate) changeable: bool,
}

/// How records look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    /// Payloads in hexadecimal.
    pub(crate) hex: bool,
    /// At most so many bytes of a payload.
    pub(crate) tsize: Option<NonZeroU64>,
}

impl Scope {
    /// As the programs in the kernel take it.
    pub(crate) fn filter(&self) -> std::io::Result<probe::tls::Filter> {
        let Self { pids, uid, cgroup, .. } = self.try_clone()?;
        Ok(probe::tls::Filter { pids, uid, cgroup })
    }

    /// For a second set of programs.
    pub(crate) fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self {
            pids: self.pids.clone(),
            follow_children: self.follow_children,
            uid: self.uid,
            cgroup: self.cgroup.as_ref().map(OwnedFd::try_clone).transpose()?,
            use_btf: self.use_btf,
            changeable: self.changeable,
        })
    }
}

/// Turns a file into a plan. Runs in the search's thread.
pub(crate) type Planner<P> = Box<dyn Fn(Candidate) -> anyhow::Result<P> + Send>;

/// Which files a module is about.
pub(crate) struct Files<P> {
    /// Could this file be one, by its content? Cheap.
    pub(crate) test: fn(&[u8]) -> bool,
    /// Makes the plan for one that is.
    pub(crate) plan: Planner<P>,
    /// Where such a file may be installed, to be probed before a process runs from it.
    pub(crate) installed: Vec<PathBuf>,
    /// Files that the user named.
    pub(crate) given: Vec<PathBuf>,
    /// The flag by which the user named them.
    pub(crate) flag: &'static str,
    /// What is looked for, in words for the user.
    pub(crate) what: &'static str,
    /// What such files are counted as.
    pub(crate) unit: Unit,
}

/// What files are counted as, in words for the user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    one: &'static str,
    many: &'static str,
    /// What has to happen if there is none.
    wanted: &'static str,
}

impl Unit {
    pub(crate) const LIBRARY: Self =
        Self { one: "library", many: "libraries", wanted: "waiting for a program that brings one" };
    pub(crate) const PROGRAM: Self = Self::started("program", "programs");
    pub(crate) const SERVER: Self = Self::started("server", "servers");
    pub(crate) const SHELL: Self = Self::started("shell", "shells");

    const fn started(one: &'static str, many: &'static str) -> Self {
        Self { one, many, wanted: "waiting for one to be started" }
    }

    /// What has to happen if there is none.
    pub(crate) fn wanted(self) -> &'static str {
        self.wanted
    }

    /// `n` of them.
    pub(crate) fn count(self, n: usize) -> String {
        format!("{n} {}", if n == 1 { self.one } else { self.many })
    }
}

const CANNOT_CHANGE: &str = "this module cannot be changed while it runs: start ecapture anew";

/// A capture module once its programs are in the kernel.
pub(crate) trait Module {
    /// What there is to attach to in one file.
    type Plan: Send + 'static;

    /// Each becomes readable when there is something to [`drain`](Self::drain).
    fn fds(&self) -> Vec<BorrowedFd<'_>>;

    /// Puts probes into a file.
    fn attach(&mut self, plan: Self::Plan) -> anyhow::Result<()>;

    /// Captures what `scope` says from now on, by the probes that there are: its processes are those of
    /// before.
    fn set_scope(&mut self, scope: &Scope) -> anyhow::Result<()> {
        let _ = scope;
        bail!(CANNOT_CHANGE)
    }

    /// Has probes for these plans and no others, in the processes of `scope`, and captures what that
    /// says: every call by the old probes or by the new ones. If it fails, nothing has changed.
    fn replace(&mut self, plans: Vec<Self::Plan>, scope: &Scope) -> anyhow::Result<()> {
        let _ = (plans, scope);
        bail!(CANNOT_CHANGE)
    }

    /// Which packets are captured, if any are, in tcpdump's language; empty is all.
    fn packet_filter(&self) -> Option<&str> {
        None
    }

    /// Captures packets that this expression takes, from now on; empty is all.
    fn set_packet_filter(&mut self, expression: &str) -> anyhow::Result<()> {
        let _ = expression;
        bail!(CANNOT_CHANGE)
    }

    /// Writes records like this from now on.
    fn set_view(&mut self, view: View) -> anyhow::Result<()> {
        let _ = view;
        bail!(CANNOT_CHANGE)
    }

    /// How many files have probes.
    fn attached(&self) -> usize;

    /// Handles what was captured, for a bounded time, and writes it.
    fn drain(&mut self) -> Drained;

    /// Writes out what is buffered.
    fn flush(&mut self);

    /// [`drain`](Self::drain) is to be called within this time even if nothing comes.
    fn wakes_within(&self) -> Option<Duration>;

    /// There is no use in capturing more: enough was written, or nobody reads it.
    fn is_done(&self) -> bool;

    /// True if captured data goes to standard output, so that it matters when nobody reads that.
    fn writes_to_stdout(&self) -> bool;

    /// Removes every probe.
    fn detach(&mut self);

    /// Nothing will come any more after [`detach`](Self::detach).
    fn is_drained(&self) -> bool;

    /// When everything is drained: brings what was begun to its end.
    fn finish(&mut self);

    /// What was seen, written and lost.
    fn balance(&self) -> Balance;

    /// Why writing failed, if it did.
    fn take_error(&mut self) -> Option<anyhow::Error>;
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn one_is_not_many() {
        assert_eq!(Unit::SHELL.count(0), "0 shells");
        assert_eq!(Unit::LIBRARY.count(1), "1 library");
        assert_eq!(Unit::LIBRARY.count(2), "2 libraries");
    }
}
