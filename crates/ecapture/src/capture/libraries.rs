//! Finds libraries and plans their probes, in a thread of its own: reading and disassembling a large
//! file must not keep the reader from its rings.

use crate::analysis::{self, Planned};
use discover::{Candidate, Finder, Notice, Scope, Watcher};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use target::Placement;

/// What says whether a file carries TLS.
type Test = fn(&[u8]) -> bool;

/// Which libraries to look for.
pub(crate) struct Search {
    /// Only these files; empty is all.
    pub(crate) given: Vec<Candidate>,
    /// Only what these processes use; empty is all processes.
    pub(crate) pids: Vec<u32>,
    /// How probe sites are chosen.
    pub(crate) placement: Placement,
    /// Look at everything, not just at what was given.
    pub(crate) everything: bool,
}

/// What the thread says.
pub(crate) enum Finding {
    /// A library to attach to.
    Library(Box<Planned>),
    /// One that cannot be attached to, and why.
    Refused(PathBuf, anyhow::Error),
    /// Something the user should know.
    Note(String),
    /// Everything that was there at the start has been told.
    Searched,
}

/// The running search.
pub(crate) struct Libraries {
    findings: Receiver<Finding>,
    arrived: OwnedFd,
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Libraries {
    /// Starts to search, and to watch for new files until it is dropped.
    pub(crate) fn search(search: Search) -> io::Result<Self> {
        let (sender, findings) = channel();
        let arrived = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let teller = Teller { sender, arrived: arrived.try_clone()? };
        let stopped = stop.try_clone()?;
        let thread = std::thread::Builder::new()
            .name("libraries".to_owned())
            .spawn(move || run(search, &teller, &stopped))?;
        Ok(Self { findings, arrived, stop, thread: Some(thread) })
    }

    /// Becomes readable when there is something to [`take`](Self::take).
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }

    /// The next finding, if there is one.
    pub(crate) fn take(&self) -> Option<Finding> {
        let _ = rustix::io::read(&self.arrived, &mut [0; 8]);
        self.findings.try_recv().ok()
    }
}

impl Drop for Libraries {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Teller {
    sender: Sender<Finding>,
    arrived: OwnedFd,
}

impl Teller {
    fn tell(&self, finding: Finding) {
        // A receiver that is gone has stopped caring.
        let _ = self.sender.send(finding);
        let _ = rustix::io::write(&self.arrived, &1_u64.to_ne_bytes());
    }

    fn tell_planned(&self, candidate: Candidate, placement: Placement) {
        let path = candidate.path.clone();
        self.tell(match analysis::plan(candidate, placement) {
            Ok(planned) if planned.functions.is_empty() => Finding::Refused(
                path.clone(),
                anyhow::anyhow!(
                    "{}: none of its functions can be probed: {}",
                    path.display(),
                    planned.analysis.notes.join("; ")
                ),
            ),
            Ok(planned) => Finding::Library(Box::new(planned)),
            Err(error) => Finding::Refused(path, error),
        });
    }

    fn note_failures(&self, failed: Vec<(PathBuf, io::Error)>) {
        for (path, error) in failed {
            self.tell(Finding::Note(format!("cannot look at {}: {error}", path.display())));
        }
    }
}

fn run(search: Search, teller: &Teller, stop: &OwnedFd) {
    let Search { given, pids, placement, everything } = search;
    let mut finder: Finder<Test> = Finder::new(target::carries_tls);
    // Watching starts before the scan, so that nothing falls between the two.
    let watcher = if everything {
        Watcher::open()
            .map_err(|error| {
                teller.tell(Finding::Note(format!(
                    "libraries that programs load from now on are not captured: {error}"
                )));
            })
            .ok()
    } else {
        None
    };
    for candidate in given {
        teller.tell_planned(candidate, placement);
    }
    if everything {
        scan(&mut finder, &pids, placement, teller);
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
            scan(&mut finder, &pids, placement, teller);
        }
        for mapping in mappings {
            if !pids.is_empty() && !pids.contains(&mapping.pid) {
                continue;
            }
            // The process may be gone again: then nothing is left to capture there.
            if let Ok(Some(candidate)) = finder.look_at(&mapping) {
                teller.tell_planned(candidate, placement);
            }
        }
    }
}

fn scan(finder: &mut Finder<Test>, pids: &[u32], placement: Placement, teller: &Teller) {
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
        teller.tell_planned(candidate, placement);
    }
    if pids.is_empty() {
        let loader = finder.scan_loader();
        teller.note_failures(loader.failed);
        for candidate in loader.candidates {
            teller.tell_planned(candidate, placement);
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
