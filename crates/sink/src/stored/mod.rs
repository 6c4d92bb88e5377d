//! Recorded events, read back one by one: JSON lines, or the messages of `proto/ecapture.proto`, compressed
//! or not.
//!
//! The file may be anything: what is no event is counted and left out; memory is bounded by the largest
//! event that is accepted.

mod json;
mod record;
mod spoken;
mod words;

use crate::proto::{Event, LogEntry, log_entry::Payload};
use event::{Command, Query, Record};
use prost::Message as _;
use std::io::{self, BufRead, BufReader, Read};
use words::Words;

/// A larger event is refused.
const LARGEST: usize = 256 << 20;
/// The most bytes of a varint of 64 bits.
const VARINT: usize = 10;

/// How events are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Json,
    /// Messages, each after its length.
    Protobuf,
}

/// Why there is no use in reading on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system's or a decompressor's.
    #[error("reading failed after {events} events: {source}")]
    Io {
        /// What was read before.
        events: u64,
        /// What was said.
        #[source]
        source: io::Error,
    },
    /// Where the next message begins is not known.
    #[error(
        "byte {position}: a message of {len} bytes, but {LARGEST} is the most: this is not, or not only, ecapture's protobuf stream"
    )]
    Framing {
        /// Where the message would begin.
        position: u64,
        /// How long it says it is.
        len: u64,
    },
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredStats {
    /// Events.
    pub events: u64,
    /// Entries of the tool's own log, and heartbeats.
    pub others: u64,
    /// Lines or messages that are no events, or are damaged.
    pub skipped: u64,
    /// The last line or message is not whole, as a capture leaves it that was killed.
    pub cut_short: bool,
}

