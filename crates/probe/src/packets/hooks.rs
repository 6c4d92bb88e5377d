//! The captured interfaces' hooks, and which program is at each.

use super::Packets;
use super::attach::{self, Hook};
use super::clsact::Side;
use super::error::Error;
use super::filter::{Filter, LinkType};
use super::interfaces::Interface;
use super::record::{self, MAX_INTERFACES};
use crate::error::Error as ProbeError;
use libbpf_rs::{MapCore, MapFlags};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// `enum record_direction`, which are also the places in the map `captures`.
const SEND: u32 = 0;
const RECV: u32 = 1;

/// The sides of an interface that are captured. What leaves the loopback interface is what enters it, and
/// there it has its final form.
fn sides(interface: &Interface) -> &'static [Side] {
    if interface.loopback { &[Side::Ingress] } else { &[Side::Ingress, Side::Egress] }
}

/// A program at a hook.
pub(super) struct Place {
    hook: Hook,
    link_type: LinkType,
    side: Side,
}

/// The user's expression, for each type of interface that is captured.
pub(super) struct Filters {
    expression: Option<String>,
    compiled: BTreeMap<LinkType, Filter>,
    /// Kept so that others see that they are in use.
    loaded: BTreeMap<(LinkType, u32), OwnedFd>,
}

impl Filters {
    pub(super) fn new(expression: Option<String>) -> Self {
        let expression = expression.filter(|expression| !expression.trim().is_empty());
        Self { expression, compiled: BTreeMap::new(), loaded: BTreeMap::new() }
    }

    /// Compiles the expression for interfaces of this type.
    pub(super) fn compile(&mut self, link_type: LinkType) -> Result<(), Error> {
        if let Some(expression) = &self.expression
            && let Entry::Vacant(vacant) = self.compiled.entry(link_type)
        {
            vacant.insert(Filter::new(expression, link_type)?);
        }
        Ok(())
    }

    /// Puts it into the kernel; what it takes goes on with a program in `captures`.
    fn load(&mut self, link_type: LinkType, captures: BorrowedFd<'_>) -> Result<(), Error> {
        self.compile(link_type)?;
        let (Some(filter), Some(expression)) = (self.compiled.get(&link_type), &self.expression)
        else {
            return Ok(());
        };
        for direction in [SEND, RECV] {
            if let Entry::Vacant(vacant) = self.loaded.entry((link_type, direction)) {
                let program = filter.load(expression, captures, direction)?.map_err(|source| {
                    Error::FilterLoad { expression: expression.clone(), source }
                })?;
                vacant.insert(program);
            }
        }
        Ok(())
    }
}

impl Packets {
    /// Captures an interface, under the next number. If that fails, the number is used up all the same:
    /// one side may have captured already.
    pub(super) fn capture(&mut self, interface: Interface) -> Result<(), ProbeError> {
        let number = self.interfaces.len();
        if number == MAX_INTERFACES {
            return Err(Error::TooMany { interface: interface.name, most: MAX_INTERFACES }.into());
        }
        let captures =
            self.map("captures")?.as_fd().try_clone_to_owned().map_err(ProbeError::Wait)?;
        self.filters.load(interface.link_type, captures.as_fd())?;
        self.interfaces.push(interface.clone());
        let raw = interface.link_type == LinkType::Raw;
        let value = record::interface(number as u16, raw, interface.loopback);
        self.map("interfaces")?
            .update(&interface.index.to_ne_bytes(), &value, MapFlags::ANY)
            .map_err(|source| ProbeError::Map { map: "interfaces", source })?;
        match self.hook(&interface) {
            Ok(hooks) => {
                self.hooks.insert(interface.index, hooks);
                Ok(())
            }
            Err(error) => {
                self.release(interface.index);
                Err(error)
            }
        }
    }

    fn hook(&self, interface: &Interface) -> Result<Vec<Place>, ProbeError> {
        let mut hooks = Vec::new();
        let link_type = interface.link_type;
        for side in sides(interface) {
            let hook = self.with_program(&self.filters, link_type, *side, |program| {
                attach::attach(program, interface, *side, self.links_exist)
            })??;
            hooks.push(Place { hook, link_type, side: *side });
        }
        Ok(hooks)
    }

    /// Gives `act` the program that sees packets first: the expression's, or else ours.
    fn with_program<T>(
        &self,
        filters: &Filters,
        link_type: LinkType,
        side: Side,
        act: impl FnOnce(BorrowedFd<'_>) -> T,
    ) -> Result<T, ProbeError> {
        let (direction, unfiltered) = match side {
            Side::Ingress => (RECV, "packets_ingress"),
            Side::Egress => (SEND, "packets_egress"),
        };
        match filters.loaded.get(&(link_type, direction)) {
            Some(program) => Ok(act(program.as_fd())),
            None => Ok(act(self.program(unfiltered)?.as_fd())),
        }
    }

    /// Puts the programs of another expression in the place of those that are there. If that fails, those
    /// are there again.
    pub(super) fn exchange_filter(&mut self, expression: &str) -> Result<(), ProbeError> {
        let captures =
            self.map("captures")?.as_fd().try_clone_to_owned().map_err(ProbeError::Wait)?;
        let mut filters = Filters::new(Some(expression.to_owned()));
        // Also for interfaces that are away at the moment: they may come back.
        for interface in &self.interfaces {
            filters.load(interface.link_type, captures.as_fd())?;
        }
        let places: Vec<&Place> = self.hooks.values().flatten().collect();
        for (number, place) in places.iter().enumerate() {
            let Err(source) = self.exchange(place, &filters)? else { continue };
            for before in &places[..number] {
                // It was there a moment ago.
                let _ = self.exchange(before, &self.filters)?;
            }
            return Err(match source.kind() {
                io::ErrorKind::Unsupported => Error::Exchange,
                _ => Error::FilterLoad { expression: expression.to_owned(), source },
            }
            .into());
        }
        self.filters = filters;
        Ok(())
    }

    fn exchange(&self, place: &Place, filters: &Filters) -> Result<io::Result<()>, ProbeError> {
        let Place { hook, link_type, side } = place;
        self.with_program(filters, *link_type, *side, |program| hook.exchange(program))
    }

    /// Captures an interface no more; it may be gone.
    pub(super) fn release(&mut self, index: u32) {
        self.hooks.remove(&index);
        if let Ok(map) = self.map("interfaces") {
            // It is not there if the interface never was captured.
            let _ = map.delete(&index.to_ne_bytes());
        }
    }
}
