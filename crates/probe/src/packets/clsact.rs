//! The TC hooks of kernels without links for them (before Linux 6.6): filters of the queueing discipline
//! `clsact`.
//!
//! These outlive the process. Ours are recognised by their handle and the program's name, and those that
//! no process holds the program of any more are removed at the next start. The handle also says
//! whether the discipline was made for us: then it goes with the last filter.

use super::error::Error;
use super::netlink::{self, Family};
use libbpf_rs::libbpf_sys::{self, bpf_tc_hook, bpf_tc_opts};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A handle: this, a number that makes it unique, and whether the discipline was made for us.
const MARK: u32 = 0xeca0_0000;
const MARK_BITS: u32 = 0xfff0_0000;
const MADE: u32 = 1;
const NUMBERS: u32 = 256;
/// Programs that filters of ours run.
const PROGRAMS: [&str; 3] = ["packets_ingress", "packets_egress", "ecapture_filter"];
/// Filters run in this order, and one that decides ends the round. So ours comes first, unless somebody
/// else's at the same place is of another kind.
const PRIORITIES: [u32; 4] = [1, 2, 3, 4];

const RTM_GETTFILTER: u16 = 46;
const TCMSG: usize = 20;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;

/// Which of the two hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Into the host.
    Ingress,
    /// Out of it.
    Egress,
}

impl Side {
    fn point(self) -> libbpf_sys::bpf_tc_attach_point {
        match self {
            Self::Ingress => libbpf_sys::BPF_TC_INGRESS,
            Self::Egress => libbpf_sys::BPF_TC_EGRESS,
        }
    }

    /// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)` and the other.
    fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }
}

/// A filter at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    side: Side,
    handle: u32,
    priority: u32,
    program: Option<(String, u32)>,
}

impl Filter {
    /// The id of its program, if it is one of ours, of whichever run.
    fn ours(&self) -> Option<u32> {
        let (name, id) = self.program.as_ref()?;
        let named = PROGRAMS.iter().any(|program| name.starts_with(program));
        (named && self.handle & MARK_BITS == MARK).then_some(*id)
    }

    fn made(&self) -> bool {
        self.ours().is_some() && self.handle & MADE != 0
    }
}

/// A filter of this run, removed on drop.
#[derive(Debug)]
pub(super) struct Attached {
    index: u32,
    filter: Filter,
}

impl Attached {
    /// Runs a program at a hook of the interface with this index.
    pub(super) fn new(program: BorrowedFd<'_>, index: u32, side: Side) -> io::Result<Self> {
        let mut both = hook(index, libbpf_sys::BPF_TC_INGRESS | libbpf_sys::BPF_TC_EGRESS);
        // SAFETY: `both` is valid for the call.
        let made = match unsafe { libbpf_sys::bpf_tc_hook_create(&raw mut both) } {
            0 => true,
            error if -error == libc::EEXIST => {
                let there = list(index)?;
                !there.is_empty() && there.iter().all(Filter::made)
            }
            error => return Err(io::Error::from_raw_os_error(-error)),
        };
        let attached = attach(program, index, side, made);
        if attached.is_err() && made {
            remove_discipline_if_unused(index);
        }
        attached
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        remove(self.index, &self.filter);
        if self.filter.handle & MADE != 0 {
            remove_discipline_if_unused(self.index);
        }
    }
}

