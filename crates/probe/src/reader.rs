//! The thread that empties the rings.
//!
//! It only copies, so that it keeps up with everything that fills them, and it runs before all other
//! threads, because whatever comes while it waits for its turn may be lost. The work that takes
//! time is done elsewhere.

use crate::error::Error;
use crate::priority::{self, Rank};
use crate::queue::{self, Block, Queue};
use crate::record;
use crate::ring::Rings;
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

/// The part of a sample that is worth keeping.
pub(crate) type Used = fn(&[u8]) -> &[u8];

/// The running thread; stopped on drop.
pub(crate) struct Reader {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts to move samples from `rings` to `queue`.
    pub(crate) fn start(
        rings: Rings,
        shared: Arc<impl Sleeper>,
        queue: Arc<Queue>,
        used: Used,
    ) -> Result<Self, Error> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| Error::Wait(error.into()))?;
        let epoll = epoll(&rings, &queue, &stop).map_err(|error| Error::Wait(error.into()))?;
        let mut work =
            Work { rings, shared, queue, used, epoll, block: Block::default(), stopping: false };
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

fn epoll(rings: &Rings, queue: &Queue, stop: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let add = |fd, what, flags| epoll::add(&epoll, fd, epoll::EventData::new_u64(what), flags);
    for fd in rings.fds() {
        // The rings are readable most of the time; only a wake-up by the kernel side counts.
        add(fd, RING, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
    }
    add(queue.emptied(), RING, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
    add(stop.as_fd(), STOP, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
    Ok(epoll)
}

struct Work<S> {
    rings: Rings,
    shared: Arc<S>,
    queue: Arc<Queue>,
    used: Used,
    epoll: OwnedFd,
    block: Block,
    stopping: bool,
}

impl<S: Sleeper> Work<S> {
    fn run(&mut self) {
        priority::take(Rank::Reader);
        loop {
            let (moved, room) = self.pass();
            if !room {
                // Until the queue has room; stopping or not.
                self.wait(None);
            } else if moved > 0 {
                if !self.stopping {
                    self.wait(Some(NAP));
                }
            } else if self.stopping {
                return;
            } else if self.prepare_sleep() {
                self.wait(Some(DOZE));
                self.shared.set_asleep(0);
            }
        }
    }

    /// Moves what is there. Returns how many samples it moved and whether the queue took them.
    fn pass(&mut self) -> (usize, bool) {
        /// Bytes to read before looking whether the block is full.
        const STEP: usize = 256 << 10;
        let mut moved = 0;
        loop {
            let Self { rings, block, used, .. } = self;
            let step = rings.drain(STEP, record::time, |sample| block.push(used(sample)));
            moved += step;
            if !self.block.is_empty() && (self.block.is_full() || step == 0) {
                match self.queue.push(std::mem::take(&mut self.block)) {
                    Ok(spare) => self.block = spare,
                    Err(block) => {
                        self.block = block;
                        return (moved, false);
                    }
                }
            }
            if step == 0 {
                return (moved, true);
            }
        }
    }

    /// Says that the reader is about to sleep until the next record. False if there is something to
    /// read already.
    fn prepare_sleep(&self) -> bool {
        self.shared.set_asleep(1);
        // Pairs with the barrier between a program's reservation and its look at the flag.
        fence(Ordering::SeqCst);
        if self.rings.is_empty() {
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
