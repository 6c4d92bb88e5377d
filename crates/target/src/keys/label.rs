//! The labels of NSS key log lines, and where a file has them.

use crate::elf::{Dynamic, Elf, u32_at, u64_at};
use memchr::memmem;
use std::collections::{BTreeMap, HashMap};

/// The labels that are looked for; bit n of a mask is the n-th.
pub(crate) const LABELS: [&str; 8] = [
    "CLIENT_RANDOM",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
    "CLIENT_EARLY_TRAFFIC_SECRET",
    "EARLY_EXPORTER_SECRET",
];
/// Those without which a connection can't be read.
pub(crate) const NEEDED: u32 = 0b1_1111;
/// Every label has one of these in it.
const ANCHORS: [&str; 2] = ["SECRET", "CLIENT_RANDOM"];
/// A file has each label once or twice.
const MOST_ADDRESSES: usize = 256;
const MOST_SLOTS: usize = 256;
/// Entries that a table of labels may have.
const LONGEST_TABLE: u64 = 16;

/// A label in a file's constant data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLabel {
    /// Its virtual address in the file.
    pub vaddr: u64,
    /// What it says.
    pub text: &'static str,
}

/// How a program tells where a string ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strings {
    /// By a NUL behind it: C.
    Terminated,
    /// By its length, kept elsewhere: Go.
    Counted,
}

/// Addresses of labels, and of pointers to labels.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    addresses: HashMap<u64, u32>,
    slots: BTreeMap<u64, u32>,
}

impl Labels {
    /// Looks for the labels in a file's constant data.
    pub(crate) fn find(elf: &Elf<'_>, dynamic: &Dynamic) -> Self {
        let mut labels = Self::default();
        labels.find_strings(elf, Strings::Terminated);
        if !labels.addresses.is_empty() {
            labels.find_relocated(elf, dynamic);
        }
        labels
    }

    fn find_strings(&mut self, elf: &Elf<'_>, strings: Strings) {
        for (vaddr, data) in elf.constant_segments() {
            for anchor in ANCHORS {
                for at in memmem::find_iter(data, anchor) {
                    self.add_around(vaddr, data, anchor, at, strings);
                }
            }
        }
    }

    fn add_around(&mut self, vaddr: u64, data: &[u8], anchor: &str, at: usize, strings: Strings) {
        for (bit, label) in LABELS.iter().enumerate() {
            // Linkers let a string end in another: what comes before it means nothing.
            let Some(start) = label.find(anchor).and_then(|before| at.checked_sub(before)) else {
                continue;
            };
            let here = data.get(start..).and_then(|rest| rest.strip_prefix(label.as_bytes()));
            let ends = |rest: &[u8]| strings == Strings::Counted || rest.first() == Some(&0);
            if here.is_some_and(ends)
                && self.addresses.len() < MOST_ADDRESSES
                && let Some(address) = vaddr.checked_add(start as u64)
            {
                *self.addresses.entry(address).or_default() |= 1 << bit;
            }
        }
    }

    /// Pointers that the loader makes point at labels.
    fn find_relocated(&mut self, elf: &Elf<'_>, dynamic: &Dynamic) {
        const RELA: usize = 24;
        const R_X86_64_RELATIVE: u32 = 8;
        const R_AARCH64_RELATIVE: u32 = 1027;
        for &(at, size) in &dynamic.relocations {
            let Some(table) = elf.at(at) else { continue };
            let size = usize::try_from(size).unwrap_or(usize::MAX).min(table.len());
            for entry in table.get(..size).unwrap_or_default().chunks_exact(RELA) {
                let (Some(slot), Some(kind), Some(addend)) =
                    (u64_at(entry, 0), u32_at(entry, 8), u64_at(entry, 16))
                else {
                    break;
                };
                if matches!(kind, R_X86_64_RELATIVE | R_AARCH64_RELATIVE)
                    && let Some(&mask) = self.addresses.get(&addend)
                    && self.slots.len() < MOST_SLOTS
                {
                    *self.slots.entry(slot).or_default() |= mask;
                }
            }
        }
    }

    /// Where each label is.
    pub(crate) fn places(&self) -> Vec<KeyLabel> {
        let places = self.addresses.iter().flat_map(|(vaddr, mask)| {
            let texts = LABELS.iter().enumerate().filter(move |(bit, _)| mask >> bit & 1 == 1);
            texts.map(|(_, text)| KeyLabel { vaddr: *vaddr, text })
        });
        let mut places: Vec<KeyLabel> = places.collect();
        places.sort_unstable_by_key(|label| label.vaddr);
        places
    }

    /// The labels at this address.
    pub(crate) fn at(&self, address: u64) -> u32 {
        self.addresses.get(&address).copied().unwrap_or(0)
    }

    /// The labels that the pointer at this address may point at.
    pub(crate) fn in_slot(&self, slot: u64) -> u32 {
        self.slots.get(&slot).copied().unwrap_or(0)
    }

    /// The labels that a table of pointers which starts here may point at.
    pub(crate) fn in_table(&self, table: u64) -> u32 {
        let end = table.saturating_add(LONGEST_TABLE * 8);
        self.slots.range(table..end).fold(0, |mask, (_, labels)| mask | labels)
    }

    /// The labels that are anywhere in the file.
    pub(crate) fn all(&self) -> u32 {
        self.addresses.values().fold(0, |all, mask| all | mask)
    }

    /// The addresses that code may load: of labels, and of pointers to them.
    pub(crate) fn loadable(&self) -> impl Iterator<Item = u64> + '_ {
        self.addresses.keys().chain(self.slots.keys()).copied()
    }
}

/// Where a file has labels that it knows the lengths of.
pub(crate) fn counted(elf: &Elf<'_>) -> Vec<KeyLabel> {
    let mut labels = Labels::default();
    labels.find_strings(elf, Strings::Counted);
    labels.places()
}

/// The names of the labels in a mask.
pub(crate) fn names(mask: u32) -> String {
    let named = LABELS.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
    named.map(|(_, label)| *label).collect::<Vec<_>>().join(", ")
}
