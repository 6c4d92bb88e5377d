//! The thread of a destination: connects, sends, learns what arrived, and begins anew when a connection
//! breaks.

use super::backoff::Backoff;
use super::link::{ByteStream, Link};
use super::queue::{Next, Queue};
use super::socket::{HANDSHAKE, Socket};
use super::spill::Spill;
use super::tls::TlsClient;
use super::websocket::{Framing, WebSocketLink};
use super::window::Window;
use super::{Address, Endpoint};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// At the capture's end it is looked this often whether everything arrived: somebody waits for it.
const LOOK: Duration = Duration::from_millis(2);
/// A destination that does not answer is looked at this often.
const LOOK_AT_SILENT: Duration = Duration::from_secs(10);
/// At the capture's end it is tried this often to connect.
const RETRY_AT_END: Duration = Duration::from_millis(200);

/// How a connection ended.
enum Ended {
    /// Everything is out, and nothing more will come.
    Well,
    /// It broke.
    Broken(io::Error),
}

pub(super) struct Sender {
    name: String,
    endpoint: Endpoint,
    tls: Option<TlsClient>,
    framing: Framing,
    queue: Arc<Queue>,
    spill: Option<Arc<Spill>>,
    window: Window,
}

impl Sender {
    pub(super) fn new(
        name: String,
        endpoint: Endpoint,
        tls: Option<TlsClient>,
        framing: Framing,
        queue: Arc<Queue>,
        spill: Option<Arc<Spill>>,
    ) -> Self {
        Self { name, endpoint, tls, framing, queue, spill, window: Window::default() }
    }

    pub(super) fn run(mut self) {
        let mut backoff = Backoff::new();
        let mut told = false;
        while !self.is_over() {
            let why = match self.connect() {
                Ok(mut link) => {
                    tracing::info!("connected to {}", self.name);
                    self.queue.count(|stats| stats.connections += 1);
                    told = false;
                    let before = self.queue.stats().delivered;
                    let ended = self.session(&mut *link);
                    if self.queue.stats().delivered > before {
                        backoff.reset();
                    }
                    match ended {
                        Ended::Well => break,
                        Ended::Broken(why) => why,
                    }
                }
                Err(why) => why,
            };
            if self.is_over() {
                break;
            }
            let wait = backoff.next();
            if !told {
                tracing::warn!("{}: {why}; trying again", self.name);
                told = true;
            }
            self.pause(wait);
        }
        self.queue.done();
    }

    /// Nothing is left to do, or no time to do it.
    fn is_over(&self) -> bool {
        let Some(deadline) = self.queue.deadline() else { return false };
        deadline <= Instant::now() || (self.window.is_empty() && self.queue.may_sleep())
    }

    fn connect(&self) -> io::Result<Box<dyn Link>> {
        let queue = || Arc::clone(&self.queue);
        match (&self.endpoint, &self.tls) {
            (Endpoint::Unix(path), _) => {
                let mut socket = Socket::unix(UnixStream::connect(path)?, queue())?;
                socket.established();
                Ok(Box::new(ByteStream::new(socket, true)))
            }
            (Endpoint::Tcp(address) | Endpoint::Tls(address, _), tls) => {
                let mut socket = Socket::tcp(self.dial(address)?, queue())?;
                let Some(tls) = tls else {
                    socket.established();
                    return Ok(Box::new(ByteStream::new(socket, false)));
                };
                let mut stream = tls.connect(socket)?;
                stream.sock.established();
                Ok(Box::new(ByteStream::new(stream, false)))
            }
            (Endpoint::WebSocket(address, url, _), tls) => {
                let socket = Socket::tcp(self.dial(address)?, queue())?;
                let Some(tls) = tls else {
                    let mut link = WebSocketLink::connect(socket, url, self.framing)?;
                    link.carrier().established();
                    return Ok(Box::new(link));
                };
                let mut link = WebSocketLink::connect(tls.connect(socket)?, url, self.framing)?;
                link.carrier().sock.established();
                Ok(Box::new(link))
            }
        }
    }