/// What an event is.
#[derive(Debug)]
pub enum Recorded<'a> {
    /// Of a connection.
    Record(&'a Record<'a>),
    /// A command line of a shell.
    Command(&'a Command),
    /// A statement of a database server.
    Query(&'a Query),
}

/// A file of recorded events.
pub struct Stored {
    input: Box<dyn BufRead>,
    form: Form,
    words: Words,
    position: u64,
    buffer: Vec<u8>,
    stats: StoredStats,
    first_skipped: Option<String>,
}

impl Stored {
    /// Begins to read. Compression is seen by itself, the form too unless it is given.
    pub fn open(input: impl Read + 'static, form: Option<Form>) -> io::Result<Self> {
        let mut input = decompressed(BufReader::new(input))?;
        let form = match form {
            Some(form) => form,
            // A message of which the first field is 7 bytes long could begin so, and none does.
            None if first_byte(&mut *input)?.is_none_or(|byte| byte == b'{') => Form::Json,
            None => Form::Protobuf,
        };
        Ok(Self {
            input,
            form,
            words: Words::default(),
            position: 0,
            buffer: Vec::new(),
            stats: StoredStats::default(),
            first_skipped: None,
        })
    }

    /// Reads one line or message and, if it is an event, shows what it is. False at the end.
    pub fn next(&mut self, show: impl FnOnce(Recorded<'_>)) -> Result<bool, ReadError> {
        let outcome = match self.form {
            Form::Json => self.read_line(),
            Form::Protobuf => self.read_message(),
        };
        let event = match outcome? {
            Piece::End => return Ok(false),
            Piece::Nothing => return Ok(true),
            Piece::Event(event) => event,
        };
        match record::with(&event, &mut self.words, show) {
            Ok(()) => self.stats.events += 1,
            Err(why) => self.skip(why),
        }
        Ok(true)
    }

    /// What was found so far.
    pub fn stats(&self) -> StoredStats {
        self.stats
    }

    /// Where the first thing is that is no event, and what is wrong with it.
    pub fn first_skipped(&self) -> Option<&str> {
        self.first_skipped.as_deref()
    }

    fn skip(&mut self, why: &str) {
        let unit = match self.form {
            Form::Json => "line",
            Form::Protobuf => "message",
        };
        let StoredStats { events, others, skipped, .. } = self.stats;
        let number = events + others + skipped + 1;
        self.first_skipped.get_or_insert_with(|| format!("{unit} {number}: {why}"));
        self.stats.skipped += 1;
    }

    fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io { events: self.stats.events, source }
    }

    fn read_line(&mut self) -> Result<Piece, ReadError> {
        self.buffer.clear();
        let mut limited = self.input.by_ref().take(LARGEST as u64);
        match limited.read_until(b'\n', &mut self.buffer) {
            Ok(0) => return Ok(Piece::End),
            Ok(_) => {}
            Err(source) => return Err(self.io(source)),
        }
        if self.buffer.pop_if(|byte| *byte == b'\n').is_none() {
            if self.buffer.len() < LARGEST {
                // What could still be whole, but for its line feed.
                if let Ok(Some(event)) = json::event(&self.buffer) {
                    return Ok(Piece::Event(Box::new(event)));
                }
                self.stats.cut_short = true;
                return Ok(Piece::End);
            }
            self.skip("it is too long");
            self.skip_line()?;
            return Ok(Piece::Nothing);
        }
        if self.buffer.iter().all(u8::is_ascii_whitespace) {
            return Ok(Piece::Nothing);
        }
        match json::event(&self.buffer) {
            Ok(Some(event)) => return Ok(Piece::Event(Box::new(event))),
            Ok(None) => self.stats.others += 1,
            Err(why) => self.skip(why),
        }
        Ok(Piece::Nothing)
    }

    fn skip_line(&mut self) -> Result<(), ReadError> {
        loop {
            let events = self.stats.events;
            let seen = match self.input.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(seen) => seen,
                Err(source) => return Err(ReadError::Io { events, source }),
            };
            let end = seen.iter().position(|byte| *byte == b'\n');
            let len = seen.len();
            self.input.consume(end.map_or(len, |at| at + 1));
            if end.is_some() {
                return Ok(());
            }
        }
    }

    fn read_message(&mut self) -> Result<Piece, ReadError> {
        let Some(len) = self.read_len()? else { return Ok(Piece::End) };
        if len > LARGEST as u64 {
            return Err(ReadError::Framing { position: self.position, len });
        }
        self.buffer.clear();
        // Not all at once: a length is soon said.
        let read = self.input.by_ref().take(len).read_to_end(&mut self.buffer);
        let read = read.map_err(|source| self.io(source))? as u64;
        self.position += read;
        if read < len {
            self.stats.cut_short = true;
            return Ok(Piece::End);
        }
        match LogEntry::decode(&*self.buffer).map(|entry| entry.payload) {
            Ok(Some(Payload::EventPayload(event))) => return Ok(Piece::Event(Box::new(event))),
            Ok(Some(Payload::HeartbeatPayload(_) | Payload::RunLog(_))) => self.stats.others += 1,
            Ok(None) => self.skip("it is empty"),
            Err(_) => self.skip("it is no message of ecapture's"),
        }
        Ok(Piece::Nothing)
    }

    /// A varint; `None` at the end.
    fn read_len(&mut self) -> Result<Option<u64>, ReadError> {
        let mut len = 0_u64;
        for at in 0..VARINT {
            let mut byte = [0];
            match self.input.read(&mut byte).map_err(|source| self.io(source))? {
                0 if at == 0 => return Ok(None),
                0 => {
                    self.stats.cut_short = true;
                    return Ok(None);
                }
                _ => self.position += 1,
            }
            len |= u64::from(byte[0] & 0x7f) << (7 * at);
            if byte[0] & 0x80 == 0 {
                return Ok(Some(len));
            }
        }
        Err(ReadError::Framing { position: self.position, len: u64::MAX })
    }
}

enum Piece {
    Event(Box<Event>),
    Nothing,
    End,
}

fn first_byte(input: &mut dyn BufRead) -> io::Result<Option<u8>> {
    Ok(input.fill_buf()?.first().copied())
}

fn decompressed(mut input: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
    let seen = input.fill_buf()?;
    // 40 and 31 could be the lengths of a first message: but what follows could not be in one.
    if seen.starts_with(&ZSTD) {
        let decoder = zstd::stream::Decoder::with_buffer(input)?;
        return Ok(Box::new(BufReader::new(decoder)));
    }
    if seen.starts_with(&GZIP) {
        return Ok(Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(input))));
    }
    Ok(Box::new(input))
}