fn attach(program: BorrowedFd<'_>, index: u32, side: Side, made: bool) -> io::Result<Attached> {
    let hook = hook(index, side.point());
    let mut last = io::Error::from_raw_os_error(libc::EEXIST);
    'priority: for priority in PRIORITIES {
        for number in 0..NUMBERS {
            let handle = MARK | number << 1 | if made { MADE } else { 0 };
            let mut opts = bpf_tc_opts {
                sz: size_of::<bpf_tc_opts>() as _,
                prog_fd: program.as_raw_fd(),
                handle,
                priority,
                ..Default::default()
            };
            // SAFETY: both are valid for the call.
            let error = -unsafe { libbpf_sys::bpf_tc_attach(&raw const hook, &raw mut opts) };
            match error {
                0 => {
                    let filter = Filter { side, handle, priority, program: None };
                    return Ok(Attached { index, filter });
                }
                // Another run of ours has it.
                libc::EEXIST => {}
                libc::EINVAL | libc::EOPNOTSUPP => {
                    last = io::Error::from_raw_os_error(error);
                    continue 'priority;
                }
                error => return Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
    Err(last)
}

/// Removes what runs that were killed left behind at the interfaces with these indexes.
pub(super) fn remove_leftovers(interfaces: impl Iterator<Item = u32>) -> Result<(), Error> {
    let mut found = Vec::new();
    for index in interfaces {
        let filters =
            list(index).map_err(|source| Error::List { what: "filters of TC", source })?;
        found
            .extend(filters.into_iter().filter_map(|filter| Some((index, filter.ours()?, filter))));
    }
    if found.is_empty() {
        return Ok(());
    }
    let held = held_programs();
    for (index, _, filter) in found.iter().filter(|(_, program, _)| !held.contains(program)) {
        tracing::info!("removing a filter of an earlier run from interface {index}");
        remove(*index, filter);
        if filter.made() {
            remove_discipline_if_unused(*index);
        }
    }
    Ok(())
}

/// The BPF programs that some process has a descriptor of.
fn held_programs() -> HashSet<u32> {
    let directories = |path: String| fs::read_dir(path).into_iter().flatten().flatten();
    directories("/proc".to_owned())
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .flat_map(|pid| directories(format!("/proc/{pid}/fdinfo")))
        .filter_map(|info| {
            let info = fs::read_to_string(info.path()).ok()?;
            info.lines().find_map(|line| line.strip_prefix("prog_id:"))?.trim().parse().ok()
        })
        .collect()
}

fn remove(index: u32, filter: &Filter) {
    let hook = hook(index, filter.side.point());
    let opts = bpf_tc_opts {
        sz: size_of::<bpf_tc_opts>() as _,
        handle: filter.handle,
        priority: filter.priority,
        ..Default::default()
    };
    // SAFETY: both are valid for the call.
    let answer = unsafe { libbpf_sys::bpf_tc_detach(&raw const hook, &raw const opts) };
    // The interface, or somebody else's removal of the discipline, may have taken it along.
    if answer != 0 {
        tracing::debug!("filter {:#x} was gone from interface {index}: {answer}", filter.handle);
    }
}

fn remove_discipline_if_unused(index: u32) {
    if list(index).is_ok_and(|filters| filters.is_empty()) {
        // Both at once: that removes the discipline; each alone would only empty it.
        let mut both = hook(index, libbpf_sys::BPF_TC_INGRESS | libbpf_sys::BPF_TC_EGRESS);
        // SAFETY: `both` is valid for the call.
        let answer = unsafe { libbpf_sys::bpf_tc_hook_destroy(&raw mut both) };
        if answer != 0 {
            tracing::debug!("the clsact of interface {index} was gone: {answer}");
        }
    }
}

fn hook(index: u32, point: libbpf_sys::bpf_tc_attach_point) -> bpf_tc_hook {
    bpf_tc_hook {
        sz: size_of::<bpf_tc_hook>() as _,
        ifindex: index as i32,
        attach_point: point,
        ..Default::default()
    }
}

/// All filters, whoever's, at both hooks of an interface.
fn list(index: u32) -> io::Result<Vec<Filter>> {
    let mut filters = Vec::new();
    for side in [Side::Ingress, Side::Egress] {
        let mut request = [0; TCMSG];
        request[4..8].copy_from_slice(&index.to_ne_bytes());
        request[12..16].copy_from_slice(&side.parent().to_ne_bytes());
        netlink::dump(Family::Route, RTM_GETTFILTER, &request, |message| {
            filters.extend(filter(message, side));
        })?;
    }
    Ok(filters)
}

/// `struct tcmsg` and attributes.
fn filter(message: &[u8], side: Side) -> Option<Filter> {
    let (head, rest) = message.split_at_checked(TCMSG)?;
    let handle = netlink::u32_at(head, 8)?;
    let priority = netlink::u32_at(head, 16)? >> 16;
    // Each priority is told once without a filter.
    if handle == 0 {
        return None;
    }
    let options = netlink::attributes(rest).find(|(kind, _)| *kind == TCA_OPTIONS);
    let find = |wanted| {
        let (_, options) = options?;
        netlink::attributes(options).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    };
    let program = find(TCA_BPF_NAME)
        .map(netlink::text)
        .zip(find(TCA_BPF_ID).and_then(|id| netlink::u32_at(id, 0)));
    Some(Filter { side, handle, priority, program })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(handle: u32, program: &str) -> Filter {
        let program = Some((program.to_owned(), 7));
        Filter { side: Side::Ingress, handle, priority: 1, program }
    }

    #[test]
    fn only_filters_with_our_mark_and_our_program_are_ours() {
        assert_eq!(filter(MARK | 2, "ecapture_filter:[7]").ours(), Some(7));
        assert_eq!(filter(MARK | MADE, "packets_ingress:[7]").ours(), Some(7));
        assert_eq!(filter(1, "packets_ingress:[7]").ours(), None);
        assert_eq!(filter(MARK | 2, "cil_from_netdev:[7]").ours(), None);
        let unnamed = Filter { program: None, ..filter(MARK, "") };
        assert_eq!(unnamed.ours(), None);
    }

    #[test]
    fn what_was_not_made_for_us_is_not_removed() {
        assert!(filter(MARK | MADE, "packets_egress:[7]").made());
        assert!(!filter(MARK | 2, "packets_egress:[7]").made());
        assert!(!filter(MADE, "somebody_else:[7]").made());
    }
}