    fn dial(&self, address: &Address) -> io::Result<TcpStream> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for found in (address.host.as_str(), address.port).to_socket_addrs()? {
            let left = self
                .queue
                .deadline()
                .map_or(HANDSHAKE, |end| end.saturating_duration_since(Instant::now()));
            // Zero is refused as an error.
            match TcpStream::connect_timeout(&found, left.max(Duration::from_millis(1))) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn session(&mut self, link: &mut dyn Link) -> Ended {
        let outcome = self.converse(link);
        let confirmed = match &outcome {
            // It is closed, and all is there.
            Ok(()) => u64::MAX,
            Err(why) => link.finally_confirmed(why),
        };
        let records = self.window.confirm_last(confirmed, link.is_linear() && outcome.is_err());
        self.queue.count(|stats| stats.delivered += records);
        self.window.rewind();
        match outcome {
            Ok(()) => Ended::Well,
            Err(why) => Ended::Broken(why),
        }
    }

    fn converse(&mut self, link: &mut dyn Link) -> io::Result<()> {
        loop {
            let confirmed = link.confirmed()?;
            let records = self.window.confirm(confirmed);
            if records > 0 {
                self.queue.count(|stats| stats.delivered += records);
            }
            let full = self.window.unconfirmed() >= link.most_unconfirmed();
            if !full && self.window.next().is_none() {
                self.take_next()?;
            }
            if !full && let Some((piece, again)) = self.window.next() {
                if again {
                    let records = piece.records.len() as u64;
                    self.queue.count(|stats| stats.resent += records);
                }
                let begin = link.position();
                let outcome = link.send(&piece.batch, &piece.records);
                // What was sent in part may arrive in part, but not the last byte of it.
                let end = if outcome.is_ok() { link.position() } else { u64::MAX };
                self.window.sent(begin..end);
                outcome?;
                continue;
            }
            if self.queue.deadline().is_some()
                && self.window.next().is_none()
                && self.queue.may_sleep()
                && (!link.tells() || self.window.is_empty())
                && link.close()?
            {
                return Ok(());
            }
            self.wait(link)?;
        }
    }

    /// Moves the oldest batch from the queue to the window, if there is one.
    fn take_next(&mut self) -> io::Result<()> {
        match (self.queue.pop(), &self.spill) {
            (Next::Batch(batch), _) => self.window.push(&batch),
            (Next::Spilled, Some(spill)) => match spill.pop() {
                Ok(Some(batch)) => {
                    self.queue.unspilled(batch.records() as u64);
                    self.window.push(&Arc::new(batch));
                }
                Ok(None) => self.queue.wait_for_spill(),
                Err(error) => {
                    self.queue.spill_failed();
                    return Err(error);
                }
            },
            (Next::Spilled | Next::Nothing, _) => {}
        }
        Ok(())
    }

    /// Sleeps until there is something to send, something to read, or something to look at.
    fn wait(&self, link: &dyn Link) -> io::Result<()> {
        let deadline = self.queue.deadline();
        let full = self.window.unconfirmed() >= link.most_unconfirmed();
        if !full && !self.queue.may_sleep() {
            return Ok(());
        }
        let limit = match deadline {
            Some(deadline) if deadline <= Instant::now() => {
                return Err(ErrorKind::TimedOut.into());
            }
            Some(_) => Some(LOOK),
            None => (link.tells() && !self.window.is_empty()).then_some(LOOK_AT_SILENT),
        };
        let timeout = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut fds = [link.poll_fd(), PollFd::from_borrowed_fd(self.queue.wakes(), PollFlags::IN)];
        let outcome = poll(&mut fds, timeout.as_ref());
        // At the end, both sides have hung up although something may be on its way.
        let gone =
            if deadline.is_some() { PollFlags::ERR } else { PollFlags::ERR | PollFlags::HUP };
        let events = fds[0].revents();
        let broken = events.intersects(gone) && !events.contains(PollFlags::IN);
        self.queue.awake();
        match outcome {
            Err(error) if error != rustix::io::Errno::INTR => Err(error.into()),
            // With nothing to read that would tell why.
            _ if broken => Err(ErrorKind::ConnectionReset.into()),
            _ => Ok(()),
        }
    }

    /// Waits before the next attempt; not beyond the end.
    fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let limit = match self.queue.deadline() {
                // Somebody waits for us.
                Some(deadline) => deadline.min(end).min(Instant::now() + RETRY_AT_END),
                None => end,
            };
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_over() {
                return;
            }
            let timeout = Timespec::try_from(left).ok();
            let wakes = PollFd::from_borrowed_fd(self.queue.wakes(), PollFlags::IN);
            let closing = self.queue.deadline().is_some();
            let _ = poll(&mut [wakes], timeout.as_ref());
            self.queue.awake();
            if closing {
                return;
            }
        }
    }
}
