//! Puts the programs and maps into the kernel and attaches them.

use super::attach;
use super::clsact::{self, Side};
use super::decode::Decoder;
use super::error::Error as PacketError;
use super::filter::{Filter, LinkType};
use super::interfaces::{self, Interface};
use super::record::{self, Configuration};
use super::shared::Shared;
use super::sockets::{self, Wanted};
use super::{Options, Packets, Place};
use crate::clock::Clock;
use crate::error::Error;
use crate::features::{Feature, Features};
use crate::intake::Intake;
use crate::mapping::page_size;
use crate::memory;
use crate::priority::{self, Rank};
use crate::queue::Queue;
use crate::reader::Reader;
use crate::tls::load::{MAX_RINGS, ring_buffers};
use libbpf_rs::{Link, MapCore, MapFlags, ObjectBuilder, OpenObject, PrintLevel};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

macro_rules! object {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

/// The smallest ring that holds the largest packet.
const MIN_RING: usize = 1 << 20;
/// A bare IPv4 header; readers of capture files take no more than the other (Wireshark's
/// `WTAP_MAX_PACKET_SIZE_STANDARD`).
const SNAPLEN: std::ops::RangeInclusive<u32> = 20..=262_144;

/// `enum record_direction`, which are also the places in the map `captures`.
const SEND: u32 = 0;
const RECV: u32 = 1;

/// The sides of an interface that are captured. What leaves the loopback interface is what enters it, and
/// there it has its final form.
fn sides(interface: &Interface) -> &'static [Side] {
    if interface.loopback { &[Side::Ingress] } else { &[Side::Ingress, Side::Egress] }
}

/// Programs that expressions became.
type Loaded = BTreeMap<(LinkType, u32), OwnedFd>;

impl Packets {
    /// Loads the programs and attaches them; from then on packets are captured.
    pub fn load(options: Options) -> Result<Self, Error> {
        let (interfaces, mut notes) = interfaces::choose(&options.interfaces)?;
        let filters = filters(options.filter.as_deref(), &interfaces)?;
        let use_btf = options.use_btf && !options.without.has(Feature::Btf);
        let links = !options.without.has(Feature::Tcx);
        if !Features::detect(&options.without).ring_buffer {
            return Err(PacketError::Kernel("BPF ring buffers (Linux 5.8)").into());
        }
        let cpus = libbpf_rs::num_possible_cpus().map_err(|source| Error::Load { source })?;
        let ring_count = cpus.clamp(1, MAX_RINGS);
        let ring_size = (options.ring_bytes.max(MIN_RING) * cpus.div_ceil(ring_count))
            .checked_next_power_of_two()
            .unwrap_or(1 << 30)
            .clamp(page_size(), 1 << 30);
        libbpf_rs::set_print(Some((PrintLevel::Warn, |_, text| {
            tracing::debug!("{}", text.trim_end());
        })));
        memory::unlimit();
        clsact::remove_leftovers(interfaces::indexes()?.into_iter())?;

        let wanted = Wanted {
            pids: options.pids.clone(),
            uid: options.uid,
            cgroup: options.cgroup.map(inode).transpose()?,
        };
        let configuration = Configuration {
            wakeup_level: ring_size as u64 / 4,
            cgroup: wanted.cgroup.unwrap_or(0),
            ring_count: ring_count as u32,
            snaplen: options.snaplen.clamp(*SNAPLEN.start(), *SNAPLEN.end()),
            uid: options.uid,
            filter_pid: options.pids.is_some(),
            follow_children: options.follow_children,
        };
        let bytes: &[u8] =
            if use_btf { object!("packets.bpf.o") } else { object!("packets_no_btf.bpf.o") };
        let mut open = ObjectBuilder::default()
            .name("packets")
            .and_then(|builder| builder.open_memory(bytes))
            .map_err(|source| Error::Load { source })?;
        configure(&mut open, configuration)?;
        let object = open.load().map_err(memory::explain)?;
        let rings = ring_buffers(&object, ring_count, ring_size)?;
        let shared = Arc::new(Shared::new(&object)?);
        let queue = Queue::new(options.queue_bytes).map_err(Error::Wait)?;
        let fds: Vec<OwnedFd> = rings
            .fds()
            .map(|fd| fd.try_clone_to_owned())
            .collect::<io::Result<_>>()
            .map_err(Error::Wait)?;
        let intake = Arc::new(Intake::new(rings, queue, record::used));
        let reader = Reader::start(fds, Arc::clone(&shared), Arc::clone(&intake))?;
        priority::take(Rank::Calm);

        let mut packets = Self {
            hooks: Vec::new(),
            links: Vec::new(),
            filters: BTreeMap::new(),
            decoder: Decoder::new(Clock::new(), interfaces.len()),
            interfaces,
            object,
            reader,
            intake,
            shared,
            notes: Vec::new(),
        };
        for pid in options.pids.unwrap_or_default() {
            packets.add_pid(pid)?;
        }
        // First what tells of new sockets, then the list of those that are there: none is missed.
        notes.extend(packets.watch_sockets(use_btf, configuration)?);
        notes.extend(packets.tell_owners(&wanted)?);
        packets.attach(options.filter.as_deref().unwrap_or_default(), &filters, links)?;
        packets.notes = notes;
        Ok(packets)
    }

