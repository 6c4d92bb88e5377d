//! The part that captures packets: held back until their keys are written, then into a pcapng file.

use super::super::balance::{PacketReport, Undecryptable};
use super::super::module::{Drained, Scope};
use super::connections::Connections;
use anyhow::Context as _;
use cli::{PacketConfig, Place, TlsConfig};
use event::{LossTable, Packet, Secret, Timestamp};
use packet::{Holdback, Limits, LinkType, Out};
use probe::packets::InterfaceTally;
use sink::{Interface, InterfaceCounts, OutputState, Pcapng, PcapngError, Rotation, Section};
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes that may wait in memory when packets come faster than they are written.
const QUEUE: usize = 128 << 20;
/// No more of a packet is kept than readers of pcapng take.
const WHOLE: u32 = 262_144;

/// Its output is open, nothing is in the kernel yet.
pub(super) struct Opened {
    file: Pcapng,
    to_stdout: bool,
}

impl Opened {
    pub(super) fn new(config: &PacketConfig) -> anyhow::Result<Self> {
        let section = Section {
            hardware: Some(std::env::consts::ARCH.to_owned()),
            os: system(),
            application: Some(concat!("ecapture ", env!("CARGO_PKG_VERSION")).to_owned()),
        };
        let rotation = Rotation {
            size: config.rotate.bytes.map(std::num::NonZeroU64::get),
            interval: config.rotate.time,
            keep: config.rotate.keep.map(|keep| usize::try_from(keep.get()).unwrap_or(usize::MAX)),
        };
        let file = match &config.place {
            Place::Stdout => Pcapng::stdout(section),
            Place::File(path) => Pcapng::create(path, section, rotation, now()),
        }
        .context("--pcapfile")?;
        Ok(Self { file, to_stdout: config.place == Place::Stdout })
    }

    pub(super) fn load(
        self,
        config: &TlsConfig,
        packets: &PacketConfig,
        scope: &Scope,
    ) -> anyhow::Result<Packets> {
        let Self { file, to_stdout } = self;
        let Scope { pids, follow_children, uid, cgroup, use_btf, .. } = scope.try_clone()?;
        let snaplen = packets.snaplen.map_or(WHOLE, std::num::NonZeroU32::get);
        let capture = probe::packets::Packets::load(probe::packets::Options {
            interfaces: packets.interfaces.clone(),
            filter: packets.filter.clone(),
            snaplen,
            ring_bytes: usize::try_from(config.global.buffer_bytes_per_cpu)?,
            queue_bytes: QUEUE,
            pids,
            follow_children,
            uid,
            cgroup,
            use_btf,
            without: probe::features::Without::from_environment()?,
        })?;
        for note in capture.notes() {
            tracing::warn!("{note}");
        }
        let started = now();
        let names: Vec<&str> =
            capture.interfaces().iter().map(|interface| interface.name.as_str()).collect();
        tracing::info!("capturing packets on {}", names.join(", "));
        let mut packets = Packets {
            capture,
            holdback: Holdback::new(Limits::default()),
            output: Output { file, interfaces: Vec::new(), error: None },
            filter: packets.filter.clone().unwrap_or_default(),
            snaplen,
            to_stdout,
            started,
        };
        packets.describe();
        packets.output.number_all();
        Ok(packets)
    }
}

/// The running part.
pub(super) struct Packets {
    capture: probe::packets::Packets,
    holdback: Holdback,
    output: Output,
    filter: String,
    snaplen: u32,
    to_stdout: bool,
    started: Timestamp,
}

/// The file, and what its interfaces are called.
struct Output {
    file: Pcapng,
    /// By the capture's number.
    interfaces: Vec<Described>,
    error: Option<PcapngError>,
}

/// An interface that is captured.
struct Described {
    interface: Interface,
    /// Its number in the file. One that appears later gets it with its first packet: often it is
    /// renamed before.
    number: Option<u32>,
}

