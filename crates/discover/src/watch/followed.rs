//! Processes whose forks and ends are asked for.

use crate::process;
use std::collections::HashSet;

#[derive(Debug, Default)]
pub(super) struct Followed {
    pids: HashSet<u32>,
    /// Those whose first thread has ended while others go on.
    headless: HashSet<u32>,
}

impl Followed {
    /// False if the process is over.
    pub(super) fn add(&mut self, pid: u32) -> bool {
        process::has_living_thread(pid) && {
            self.pids.insert(pid);
            true
        }
    }

    /// True if the parent is followed; then so is the child.
    pub(super) fn forked(&mut self, parent: u32, child: u32) -> bool {
        self.pids.contains(&parent) && {
            self.pids.insert(child);
            true
        }
    }

    /// True if this was the last thread of a followed process, which is followed no longer.
    ///
    /// Almost always a process ends with its first thread, so that others are asked about only
    /// after that one: programs that make a thread per request stay cheap.
    pub(super) fn thread_ended(&mut self, pid: u32, tid: u32) -> bool {
        if !self.pids.contains(&pid) || (pid != tid && !self.headless.contains(&pid)) {
            return false;
        }
        if process::has_living_thread(pid) {
            self.headless.insert(pid);
            return false;
        }
        self.headless.remove(&pid);
        self.pids.remove(&pid)
    }

    /// Finds the processes that ended unnoticed.
    pub(super) fn sweep(&mut self, mut ended: impl FnMut(u32)) {
        self.pids.retain(|&pid| {
            let alive = process::has_living_thread(pid);
            if !alive {
                self.headless.remove(&pid);
                ended(pid);
            }
            alive
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn only_the_end_of_the_last_thread_is_the_end() {
        let mut followed = Followed::default();
        let own = std::process::id();
        assert!(followed.add(own));
        assert!(!followed.thread_ended(own, own), "this thread is alive");
        let mut child = Command::new("true").spawn().unwrap();
        assert!(followed.forked(own, child.id()));
        child.wait().unwrap();
        assert!(!followed.thread_ended(child.id(), child.id() + 1), "not its first thread");
        assert!(followed.thread_ended(child.id(), child.id()));
        assert!(!followed.thread_ended(child.id(), child.id()), "told once");
    }

    #[test]
    fn a_process_that_is_over_cannot_be_followed() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(!Followed::default().add(child.id()));
    }

    #[test]
    fn strangers_concern_nobody() {
        let mut followed = Followed::default();
        assert!(!followed.forked(1, 2));
        assert!(!followed.thread_ended(2, 2));
    }

    #[test]
    fn ends_that_went_unnoticed_are_found() {
        let mut followed = Followed::default();
        let own = std::process::id();
        let mut child = Command::new("true").spawn().unwrap();
        assert!(followed.add(own));
        followed.forked(own, child.id());
        child.wait().unwrap();
        let mut ended = Vec::new();
        followed.sweep(|pid| ended.push(pid));
        assert_eq!(ended, [child.id()]);
    }
}
