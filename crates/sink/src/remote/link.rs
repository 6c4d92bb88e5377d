//! One connection to a destination, of whatever kind: how records go out, and how it is known that they
//! arrived.

use super::socket::Socket;
use super::tls::TlsStream;
use crate::Batch;
use rustix::event::PollFd;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::fd::AsFd as _;

/// What the other end's kernel has acknowledged may still wait there to be read when its program dies, and
/// is gone then. So much (more than Linux's default `tcp_rmem` allows it to hold) counts as unconfirmed, and
/// is sent anew if the connection breaks.
const RECEIVE_BUFFER: u64 = 8 << 20;

/// A connection.
pub(super) trait Link {
    /// Sends records; waits until the kernel has taken them.
    fn send(&mut self, batch: &Batch, records: &Range<usize>) -> io::Result<()>;

    /// The position after what was sent.
    fn position(&self) -> u64;

    /// Reads what the other end says. The position up to which everything arrived, also if the connection
    /// breaks.
    fn confirmed(&mut self) -> io::Result<u64>;

    /// After an error: the position up to which everything arrived.
    fn finally_confirmed(&mut self, why: &io::Error) -> u64;

    /// Positions are the records' own bytes.
    fn is_linear(&self) -> bool;

    /// At most so many bytes may be unconfirmed.
    fn most_unconfirmed(&self) -> usize;

    /// A confirmation will come by itself, and is a reason to wake up.
    fn tells(&self) -> bool;

    /// After the last record: brings the connection to its end; true once everything arrived.
    fn close(&mut self) -> io::Result<bool>;

    /// What to poll.
    fn poll_fd(&self) -> PollFd<'_>;
}

/// How bytes get into a socket.
pub(super) trait Carrier: Read + Write {
    fn socket(&self) -> &Socket;
    /// Before the socket's own end.
    fn say_goodbye(&mut self) -> io::Result<()> {
        Ok(())
    }
    /// What it writes is what is given to it.
    const PLAIN: bool;
}

impl Carrier for Socket {
    fn socket(&self) -> &Socket {
        self
    }
    const PLAIN: bool = true;
}

impl Carrier for TlsStream {
    fn socket(&self) -> &Socket {
        &self.sock
    }

    fn say_goodbye(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }
    const PLAIN: bool = false;
}

/// Records one behind the other: `tcp://`, `tls://`, `unix:`.
pub(super) struct ByteStream<C> {
    carrier: C,
    /// Where this connection's records begin: after the handshake.
    begin: u64,
    /// What is acknowledged was read: Unix sockets.
    read_when_acked: bool,
    /// What was acknowledged when the connection was known to be well.
    acked_well: u64,
    /// The other end said that it sends nothing more, when so much was acknowledged.
    end_at: Option<u64>,
    closed: bool,
}

impl<C: Carrier> ByteStream<C> {
    pub(super) fn new(carrier: C, read_when_acked: bool) -> Self {
        let begin = carrier.socket().written;
        Self { carrier, begin, read_when_acked, acked_well: 0, end_at: None, closed: false }
    }

    fn acked(&self) -> io::Result<u64> {
        Ok(self.carrier.socket().acked()?.saturating_sub(self.begin))
    }

    /// Reads whatever comes; nothing is expected.
    fn listen(&mut self) -> io::Result<()> {
        let mut ignored = [0; 512];
        while self.end_at.is_none() {
            match self.carrier.read(&mut ignored) {
                // It may just have closed its sending half, and read on.
                Ok(0) => self.end_at = Some(self.acked()?),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // As programs end that know nothing of TLS's own end.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    self.end_at = Some(self.acked()?);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<C: Carrier> Link for ByteStream<C> {
    fn send(&mut self, batch: &Batch, records: &Range<usize>) -> io::Result<()> {
        self.carrier.write_all(batch.slice(records))?;
        self.carrier.flush()
    }

    fn position(&self) -> u64 {
        self.carrier.socket().written - self.begin
    }

    fn confirmed(&mut self) -> io::Result<u64> {
        // In this order: what a Unix socket's dead peer did not read counts as read a moment after the
        // error shows.
        let acked = self.acked()?;
        self.listen()?;
        self.acked_well = acked;
        let unread = if self.read_when_acked { 0 } else { RECEIVE_BUFFER };
        Ok(acked.saturating_sub(unread))
    }

    fn finally_confirmed(&mut self, why: &io::Error) -> u64 {
        let is_reset = |error: &io::Error| error.kind() == ErrorKind::ConnectionReset;
        // Once a reset was told, reading gives an end like an orderly one (tcp_done shuts both halves).
        let reset = is_reset(why) || self.listen().is_err_and(|error| is_reset(&error));
        let Ok(acked) = self.acked() else { return 0 };
        if why.kind() == ErrorKind::TimedOut && why.raw_os_error().is_none() && !reset {
            // We leave, the other end is there: it can read what it has.
            return acked;
        }
        // A program that ends with something unread makes its kernel say so by a reset (RFC 2525 section
        // 2.17; for Unix sockets, unix_release_sock in net/unix/af_unix.c). An orderly end that nothing was
        // acknowledged after: it read everything.
        match (self.read_when_acked, reset) {
            (true, true) => self.acked_well,
            (true, false) => acked,
            (false, _) if self.end_at == Some(acked) => acked,
            (false, _) => acked.saturating_sub(RECEIVE_BUFFER),
        }
    }

    fn is_linear(&self) -> bool {
        C::PLAIN
    }

    fn most_unconfirmed(&self) -> usize {
        // The socket's buffers are the limit.
        usize::MAX
    }

    fn tells(&self) -> bool {
        false
    }

    fn close(&mut self) -> io::Result<bool> {
        if !self.closed {
            self.closed = true;
            self.carrier.say_goodbye()?;
            self.carrier.socket().shutdown()?;
        }
        self.listen()?;
        let socket = self.carrier.socket();
        // Its end, or that all of it is there: a program that goes on reading need not end.
        Ok(self.end_at.is_some_and(|at| at >= self.position()) || socket.acked()? >= socket.written)
    }

    fn poll_fd(&self) -> PollFd<'_> {
        use rustix::event::PollFlags;
        // After its end it would always be readable; errors are reported in any case.
        let flags = if self.end_at.is_some() { PollFlags::empty() } else { PollFlags::IN };
        PollFd::from_borrowed_fd(self.carrier.socket().as_fd(), flags)
    }
}
