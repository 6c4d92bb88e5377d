//! Interfaces that appear, vanish or are renamed while packets are captured.

use super::Packets;
use super::error::Error;
use super::interfaces::{self, Device};
use super::netlink;
use crate::error::Error as ProbeError;
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Hears of changes of interfaces.
pub(super) struct Watcher {
    news: OwnedFd,
    /// Only interfaces with these names are wanted; all, if there are none.
    names: Vec<String>,
    /// What cannot be captured, so that it is told once.
    passed_over: HashSet<u32>,
}

impl Watcher {
    /// To be made before the interfaces are listed for the first time, so that none is missed.
    pub(super) fn new(names: Vec<String>) -> io::Result<Self> {
        Ok(Self { news: netlink::watch_interfaces()?, names, passed_over: HashSet::new() })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }

    fn wants(&self, device: &Device) -> bool {
        self.names.is_empty() || self.names.contains(&device.name)
    }
}

impl Packets {
    /// Captures interfaces that have appeared since the last time: also if they are not up yet, so that
    /// their first packets are not missed. Returns whether [`interfaces`](Self::interfaces) has changed,
    /// and notes for the user.
    pub fn follow_interfaces(&mut self) -> (bool, Vec<String>) {
        // It is put back below: what follows borrows all of `self`.
        let Some(mut watcher) = self.watcher.take() else { return (false, Vec::new()) };
        let mut notes = Vec::new();
        let mut changed = false;
        if netlink::has_news(&watcher.news) {
            match interfaces::list() {
                Ok(devices) => changed = self.compare(&mut watcher, devices, &mut notes),
                Err(error) => notes.push(format!("new interfaces are not captured: {error}")),
            }
        }
        self.watcher = Some(watcher);
        (changed, notes)
    }

    fn compare(
        &mut self,
        watcher: &mut Watcher,
        devices: Vec<Device>,
        notes: &mut Vec<String>,
    ) -> bool {
        let there: HashSet<u32> = devices.iter().map(|device| device.index).collect();
        let gone: Vec<u32> =
            self.hooks.keys().filter(|index| !there.contains(index)).copied().collect();
        for index in gone {
            self.release(index);
        }
        watcher.passed_over.retain(|index| there.contains(index));
        let mut changed = false;
        for device in devices {
            if self.hooks.contains_key(&device.index) {
                changed |= self.rename(&device);
                continue;
            }
            if !watcher.wants(&device) || watcher.passed_over.contains(&device.index) {
                continue;
            }
            let (index, name, up) = (device.index, device.name.clone(), device.up);
            match device.captured() {
                Ok(interface) => match self.capture(interface) {
                    Ok(()) => changed = true,
                    Err(ProbeError::Packets(Error::Hook { source, .. })) if is_gone(&source) => {}
                    Err(error) => {
                        watcher.passed_over.insert(index);
                        notes.push(format!("packets of {name} are not captured: {error}"));
                    }
                },
                Err(reason) => {
                    if up {
                        watcher.passed_over.insert(index);
                        notes.push(format!("packets of {name} are not captured: {reason}"));
                    }
                }
            }
        }
        changed
    }

    fn rename(&mut self, device: &Device) -> bool {
        // Of several with this index only the last is there.
        let known = self.interfaces.iter_mut().rev().find(|known| known.index == device.index);
        let Some(known) = known.filter(|known| known.name != device.name) else { return false };
        known.name.clone_from(&device.name);
        true
    }
}

/// The interface vanished before it was captured.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}
