//! Finds files and plans their probes, in a thread of its own: reading and disassembling a large
//! file must not keep the reader from its rings.

use super::module::Planner;
use discover::{Candidate, FileId, Finder, Notice, Scope, Stamp, Watcher};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What says whether a file is one to plan for.
type Test = fn(&[u8]) -> bool;

/// Which files to look for.
pub(crate) struct Options<P> {
    /// Only these files; empty is all.
    pub(crate) given: Vec<Candidate>,
    /// Only what these processes use; empty is all processes.
    pub(crate) pids: Vec<u32>,
    /// Whether a file is one to plan for.
    pub(crate) test: Test,
    /// How probes are planned.
    pub(crate) plan: Planner<P>,
    /// Look at everything, not just at what was given.
    pub(crate) everything: bool,
}

/// What the thread says.
pub(crate) enum Finding<P> {
    /// A file to attach to.
    Planned(P),
    /// One that cannot be attached to, and why.
    Refused(PathBuf, anyhow::Error),
    /// Something the user should know.
    Note(String),
    /// Everything that was there at the start has been told.
    Searched,
}

/// The running search.
pub(crate) struct Search<P> {
    findings: Receiver<Finding<P>>,
    arrived: OwnedFd,
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

/// The planner for one search; another may have it too.
pub(crate) fn shared<P: 'static>(planner: &Arc<Mutex<Planner<P>>>) -> Planner<P> {
    let planner = Arc::clone(planner);
    Box::new(move |candidate| planner.lock().unwrap_or_else(PoisonError::into_inner)(candidate))
}

/// The file at `path`, if it is one to plan for.
pub(crate) fn program(path: &Path, test: Test) -> Option<Candidate> {
    let candidate = discover::given(path).ok()?;
    let bytes = std::fs::read(candidate.open_path()).ok()?;
    test(&bytes).then_some(candidate)
}

impl<P: Send + 'static> Search<P> {
    /// Starts to search, and to watch for new files until it is dropped.
    pub(crate) fn start(options: Options<P>) -> io::Result<Self> {
        let (sender, findings) = channel();
        let arrived = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let teller = Teller { sender, arrived: arrived.try_clone()?, planned: RefCell::default() };
        let stopped = stop.try_clone()?;
        let thread = std::thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || run(options, &teller, &stopped))?;
        Ok(Self { findings, arrived, stop, thread: Some(thread) })
    }

    /// Becomes readable when there is something to [`take`](Self::take).
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }

    /// The next finding, if there is one.
    pub(crate) fn take(&self) -> Option<Finding<P>> {
        let _ = rustix::io::read(&self.arrived, &mut [0; 8]);
        self.findings.try_recv().ok()
    }
}

impl<P> Drop for Search<P> {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Teller<P> {
    sender: Sender<Finding<P>>,
    arrived: OwnedFd,
    /// What was planned for: a file may be named by the user twice, and be found as well.
    planned: RefCell<HashSet<(FileId, Stamp)>>,
}

impl<P> Teller<P> {
    fn tell(&self, finding: Finding<P>) {
        // A receiver that is gone has stopped caring.
        let _ = self.sender.send(finding);
        let _ = rustix::io::write(&self.arrived, &1_u64.to_ne_bytes());
    }

    fn tell_planned(&self, candidate: Candidate, plan: &Planner<P>) {
        if !self.planned.borrow_mut().insert((candidate.id, candidate.stamp)) {
            return;
        }
        let path = candidate.path.clone();
        self.tell(match plan(candidate) {
            Ok(plan) => Finding::Planned(plan),
            Err(error) => Finding::Refused(path, error),
        });
    }

    fn note_failures(&self, failed: Vec<(PathBuf, io::Error)>) {
        for (path, error) in failed {
            self.tell(Finding::Note(format!("cannot look at {}: {error}", path.display())));
        }
    }
}

fn run<P>(options: Options<P>, teller: &Teller<P>, stop: &OwnedFd) {
    let Options { given, pids, test, plan, everything } = options;
    let mut finder: Finder<Test> = Finder::new(test);
    // Watching starts before the scan, so that nothing falls between the two.
    let watcher = if everything {
        Watcher::open()
            .map_err(|error| {
                teller.tell(Finding::Note(format!(
                    "files that programs load from now on are not captured: {error}"
                )));
            })
            .ok()
    } else {
        None
    };
    for candidate in given {
        teller.tell_planned(candidate, &plan);
    }
    if everything {
        scan(&mut finder, &pids, &plan, teller);
    }
    teller.tell(Finding::Searched);
    let Some(mut watcher) = watcher else { return };
    while wait(&watcher, stop) {
        let mut mappings = Vec::new();
        let mut lost = false;
        watcher.drain(|notice| match notice {
            Notice::Mapping(mapping) => mappings.push(mapping),
            Notice::Lost { .. } => lost = true,
            Notice::Fork { .. } | Notice::Exit { .. } => {}
        });
        if lost {
            scan(&mut finder, &pids, &plan, teller);
        }
        for mapping in mappings {
            if !pids.is_empty() && !pids.contains(&mapping.pid) {
                continue;
            }
            // The process may be gone again: then nothing is left to capture there.
            if let Ok(Some(candidate)) = finder.look_at(&mapping) {
                teller.tell_planned(candidate, &plan);
            }
        }
    }
}

fn scan<P>(finder: &mut Finder<Test>, pids: &[u32], plan: &Planner<P>, teller: &Teller<P>) {
    let scope = if pids.is_empty() { Scope::All } else { Scope::Only(pids) };
    let processes = finder.scan_processes(scope);
    if processes.unreadable > 0 {
        teller.tell(Finding::Note(format!(
            "processes that could not be looked at, for lack of rights: {} (see `ecapture doctor`)",
            processes.unreadable
        )));
    }
    teller.note_failures(processes.failed);
    for candidate in processes.candidates {
        teller.tell_planned(candidate, plan);
    }
    if pids.is_empty() {
        let loader = finder.scan_loader();
        teller.note_failures(loader.failed);
        for candidate in loader.candidates {
            teller.tell_planned(candidate, plan);
        }
    }
}

/// Waits for notices. False: it is time to stop.
fn wait(watcher: &Watcher, stop: &OwnedFd) -> bool {
    let mut fds: Vec<PollFd<'_>> = std::iter::once(stop.as_fd())
        .chain(watcher.fds())
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    loop {
        match poll(&mut fds, None) {
            Ok(_) => return fds[0].revents().is_empty(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
