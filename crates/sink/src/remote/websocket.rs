//! Records as WebSocket messages. A ping after each piece asks whether it arrived: the other end answers in
//! order, so its pong confirms all that was sent before the ping.

use super::link::{Carrier, Link};
use crate::Batch;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};
use tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tungstenite::{Bytes, Message, Utf8Bytes, WebSocket};

/// So much may wait for a pong.
const UNCONFIRMED: usize = 4 << 20;
/// A peer that does not answer for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// Nobody has to send us anything large.
const LARGEST: usize = 1 << 20;

/// How a record becomes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Text without the line feed at its end; binary if it is no UTF-8.
    Lines,
    /// Binary, without the length before it.
    Delimited,
}

/// A WebSocket connection.
pub(super) struct WebSocketLink<C> {
    socket: WebSocket<C>,
    framing: Framing,
    /// Pings that were sent: a position is their number.
    pings: u64,
    /// The last that was answered.
    pongs: u64,
    waiting_since: Option<Instant>,
    closing: bool,
    closed: bool,
}

impl<C: Carrier> WebSocketLink<C> {
    pub(super) fn connect(carrier: C, url: &str, framing: Framing) -> io::Result<Self> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LARGEST))
            .max_frame_size(Some(LARGEST));
        let (socket, _) = tungstenite::client::client_with_config(url, carrier, Some(config))
            .map_err(|error| match error {
                tungstenite::HandshakeError::Failure(error) => plain(error),
                tungstenite::HandshakeError::Interrupted(_) => ErrorKind::TimedOut.into(),
            })?;
        Ok(Self {
            socket,
            framing,
            pings: 0,
            pongs: 0,
            waiting_since: None,
            closing: false,
            closed: false,
        })
    }

    /// For what comes after the handshake.
    pub(super) fn carrier(&mut self) -> &mut C {
        self.socket.get_mut()
    }

    fn message(&self, record: &[u8]) -> Message {
        match self.framing {
            Framing::Lines => {
                let line = record.strip_suffix(b"\n").unwrap_or(record);
                match std::str::from_utf8(line) {
                    Ok(text) => Message::Text(Utf8Bytes::from(text)),
                    Err(_) => Message::Binary(Bytes::copy_from_slice(line)),
                }
            }
            Framing::Delimited => {
                // The length is a varint: its last byte has no high bit.
                let len = record.iter().position(|byte| byte & 0x80 == 0).map_or(0, |at| at + 1);
                Message::Binary(Bytes::copy_from_slice(&record[len..]))
            }
        }
    }

    fn listen(&mut self) -> io::Result<()> {
        while !self.closed {
            match self.socket.read() {
                Ok(Message::Pong(payload)) => {
                    let number =
                        payload.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                    if number > self.pongs && number <= self.pings {
                        self.pongs = number;
                        self.waiting_since = (number < self.pings).then(Instant::now);
                    }
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    break;
                }
                Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed)
                    if self.closing =>
                {
                    self.closed = true;
                }
                Err(error) => return Err(plain(error)),
            }
        }
        Ok(())
    }
}

impl<C: Carrier> Link for WebSocketLink<C> {
    fn send(&mut self, batch: &Batch, records: &Range<usize>) -> io::Result<()> {
        for record in records.clone() {
            let message = self.message(&batch.bytes[batch.range(record)]);
            self.socket.write(message).map_err(plain)?;
        }
        self.pings += 1;
        let ping = Message::Ping(Bytes::copy_from_slice(&self.pings.to_be_bytes()));
        self.socket.send(ping).map_err(plain)?;
        self.waiting_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn position(&self) -> u64 {
        self.pings
    }

    fn confirmed(&mut self) -> io::Result<u64> {
        self.listen()?;
        if self.waiting_since.is_some_and(|since| since.elapsed() > SILENCE) {
            return Err(io::Error::new(ErrorKind::TimedOut, "it does not answer pings"));
        }
        Ok(self.pongs)
    }

    fn finally_confirmed(&mut self, _why: &io::Error) -> u64 {
        let _ = self.listen();
        self.pongs
    }

    fn is_linear(&self) -> bool {
        false
    }

    fn most_unconfirmed(&self) -> usize {
        UNCONFIRMED
    }

    fn tells(&self) -> bool {
        true
    }

    fn close(&mut self) -> io::Result<bool> {
        if !self.closing {
            self.closing = true;
            let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
            match self.socket.close(Some(frame)) {
                Ok(()) | Err(tungstenite::Error::ConnectionClosed) => {}
                Err(error) => return Err(plain(error)),
            }
        }
        self.listen()?;
        Ok(self.closed)
    }

    fn poll_fd(&self) -> PollFd<'_> {
        PollFd::from_borrowed_fd(self.socket.get_ref().socket().as_fd(), PollFlags::IN)
    }
}

fn plain(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