impl Packets {
    /// Each becomes readable when there is something to [`drain`](Self::drain).
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.capture.fd()].into_iter().chain(self.capture.news())
    }

    /// Takes over the interfaces of the capture that are new or renamed.
    fn describe(&mut self) {
        let Self { capture, holdback, output, filter, snaplen, .. } = self;
        for (at, interface) in capture.interfaces().iter().enumerate() {
            match output.interfaces.get_mut(at) {
                Some(known) if known.number.is_none() => {
                    known.interface.name.clone_from(&interface.name);
                }
                Some(_) => {}
                None => {
                    let link_type = interface.link_type.number();
                    if let Ok(number) = u32::try_from(at) {
                        holdback.interface(number, LinkType::from_number(link_type));
                    }
                    let interface = Interface {
                        name: interface.name.clone(),
                        description: None,
                        link_type,
                        snaplen: if *snaplen >= WHOLE { 0 } else { *snaplen },
                        filter: Some(filter.clone()).filter(|filter| !filter.is_empty()),
                        os: None,
                    };
                    output.interfaces.push(Described { interface, number: None });
                }
            }
        }
    }

    /// Captures interfaces that have appeared.
    fn follow_interfaces(&mut self, connections: Option<&mut Connections>) {
        let (changed, notes) = self.capture.follow_interfaces();
        for note in notes {
            tracing::warn!("{note}");
        }
        if !changed {
            return;
        }
        let before = self.output.interfaces.len();
        self.describe();
        for described in self.output.interfaces.iter().skip(before) {
            tracing::info!("capturing packets on {} too", described.interface.name);
        }
        if let Some(connections) = connections {
            connections.set_links(self.links());
        }
    }

    fn links(&self) -> Vec<LinkType> {
        let interfaces = self.capture.interfaces().iter();
        interfaces.map(|interface| LinkType::from_number(interface.link_type.number())).collect()
    }

    /// Takes other packets from now on.
    pub(super) fn set_filter(&mut self, expression: &str) -> anyhow::Result<()> {
        self.capture.set_filter(expression)?;
        expression.clone_into(&mut self.filter);
        Ok(())
    }

    /// Which packets it takes.
    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    /// What is to know which connections packets belong to.
    pub(super) fn connections(&self) -> Connections {
        Connections::new(self.links())
    }

    /// Takes packets from the kernel, and writes those whose keys are there.
    pub(super) fn drain(&mut self, mut connections: Option<&mut Connections>) -> Drained {
        self.follow_interfaces(connections.as_deref_mut());
        let Self { capture, holdback, output, .. } = self;
        let mut write = |out: Out<'_>| output.write(connections.as_deref(), &out);
        let drained = capture.drain(|packet| holdback.packet(&packet, &mut write));
        holdback.tick(now(), &mut write);
        Drained { records: drained.records, more: drained.more }
    }

    /// Takes a secret.
    pub(super) fn secret(&mut self, secret: &Secret, connections: Option<&Connections>) {
        let Self { holdback, output, .. } = self;
        holdback.secret(secret, &mut |out| output.write(connections, &out));
    }

    pub(super) fn flush(&mut self) {
        self.note(Pcapng::flush);
    }

    pub(super) fn wakes_within(&self) -> Option<Duration> {
        self.holdback.next_deadline().map(|deadline| deadline.since(now()))
    }

    pub(super) fn is_done(&self) -> bool {
        self.output.file.state() != OutputState::Open
    }

    pub(super) fn writes_to_stdout(&self) -> bool {
        self.to_stdout
    }

    pub(super) fn detach(&mut self) {
        self.capture.detach();
    }

    pub(super) fn is_drained(&self) -> bool {
        self.capture.is_drained()
    }

    pub(super) fn finish(&mut self, connections: Option<&Connections>) {
        let Self { holdback, output, .. } = self;
        holdback.finish(&mut |out| output.write(connections, &out));
        let ended = now();
        if let Some(line) = self.undecryptable().line() {
            self.output.file.set_remark(line);
        }
        // One that appeared later, and without a packet, is not in the file.
        let tallies = self.output.interfaces.iter().zip(self.capture.tally());
        for (described, tally) in tallies {
            let Some(number) = described.number else { continue };
            self.output.file.set_counts(
                number,
                InterfaceCounts {
                    started: Some(self.started),
                    ended: Some(ended),
                    received: Some(tally.seen),
                    dropped: Some(tally.lost),
                    filter_accepted: Some(tally.seen),
                },
            );
        }
        self.note(Pcapng::finish);
    }

    fn note(&mut self, act: impl FnOnce(&mut Pcapng) -> Result<OutputState, PcapngError>) {
        if let Err(failed) = act(&mut self.output.file) {
            self.output.error = Some(failed);
        }
    }

    fn total(&self) -> InterfaceTally {
        let mut total = InterfaceTally::default();
        for tally in self.capture.tally() {
            total.seen += tally.seen;
            total.seen_bytes += tally.seen_bytes;
            total.captured += tally.captured;
            total.captured_bytes += tally.captured_bytes;
            total.lost += tally.lost;
            total.lost_bytes += tally.lost_bytes;
        }
        total
    }

    pub(super) fn report(&self) -> PacketReport {
        let (total, stats) = (self.total(), self.output.file.stats());
        PacketReport {
            seen: total.seen,
            seen_bytes: total.seen_bytes,
            written: stats.packets,
            keys_written: stats.secrets,
            without_key: self.holdback.stats().expired,
            lost: total.lost,
            undecryptable: self.undecryptable(),
        }
    }

    fn undecryptable(&self) -> Undecryptable {
        let packet::Undecryptable { older, without_secret } = self.holdback.undecryptable();
        Undecryptable { older, without_key: without_secret }
    }

    pub(super) fn add_losses(&self, lost: &mut LossTable) {
        let total = self.total();
        lost.add("packets", total.lost, total.lost_bytes);
        // What nobody wanted to read any more is not lost.
        if self.output.file.state() == OutputState::Failed {
            lost.add("packet_output", self.output.file.stats().discarded, 0);
        }
    }

    pub(super) fn take_error(&mut self) -> Option<anyhow::Error> {
        self.output.error.take().map(|error| anyhow::Error::from(error).context("--pcapfile"))
    }
}

