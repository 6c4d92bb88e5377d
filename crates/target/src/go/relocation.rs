//! What the loader will write into the data of a position-independent file: addresses of its own
//! parts. In the file there may be zeros in their places.

use crate::elf::{Dynamic, Elf, u32_at, u64_at};

/// Relative relocations, by address.
#[derive(Debug, Default)]
pub(super) struct Relocations {
    /// Address and value, ascending.
    values: Vec<(u64, u64)>,
}

const RELA: u64 = 24;
/// A few times what the largest programs have.
const MOST: u64 = 4_000_000;
const R_X86_64_RELATIVE: u32 = 8;
const R_AARCH64_RELATIVE: u32 = 1027;

impl Relocations {
    pub(super) fn read(elf: &Elf<'_>) -> Self {
        let mut values = Vec::new();
        for &(at, size) in &Dynamic::read(elf).relocations {
            let Some(table) = elf.at(at) else { continue };
            for entry in (0..(size / RELA).min(MOST)).map(|index| index * RELA) {
                let (Some(place), Some(kind), Some(value)) =
                    (u64_at(table, entry), u32_at(table, entry + 8), u64_at(table, entry + 16))
                else {
                    break;
                };
                if matches!(kind, R_X86_64_RELATIVE | R_AARCH64_RELATIVE) {
                    values.push((place, value));
                }
            }
        }
        values.sort_unstable();
        Self { values }
    }

    /// The word at an address, as the program will see it (but for the load address).
    pub(super) fn u64(&self, elf: &Elf<'_>, vaddr: u64) -> Option<u64> {
        match self.values.binary_search_by_key(&vaddr, |(place, _)| *place) {
            Ok(index) => self.values.get(index).map(|(_, value)| *value),
            Err(_) => u64_at(elf.at(vaddr)?, 0),
        }
    }

    /// The addresses at which `value` will stand.
    pub(super) fn places_of(&self, value: u64) -> impl Iterator<Item = u64> + '_ {
        self.values.iter().filter(move |(_, other)| *other == value).map(|(place, _)| *place)
    }
}
