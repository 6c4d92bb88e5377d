//! Which function a call through the global offset table reaches.

use super::{Dynamic, Elf, Machine, u32_at, u64_at};
use std::collections::HashMap;

/// The symbol whose address the loader writes into each GOT slot.
#[derive(Debug, Default)]
pub(crate) struct GotSymbols {
    slots: HashMap<u64, u32>,
}

const RELA: u64 = 24;
/// A few times what the largest programs have.
const MOST_RELOCATIONS: u64 = 2_000_000;
const R_X86_64_GLOB_DAT: u32 = 6;
const R_X86_64_JUMP_SLOT: u32 = 7;
const R_AARCH64_GLOB_DAT: u32 = 1025;
const R_AARCH64_JUMP_SLOT: u32 = 1026;

impl GotSymbols {
    /// Reads `DT_JMPREL` and `DT_RELA`.
    pub(crate) fn read(elf: &Elf<'_>, dynamic: &Dynamic) -> Self {
        let mut slots = HashMap::new();
        for &(at, size) in &dynamic.relocations {
            let Some(table) = elf.at(at) else { continue };
            for index in 0..(size / RELA).min(MOST_RELOCATIONS) {
                let entry = index * RELA;
                let (Some(slot), Some(kind), Some(symbol)) =
                    (u64_at(table, entry), u32_at(table, entry + 8), u32_at(table, entry + 12))
                else {
                    break;
                };
                let names_function = match elf.machine {
                    Machine::X86_64 => matches!(kind, R_X86_64_GLOB_DAT | R_X86_64_JUMP_SLOT),
                    Machine::Aarch64 => matches!(kind, R_AARCH64_GLOB_DAT | R_AARCH64_JUMP_SLOT),
                };
                if names_function {
                    slots.insert(slot, symbol);
                }
            }
        }
        Self { slots }
    }

    /// The symbol index that belongs to a GOT slot.
    pub(crate) fn symbol(&self, slot: u64) -> Option<u32> {
        self.slots.get(&slot).copied()
    }
}