impl Output {
    fn write(&mut self, connections: Option<&Connections>, out: &Out<'_>) {
        match out {
            Out::Packet(packet) => {
                let conn = connections.and_then(|connections| connections.of(packet));
                let written = match self.number(packet.interface) {
                    // Nearly always: until an interface appears later.
                    Some(number) if number == packet.interface => self.file.packet(packet, conn),
                    Some(interface) => {
                        self.file.packet(&Packet { interface, ..packet.clone() }, conn)
                    }
                    None => return,
                };
                if let Err(failed) = written {
                    self.error = Some(failed);
                }
            }
            Out::Secret(secret) => self.file.secret(secret),
            Out::Ended(random) => self.file.forget(random),
        }
    }

    /// The number of an interface in the file; with its first packet it gets one.
    fn number(&mut self, captured: u32) -> Option<u32> {
        let described = self.interfaces.get_mut(usize::try_from(captured).ok()?)?;
        let Described { interface, number } = described;
        Some(*number.get_or_insert_with(|| self.file.add_interface(interface.clone())))
    }

    /// Puts all interfaces into the file, whether or not they have packets.
    fn number_all(&mut self) {
        for described in &mut self.interfaces {
            let number = self.file.add_interface(described.interface.clone());
            described.number = Some(number);
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// As `uname -srm` has it.
fn system() -> Option<String> {
    let names = rustix::system::uname();
    Some(format!(
        "{} {} {}",
        names.sysname().to_str().ok()?,
        names.release().to_str().ok()?,
        names.machine().to_str().ok()?
    ))
}
