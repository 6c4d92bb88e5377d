//! The thread that sees to it that the rings do not overflow: see [`crate::intake`].
//!
//! It runs before all other threads, because whatever comes while it waits for its turn may be lost,
//! and never does more than copy.

use crate::error::Error;
use crate::intake::{Intake, Next};
use crate::priority::{self, Rank};
use crate::queue;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long records may come together before they are looked at. It bounds both their delay and
/// the number of wake-ups.
const NAP: Duration = Duration::from_millis(2);
/// The reader looks at the rings at least this often while it sleeps, should a wake-up be missed on
/// a CPU with weaker ordering than the protocol was proved for.
const DOZE: Duration = Duration::from_secs(5);

/// The memory in which the programs look whether a record is to wake the reader.
pub(crate) trait Sleeper: Send + Sync + 'static {
    /// 1: the next record wakes the reader.
    fn set_asleep(&self, value: u32);
}

/// The running thread; stopped on drop.
pub(crate) struct Reader {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts to look after `intake`; `rings` become readable when the kernel side wants attention.
    pub(crate) fn start(
        rings: Vec<OwnedFd>,
        shared: Arc<impl Sleeper>,
        intake: Arc<Intake>,
    ) -> Result<Self, Error> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| Error::Wait(error.into()))?;
        let epoll = epoll(&rings, &intake, &stop).map_err(|error| Error::Wait(error.into()))?;
        let mut work = Work { _rings: rings, shared, intake, epoll, stopping: false };
        let thread = std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || work.run())
            .map_err(Error::Wait)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Moves what is left in the rings, and ends the thread. For this to end, the queue must be
    /// emptied meanwhile: see [`Reader::has_stopped`].
    pub(crate) fn stop(&self) {
        queue::ring(&self.stop);
    }

    /// True if everything has been moved after [`Reader::stop`].
    pub(crate) fn has_stopped(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop();
        // A thread that waits for room in the queue ends with the process.
        if self.has_stopped()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// What an epoll event is about.
const RING: u64 = 0;
const STOP: u64 = 1;

fn epoll(rings: &[OwnedFd], intake: &Intake, stop: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let add = |fd, what, flags| epoll::add(&epoll, fd, epoll::EventData::new_u64(what), flags);
    for fd in rings {
        // The rings are readable most of the time; only a wake-up by the kernel side counts.
        add(fd.as_fd(), RING, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
    }
    add(intake.queue().emptied(), RING, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
    add(stop.as_fd(), STOP, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
    Ok(epoll)
}

struct Work<S> {
    /// Kept open as long as they are waited for.
    _rings: Vec<OwnedFd>,
    shared: Arc<S>,
    intake: Arc<Intake>,
    epoll: OwnedFd,
    stopping: bool,
}

impl<S: Sleeper> Work<S> {
    fn run(&mut self) {
        priority::take(Rank::Reader);
        loop {
            let next = if self.stopping { self.empty() } else { self.intake.supervise() };
            match next {
                // Until the queue has room; stopping or not.
                Next::WaitForRoom => self.wait(None),
                Next::Nap => self.wait(Some(NAP)),
                Next::Sleep if self.stopping => return,
                Next::Sleep => {
                    if self.prepare_sleep() {
                        self.wait(Some(DOZE));
                        self.shared.set_asleep(0);
                    }
                }
            }
        }
    }

    /// Moves what is left when no more comes.
    fn empty(&self) -> Next {
        match (self.intake.copy(), self.intake.is_empty()) {
            (false, _) => Next::WaitForRoom,
            (true, true) => Next::Sleep,
            (true, false) => Next::Nap,
        }
    }

    /// Says that the reader is about to sleep until the next record. False if there is something to
    /// read already.
    fn prepare_sleep(&self) -> bool {
        self.shared.set_asleep(1);
        // Pairs with the barrier between a program's reservation and its look at the flag.
        fence(Ordering::SeqCst);
        if self.intake.is_empty() {
            return true;
        }
        self.shared.set_asleep(0);
        false
    }

    fn wait(&mut self, limit: Option<Duration>) {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut events = Vec::with_capacity(8);
        let spare = rustix::buffer::spare_capacity(&mut events);
        // An error can only be an interruption: then there is nothing to see.
        if epoll::wait(self.epoll.as_fd(), spare, limit.as_ref()).is_ok() {
            self.stopping |= events.iter().any(|event| event.data.u64() == STOP);
        }
    }
}