    /// Attaches what tells whose sockets are; what could not be, in words for the user.
    fn watch_sockets(
        &mut self,
        use_btf: bool,
        configuration: Configuration,
    ) -> Result<Vec<String>, Error> {
        let mut notes = Vec::new();
        if let Err(error) = self.watch_new_sockets() {
            // With a filter the packets of new sockets would be missing.
            if configuration.filter_pid || configuration.uid.is_some() || configuration.cgroup != 0
            {
                return Err(error);
            }
            notes.push(format!("owners of new sockets are unknown: {error}"));
        }
        if !use_btf {
            notes.push(
                "without kernel type information (BTF), packets of accepted sockets belong to the \
                 process that listens, and children are not followed"
                    .to_owned(),
            );
            return Ok(notes);
        }
        if configuration.follow_children {
            self.tracepoint("packets_fork", "sched_process_fork")?;
            self.tracepoint("packets_process_exit", "sched_process_exit")?;
        }
        // Linux 6.3 brought the pair; before, only receiving can be seen.
        let pair = [("packets_sent", "sock_send_length"), ("packets_received", "sock_recv_length")];
        if pair.iter().any(|(program, tracepoint)| self.tracepoint(program, tracepoint).is_err())
            && let Err(error) = self.tracepoint("packets_tcp_received", "tcp_rcv_space_adjust")
        {
            notes.push(format!(
                "packets of accepted sockets belong to the process that listens: {error}"
            ));
        }
        Ok(notes)
    }

    fn watch_new_sockets(&mut self) -> Result<(), Error> {
        const WITHOUT: PacketError =
            PacketError::Kernel("a mounted cgroup2 file system (mount -t cgroup2 none DIRECTORY)");
        let root = sockets::cgroup_root().ok_or(WITHOUT)?;
        let cgroup = File::open(&root).map_err(|_| WITHOUT)?;
        for program in ["packets_socket", "packets_accepted"] {
            let link = self.program(program)?.attach_cgroup(cgroup.as_raw_fd());
            self.links.push(link.map_err(|source| Error::Attach {
                what: program.to_owned(),
                path: root.display().to_string(),
                source,
            })?);
        }
        Ok(())
    }

    fn tracepoint(&mut self, program: &'static str, tracepoint: &str) -> Result<(), Error> {
        let link: Link =
            self.program(program)?.attach_raw_tracepoint(tracepoint).map_err(|source| {
                let path = format!("tracepoint {tracepoint}");
                Error::Attach { what: program.to_owned(), path, source }
            })?;
        self.links.push(link);
        Ok(())
    }

    /// Tells the programs who holds the sockets that are there.
    fn tell_owners(&self, wanted: &Wanted) -> Result<Vec<String>, Error> {
        let (owners, notes) = sockets::owners(wanted);
        let map = self.map("owners")?;
        for owner in owners {
            if !owner.settled {
                self.shared.add_unsettled(1);
            }
            // What a program knows of a socket already is not older.
            let told =
                map.update(&owner.cookie.to_ne_bytes(), &owner.to_bytes(), MapFlags::NO_EXIST);
            if let Err(error) = told
                && error.kind() != libbpf_rs::ErrorKind::AlreadyExists
            {
                return Err(Error::Map { map: "owners", source: error });
            }
        }
        Ok(notes)
    }

