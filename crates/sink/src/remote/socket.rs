//! A connected socket whose waiting can be ended from outside.

use super::queue::Queue;
use super::unacked::unacked;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long connecting and a handshake may take, each.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// A non-blocking socket: writing waits for room, reading only during a handshake.
pub(super) struct Socket {
    fd: OwnedFd,
    queue: Arc<Queue>,
    /// Reading waits until then.
    handshake: Option<Instant>,
    /// Bytes that the kernel took.
    pub(super) written: u64,
}

impl Socket {
    pub(super) fn tcp(stream: TcpStream, queue: Arc<Queue>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        // So that a peer that is gone without a word is noticed although there is nothing to send.
        rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
        rustix::net::sockopt::set_tcp_keepidle(&stream, Duration::from_secs(30))?;
        Ok(Self::new(stream.into(), queue))
    }

    pub(super) fn unix(stream: UnixStream, queue: Arc<Queue>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::new(stream.into(), queue))
    }

    fn new(fd: OwnedFd, queue: Arc<Queue>) -> Self {
        let handshake = Some(Instant::now() + HANDSHAKE);
        Self { fd, queue, handshake, written: 0 }
    }

    /// From now on reading does not wait.
    pub(super) fn established(&mut self) {
        self.handshake = None;
    }

    /// Bytes that arrived at the other end, as far as its kernel told.
    pub(super) fn acked(&self) -> io::Result<u64> {
        Ok(self.written.saturating_sub(unacked(self.fd.as_fd())?))
    }

    /// Says that nothing more will come.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Write)?)
    }

    /// Waits until the socket is as wanted; until the capture's end and its deadline, at most.
    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        loop {
            let limit = [self.handshake, self.queue.deadline()].into_iter().flatten().min();
            let left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(ErrorKind::TimedOut.into());
            }
            // The deadline may come while we wait.
            let left = left.unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(1));
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(&self.fd, flags)], timeout.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(&self.fd, &mut *into) {
                Ok(count) => return Ok(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) if self.handshake.is_some() => {
                    self.wait(PollFlags::IN)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            // Not write(2): a peer that is gone is an error here, not a signal to the process.
            let flags = rustix::net::SendFlags::NOSIGNAL;
            match rustix::net::send(&self.fd, bytes, flags) {
                Ok(count) => {
                    self.written += count as u64;
                    return Ok(count);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
