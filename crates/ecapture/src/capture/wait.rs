//! Sleeping until something happens.

use anyhow::Context as _;
use rustix::event::{Timespec, epoll};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What an event is about.
const OTHER: u64 = 0;
const STDOUT: u64 = 1;

/// Everything that a capture waits for.
pub(crate) struct Waiter {
    epoll: OwnedFd,
}

impl Waiter {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot wait for events")?;
        Ok(Self { epoll })
    }

    /// Also wakes up when nobody reads standard output any more, if that can be known: it can of a
    /// pipe or a socket.
    pub(crate) fn add_stdout(&self) {
        // No flags: errors and hang-ups are reported always.
        let event = epoll::EventData::new_u64(STDOUT);
        let flags = epoll::EventFlags::empty();
        let _ = epoll::add(&self.epoll, std::io::stdout(), event, flags);
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>) -> anyhow::Result<()> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(OTHER), epoll::EventFlags::IN)
            .context("cannot wait for events")
    }

    /// Returns when something happened or `limit` is over. False: nobody reads standard output.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> anyhow::Result<bool> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut events: Vec<epoll::Event> = Vec::with_capacity(16);
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(self.epoll.as_fd(), spare, limit.as_ref()) {
            Ok(_) => Ok(events.iter().all(|event| event.data.u64() != STDOUT)),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error).context("cannot wait for events"),
        }
    }
}