    fn attach(
        &mut self,
        expression: &str,
        filters: &BTreeMap<LinkType, Filter>,
        links: bool,
    ) -> Result<(), Error> {
        let loaded = self.load_filters(expression, filters)?;
        let mut hooks: Vec<Place> = Vec::new();
        for (number, interface) in self.interfaces.iter().enumerate() {
            let raw = interface.link_type == LinkType::Raw;
            let value = record::interface(number as u16, raw, interface.loopback);
            self.map("interfaces")?
                .update(&interface.index.to_ne_bytes(), &value, MapFlags::ANY)
                .map_err(|source| Error::Map { map: "interfaces", source })?;
            for side in sides(interface) {
                let attach =
                    |program: BorrowedFd<'_>| attach::attach(program, interface, *side, links);
                let hook = self.with_program(&loaded, interface, *side, attach)??;
                hooks.push(Place { hook, interface: number, side: *side });
            }
        }
        self.hooks = hooks;
        self.filters = loaded;
        Ok(())
    }

    /// Puts the programs of another expression in the place of those that are there.
    pub(super) fn exchange_filter(&mut self, expression: &str) -> Result<(), Error> {
        let filters = filters(Some(expression), &self.interfaces)?;
        let loaded = self.load_filters(expression, &filters)?;
        for (number, place) in self.hooks.iter().enumerate() {
            let Err(source) = self.exchange(place, &loaded)? else { continue };
            for before in &self.hooks[..number] {
                // It was there a moment ago.
                let _ = self.exchange(before, &self.filters)?;
            }
            return Err(match source.kind() {
                io::ErrorKind::Unsupported => PacketError::Exchange,
                _ => PacketError::FilterLoad { expression: expression.to_owned(), source },
            }
            .into());
        }
        self.filters = loaded;
        Ok(())
    }

    fn exchange(&self, place: &Place, loaded: &Loaded) -> Result<io::Result<()>, Error> {
        let interface = &self.interfaces[place.interface];
        self.with_program(loaded, interface, place.side, |program| place.hook.exchange(program))
    }

    /// The expression's programs for each type of interface and direction.
    fn load_filters(
        &self,
        expression: &str,
        filters: &BTreeMap<LinkType, Filter>,
    ) -> Result<Loaded, Error> {
        let mut loaded = Loaded::new();
        for (link_type, filter) in filters {
            let captures = self.map("captures")?;
            for direction in [SEND, RECV] {
                let program = filter
                    .load(expression, captures.as_fd(), direction)
                    .map_err(PacketError::from)?
                    .map_err(|source| PacketError::FilterLoad {
                        expression: expression.to_owned(),
                        source,
                    })?;
                loaded.insert((*link_type, direction), program);
            }
        }
        Ok(loaded)
    }

    /// Gives `act` the program that sees an interface's packets first: the expression's, or else ours.
    fn with_program<T>(
        &self,
        loaded: &Loaded,
        interface: &Interface,
        side: Side,
        act: impl FnOnce(BorrowedFd<'_>) -> T,
    ) -> Result<T, Error> {
        let (direction, unfiltered) = match side {
            Side::Ingress => (RECV, "packets_ingress"),
            Side::Egress => (SEND, "packets_egress"),
        };
        match loaded.get(&(interface.link_type, direction)) {
            Some(program) => Ok(act(program.as_fd())),
            None => Ok(act(self.program(unfiltered)?.as_fd())),
        }
    }
}

/// The expression compiled for each type of interface.
fn filters(
    expression: Option<&str>,
    interfaces: &[Interface],
) -> Result<BTreeMap<LinkType, Filter>, Error> {
    let mut filters = BTreeMap::new();
    let Some(expression) = expression.filter(|expression| !expression.trim().is_empty()) else {
        return Ok(filters);
    };
    for interface in interfaces {
        if let Entry::Vacant(vacant) = filters.entry(interface.link_type) {
            let filter = Filter::new(expression, interface.link_type).map_err(PacketError::from)?;
            vacant.insert(filter);
        }
    }
    Ok(filters)
}

/// A control group's number.
fn inode(cgroup: OwnedFd) -> Result<u64, Error> {
    File::from(cgroup).metadata().map(|metadata| metadata.ino()).map_err(Error::Wait)
}

fn configure(open: &mut OpenObject, configuration: Configuration) -> Result<(), Error> {
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let entries = match name.as_str() {
            "pids" if !configuration.filter_pid => ("pids", 1),
            "rings" => ("rings", configuration.ring_count),
            _ if name.ends_with(".rodata") => {
                let bytes = configuration.to_bytes();
                match map.initial_value_mut() {
                    Some(value) if value.len() == bytes.len() => value.copy_from_slice(&bytes),
                    _ => return Err(Error::Missing("configuration")),
                }
                continue;
            }
            _ => continue,
        };
        map.set_max_entries(entries.1).map_err(|source| Error::Map { map: entries.0, source })?;
    }
    Ok(())
}
