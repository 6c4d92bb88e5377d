//! Blocks into a buffer, the buffer into a file, and one file after another.

use super::block::{Block, COMMENT, kind};
use super::comment::Comments;
use super::describe::{
    Interface, InterfaceCounts, MAX_SNAPLEN, Section, Statistics, interface_description,
    interface_statistics, section_header,
};
use super::keys::Keys;
use super::rotation::{Names, Rotation};
use crate::output::write_fully;
use crate::{Destination, OutputState, PrivateFileError, create_private};
use event::{ConnId, Direction, Packet, Secret, Timestamp};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::path::Path;

/// A batch of blocks larger than this is written before it is complete. Usually [`Pcapng::flush`] is
/// called long before: writing may wait for a slow reader, and whoever hands packets in may hold what
/// others wait for (the lock of the kernel's rings).
const WRITE_AT: usize = 4 << 20;
/// An enhanced packet block without packet, comment and padding: header, fields, flags, ends.
const PACKET_OVERHEAD: u64 = 52;
/// Option `epb_flags`.
const FLAGS: u16 = 2;

/// Why nothing more is written.
#[derive(Debug, thiserror::Error)]
pub enum PcapngError {
    /// A file could not be created.
    #[error(transparent)]
    Create(#[from] PrivateFileError),
    /// Standard output is closed.
    #[error("standard output cannot be used: {0}")]
    Stdout(#[source] io::Error),
    /// Writing failed, for example because the disk is full.
    #[error("writing to {name} failed after {written} bytes: {source}")]
    Write {
        /// The path, or `stdout`.
        name: String,
        /// How many bytes got there before.
        written: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A packet names an interface that was never added.
    #[error("a packet names interface {0}, which was not added")]
    UnknownInterface(u32),
}

/// What was done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PcapngStats {
    /// Packets that were written to their last byte.
    pub packets: u64,
    /// Secrets that were handed in.
    pub secrets: u64,
    /// Bytes that were written, over all files.
    pub bytes: u64,
    /// Files that were begun.
    pub files: u64,
    /// Packets that were given to a closed or failed destination, wholly or in part.
    pub discarded: u64,
    /// Packets that were cut because readers accept no longer ones.
    pub cut: u64,
    /// Files older than those to keep that could not be deleted.
    pub undeleted: u64,
}

/// Where the blocks go at the moment.
struct Current {
    name: String,
    destination: Box<dyn Destination>,
    opened: Timestamp,
    /// Bytes written to it and in the buffer.
    len: u64,
    /// Bytes written to it.
    written: u64,
    packets: u64,
}

struct Described {
    interface: Interface,
    counts: InterfaceCounts,
    delivered: u64,
}

/// Writes a capture as pcapng: to standard output, to a file, or to one file after another.
///
/// Call [`Pcapng::flush`] whenever no more packets are at hand, so that a live reader sees them, and
/// [`Pcapng::finish`] at the end.
pub struct Pcapng {
    section: Section,
    interfaces: Vec<Described>,
    rotation: Rotation,
    names: Option<Names>,
    current: Current,
    keys: Keys,
    comments: Comments,
    remark: Option<String>,
    /// The time of the latest packet.
    latest: Timestamp,
    buffer: Vec<u8>,
    /// Packets in the buffer.
    buffered: u64,
    state: OutputState,
    stats: PcapngStats,
}

impl Pcapng {
    /// Writes to standard output, as it is at this moment.
    pub fn stdout(section: Section) -> Result<Self, PcapngError> {
        let fd = io::stdout().as_fd().try_clone_to_owned().map_err(PcapngError::Stdout)?;
        Ok(Self::new("stdout", Box::new(File::from(fd)), section))
    }

    /// Writes to a private file, device or FIFO (see [`create_private`]), or to files with names
    /// made from `path` (see [`Rotation`]), the first of which begins `now`.
    pub fn create(
        path: &Path,
        section: Section,
        rotation: Rotation,
        now: Timestamp,
    ) -> Result<Self, PcapngError> {
        let mut names = rotation.is_on().then(|| Names::new(path, rotation.keep));
        let first = names.as_mut().map_or_else(|| path.to_path_buf(), |names| names.next(now).0);
        let destination = Box::new(create_private(&first)?);
        Ok(Self::start(&first.display().to_string(), destination, section, rotation, names, now))
    }

    /// Writes to `destination`, called `name` in errors.
    pub fn new(name: &str, destination: Box<dyn Destination>, section: Section) -> Self {
        Self::start(name, destination, section, Rotation::default(), None, Timestamp(0))
    }

    fn start(
        name: &str,
        destination: Box<dyn Destination>,
        section: Section,
        rotation: Rotation,
        names: Option<Names>,
        now: Timestamp,
    ) -> Self {
        let mut buffer = Vec::new();
        section_header(&section, &mut buffer);
        let len = buffer.len() as u64;
        Self {
            section,
            interfaces: Vec::new(),
            rotation,
            keys: Keys::new(names.is_some()),
            names,
            current: Current {
                name: name.to_owned(),
                destination,
                opened: now,
                len,
                written: 0,
                packets: 0,
            },
            comments: Comments::default(),
            remark: None,
            latest: now,
            buffer,
            buffered: 0,
            state: OutputState::Open,
            stats: PcapngStats { files: 1, ..PcapngStats::default() },
        }
    }

    /// Adds an interface, also in the middle of a capture, and returns its number: 0, 1, ….
    pub fn add_interface(&mut self, interface: Interface) -> u32 {
        let number = self.interfaces.len() as u32;
        self.append(|out| interface_description(&interface, out));
        self.interfaces.push(Described {
            interface,
            counts: InterfaceCounts::default(),
            delivered: 0,
        });
        number
    }

    /// Sets what will be written of an interface at the end of the file that is being written. To
    /// be called before [`Pcapng::finish`] and, with rotation, from time to time.
    pub fn set_counts(&mut self, interface: u32, counts: InterfaceCounts) {
        if let Some(described) = self.interfaces.get_mut(interface as usize) {
            described.counts = counts;
        }
    }

    /// Says something about the whole capture: a comment at the end of the file that is being written.
    pub fn set_remark(&mut self, remark: String) {
        self.remark = Some(remark);
    }

    /// Writes a secret, before every packet that is written after it. The same secret must not be
    /// given twice.
    pub fn secret(&mut self, secret: &Secret) {
        if self.state == OutputState::Open {
            self.keys.add(secret);
            self.stats.secrets += 1;
        }
    }

    /// The connection with this client random is over: files that begin later do not repeat its
    /// secrets.
    pub fn forget(&mut self, client_random: &[u8; 32]) {
        self.keys.forget(client_random);
    }

    /// Writes a packet. `conn` is the name of its connection in the other outputs.
    ///
    /// Returns what [`Pcapng::state`] says afterwards; unless it is `Open`, the packet is discarded.
    pub fn packet(
        &mut self,
        packet: &Packet<'_>,
        conn: Option<ConnId>,
    ) -> Result<OutputState, PcapngError> {
        if self.state != OutputState::Open {
            self.stats.discarded += 1;
            return Ok(self.state);
        }
        let number = packet.interface;
        let Some(limit) = self.interfaces.get(number as usize).map(|d| d.interface.limit()) else {
            self.stats.discarded += 1;
            return Err(PcapngError::UnknownInterface(number));
        };
        if self.rotation.is_on() {
            if let Err(error) = self.rotate_if_due(packet) {
                self.stats.discarded += 1;
                return Err(error);
            }
            if self.state != OutputState::Open {
                self.stats.discarded += 1;
                return Ok(self.state);
            }
        }
        let before = self.buffer.len();
        self.keys.write_pending(&mut self.buffer);
        let kept = &packet.bytes[..packet.bytes.len().min(limit as usize)];
        self.stats.cut += u64::from(kept.len() < packet.bytes.len() && limit == MAX_SNAPLEN);
        let original = packet.original_len.max(packet.bytes.len() as u32);
        // Bits 0 and 1 of `epb_flags`: 1 is inbound, 2 outbound.
        let direction: u32 = if packet.dir == Direction::Recv { 1 } else { 2 };
        let comment = self.comments.of(packet.owner.as_ref(), conn);
        let mut block = Block::begin(kind::ENHANCED_PACKET, &mut self.buffer);
        block
            .u32(number)
            .time(packet.ts.0)
            .u32(kept.len() as u32)
            .u32(original)
            .padded(kept)
            .option(FLAGS, &direction.to_le_bytes());
        if !comment.is_empty() {
            block.text(COMMENT, Some(comment));
        }
        block.end();
        self.current.len += (self.buffer.len() - before) as u64;
        self.current.packets += 1;
        self.latest = self.latest.max(packet.ts);
        self.buffered += 1;
        self.interfaces[number as usize].delivered += 1;
        if self.buffer.len() >= WRITE_AT { self.write_out() } else { Ok(self.state) }
    }

    /// Writes everything that was handed in.
    pub fn flush(&mut self) -> Result<OutputState, PcapngError> {
        if self.state == OutputState::Open {
            let before = self.buffer.len();
            self.keys.write_pending(&mut self.buffer);
            self.current.len += (self.buffer.len() - before) as u64;
        }
        self.write_out()
    }

    /// Ends the file with the statistics of its interfaces. What comes later is discarded.
    pub fn finish(&mut self) -> Result<OutputState, PcapngError> {
        if self.state == OutputState::Open {
            self.end_file()?;
            if self.state == OutputState::Open {
                self.state = OutputState::Closed;
            }
        }
        Ok(self.state)
    }

    /// Whether anybody still takes the packets.
    pub fn state(&self) -> OutputState {
        self.state
    }

    /// What was done so far.
    pub fn stats(&self) -> PcapngStats {
        self.stats
    }

    /// The file that is being written, or `stdout`.
    pub fn name(&self) -> &str {
        &self.current.name
    }

    fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.state == OutputState::Open {
            let before = self.buffer.len();
            encode(&mut self.buffer);
            self.current.len += (self.buffer.len() - before) as u64;
        }
    }

    fn end_file(&mut self) -> Result<(), PcapngError> {
        self.keys.write_pending(&mut self.buffer);
        for (number, described) in self.interfaces.iter().enumerate() {
            let Described { counts, delivered, .. } = described;
            // A comment has to be some block's; the first of these begins what is said at the end.
            let remark = self.remark.as_deref().filter(|_| number == 0);
            let statistics = Statistics { counts, delivered: *delivered, now: self.latest, remark };
            interface_statistics(number as u32, &statistics, &mut self.buffer);
        }
        self.write_out().map(drop)
    }

    /// Begins a new file before `packet` if the present one is full. A file holds at least one
    /// packet.
    fn rotate_if_due(&mut self, packet: &Packet<'_>) -> Result<(), PcapngError> {
        let more = PACKET_OVERHEAD + packet.bytes.len() as u64;
        let Current { len, opened, packets, .. } = self.current;
        if packets == 0 || !self.rotation.is_due(len, more, opened, packet.ts) {
            return Ok(());
        }
        let Some(names) = &mut self.names else { return Ok(()) };
        let (path, surplus) = names.next(packet.ts);
        self.end_file()?;
        if self.state != OutputState::Open {
            return Ok(());
        }
        let destination = create_private(&path).inspect_err(|_| {
            self.state = OutputState::Failed;
        })?;
        self.stats.files += 1;
        section_header(&self.section, &mut self.buffer);
        for described in &self.interfaces {
            interface_description(&described.interface, &mut self.buffer);
        }
        self.keys.write_live(&mut self.buffer);
        self.current = Current {
            name: path.display().to_string(),
            destination: Box::new(destination),
            opened: packet.ts,
            len: self.buffer.len() as u64,
            written: 0,
            packets: 0,
        };
        for path in surplus {
            // Somebody else may have tidied up.
            let deleted = std::fs::remove_file(&path);
            let failed = deleted.is_err_and(|error| error.kind() != ErrorKind::NotFound);
            self.stats.undeleted += u64::from(failed);
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<OutputState, PcapngError> {
        if self.state != OutputState::Open || self.buffer.is_empty() {
            return Ok(self.state);
        }
        let current = &mut self.current;
        let before = current.written;
        let outcome = write_fully(&mut *current.destination, &self.buffer, &mut current.written);
        self.stats.bytes += current.written - before;
        self.buffer.clear();
        let packets = std::mem::take(&mut self.buffered);
        let Err(source) = outcome else {
            self.stats.packets += packets;
            return Ok(self.state);
        };
        self.stats.discarded += packets;
        if source.kind() == ErrorKind::BrokenPipe {
            self.state = OutputState::Closed;
            return Ok(self.state);
        }
        self.state = OutputState::Failed;
        Err(PcapngError::Write { name: current.name.clone(), written: current.written, source })
    }
}
