//! The part that captures packets: held back until their keys are written, then into a pcapng file.

use super::super::balance::PacketReport;
use super::super::module::{Drained, Scope};
use super::connections::Connections;
use anyhow::Context as _;
use cli::{PacketConfig, Place, TlsConfig};
use event::{LossTable, Secret, Timestamp};
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
        let Self { mut file, to_stdout } = self;
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
        let mut holdback = Holdback::new(Limits::default());
        let mut names = Vec::new();
        for interface in capture.interfaces() {
            let link_type = interface.link_type.number();
            let number = file.add_interface(Interface {
                name: interface.name.clone(),
                description: None,
                link_type,
                snaplen: if snaplen >= WHOLE { 0 } else { snaplen },
                filter: packets.filter.clone(),
                os: None,
            });
            holdback.interface(number, LinkType::from_number(link_type));
            names.push(interface.name.as_str());
        }
        tracing::info!("capturing packets on {}", names.join(", "));
        let filter = packets.filter.clone().unwrap_or_default();
        Ok(Packets { capture, holdback, file, filter, to_stdout, started, error: None })
    }
}

/// The running part.
pub(super) struct Packets {
    capture: probe::packets::Packets,
    holdback: Holdback,
    file: Pcapng,
    filter: String,
    to_stdout: bool,
    started: Timestamp,
    error: Option<PcapngError>,
}

impl Packets {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.capture.fd()
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
        let interfaces = self.capture.interfaces().iter();
        let links = interfaces.map(|interface| LinkType::from_number(interface.link_type.number()));
        Connections::new(links.collect())
    }

    /// Takes packets from the kernel, and writes those whose keys are there.
    pub(super) fn drain(&mut self, connections: Option<&Connections>) -> Drained {
        let Self { capture, holdback, file, error, .. } = self;
        let mut write = |out: Out<'_>| write(file, connections, error, &out);
        let drained = capture.drain(|packet| holdback.packet(&packet, &mut write));
        holdback.tick(now(), &mut write);
        Drained { records: drained.records, more: drained.more }
    }

    /// Takes a secret.
    pub(super) fn secret(&mut self, secret: &Secret, connections: Option<&Connections>) {
        let Self { holdback, file, error, .. } = self;
        holdback.secret(secret, &mut |out| write(file, connections, error, &out));
    }

    pub(super) fn flush(&mut self) {
        self.note(Pcapng::flush);
    }

    pub(super) fn wakes_within(&self) -> Option<Duration> {
        self.holdback.next_deadline().map(|deadline| deadline.since(now()))
    }

    pub(super) fn is_done(&self) -> bool {
        self.file.state() != OutputState::Open
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
        let Self { holdback, file, error, .. } = self;
        holdback.finish(&mut |out| write(file, connections, error, &out));
        let ended = now();
        for (number, tally) in (0..).zip(self.capture.tally()) {
            self.file.set_counts(
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
        if let Err(failed) = act(&mut self.file) {
            self.error = Some(failed);
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
        let (total, stats) = (self.total(), self.file.stats());
        PacketReport {
            seen: total.seen,
            seen_bytes: total.seen_bytes,
            written: stats.packets,
            keys_written: stats.secrets,
            without_key: self.holdback.stats().expired,
            lost: total.lost,
        }
    }

    pub(super) fn add_losses(&self, lost: &mut LossTable) {
        let total = self.total();
        lost.add("packets", total.lost, total.lost_bytes);
        // What nobody wanted to read any more is not lost.
        if self.file.state() == OutputState::Failed {
            lost.add("packet_output", self.file.stats().discarded, 0);
        }
    }

    pub(super) fn take_error(&mut self) -> Option<anyhow::Error> {
        self.error.take().map(|error| anyhow::Error::from(error).context("--pcapfile"))
    }
}

fn write(
    file: &mut Pcapng,
    connections: Option<&Connections>,
    error: &mut Option<PcapngError>,
    out: &Out<'_>,
) {
    match out {
        Out::Packet(packet) => {
            let conn = connections.and_then(|connections| connections.of(packet));
            if let Err(failed) = file.packet(packet, conn) {
                *error = Some(failed);
            }
        }
        Out::Secret(secret) => file.secret(secret),
        Out::Ended(random) => file.forget(random),
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
