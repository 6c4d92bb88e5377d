//! Sleeping until something happens.

use super::libraries::Libraries;
use anyhow::Context as _;
use probe::tls::Capture;
use rustix::event::{Timespec, epoll};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Everything that a capture waits for.
pub(crate) struct Waiter {
    epoll: OwnedFd,
}

impl Waiter {
    pub(crate) fn new(capture: &Capture, libraries: &Libraries) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot wait for events")?;
        let waiter = Self { epoll };
        for fd in capture.fds() {
            // The rings are readable most of the time; only a wake-up by the kernel side counts.
            waiter.register(fd, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        }
        waiter.add(libraries.fd())?;
        Ok(waiter)
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>) -> anyhow::Result<()> {
        self.register(fd, epoll::EventFlags::IN)
    }

    fn register(&self, fd: BorrowedFd<'_>, flags: epoll::EventFlags) -> anyhow::Result<()> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(0), flags)
            .context("cannot wait for events")
    }

    /// Returns when something happened or `limit` is over.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> anyhow::Result<()> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut events = Vec::with_capacity(16);
        match epoll::wait(
            self.epoll.as_fd(),
            rustix::buffer::spare_capacity(&mut events),
            limit.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for events"),
        }
    }
}
