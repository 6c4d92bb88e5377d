//! Pointers in a file's data, as the loader leaves them.

use crate::elf::{u32_at, u64_at};
use crate::image::{Callee, Image};
use std::collections::HashMap;

/// The targets of relocated pointers.
pub(crate) struct Pointers<'i, 'a> {
    image: &'i Image<'a>,
    relocated: HashMap<u64, u64>,
}

const RELA: usize = 24;
const R_X86_64_RELATIVE: u32 = 8;
const R_AARCH64_RELATIVE: u32 = 1027;
const R_X86_64_64: u32 = 1;
const R_AARCH64_ABS64: u32 = 257;

impl<'i, 'a> Pointers<'i, 'a> {
    pub(crate) fn new(image: &'i Image<'a>) -> Self {
        let mut relocated = HashMap::new();
        for &(at, size) in &image.dynamic.relocations {
            let Some(table) = image.elf.at(at) else { continue };
            let size = usize::try_from(size).unwrap_or(usize::MAX).min(table.len());
            for entry in table.get(..size).unwrap_or_default().chunks_exact(RELA) {
                let (Some(slot), Some(kind), Some(symbol), Some(addend)) =
                    (u64_at(entry, 0), u32_at(entry, 8), u32_at(entry, 12), u64_at(entry, 16))
                else {
                    break;
                };
                let base = match kind {
                    R_X86_64_RELATIVE | R_AARCH64_RELATIVE => Some(0),
                    R_X86_64_64 | R_AARCH64_ABS64 => {
                        image.dynamic.by_index(&image.elf, symbol).and_then(|(_, defined)| defined)
                    }
                    _ => None,
                };
                if let Some(target) = base.map(|base: u64| base.wrapping_add(addend)) {
                    relocated.insert(slot, target);
                }
            }
        }
        Self { image, relocated }
    }

    /// Everything that relocated pointers point at.
    pub(crate) fn targets(&self) -> impl Iterator<Item = u64> + '_ {
        self.relocated.values().copied()
    }

    /// What the pointer at `slot` points at.
    pub(crate) fn at(&self, slot: u64) -> Option<u64> {
        if let Some(&target) = self.relocated.get(&slot) {
            return Some(target);
        }
        if let Callee::Local(function) = self.image.in_got(slot) {
            return Some(function);
        }
        let stored = self.image.elf.at(slot).and_then(|data| u64_at(data, 0))?;
        // as it is in a file that is not moved, or whose relocations are packed
        self.image.elf.at(stored).map(|_| stored)
    }
}
