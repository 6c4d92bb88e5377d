//! The table of functions that every Go program carries for its own runtime.
//!
//! Format: Go, src/runtime/symtab.go and src/debug/gosym/pclntab.go; it changed with 1.16, 1.18 and
//! 1.20, and from 1.26 on the header's start of the code is 0. The table is found by its first
//! bytes, because section headers may be gone and linkers merge the section with others.

use super::relocation::Relocations;
use super::tables;
use crate::elf::{Elf, Machine, c_string, u32_at, u64_at};
use memchr::memmem;

/// What differs between the formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Go 1.2 to 1.15: one table, addresses.
    Go12,
    /// Go 1.16 and 1.17: tables by offset, addresses.
    Go116,
    /// Go 1.18 and 1.19: offsets from the start of the code.
    Go118,
    /// Go 1.20 on: the same.
    Go120,
}

const MAGICS: [(u8, Format); 4] =
    [(0xfb, Format::Go12), (0xfa, Format::Go116), (0xf0, Format::Go118), (0xf1, Format::Go120)];

const POINTER: u64 = 8;
/// The largest programs have a few hundred thousand.
const MOST_FUNCTIONS: u64 = 1 << 22;
/// What looks like a table and is none.
const MOST_CANDIDATES: usize = 256;

/// The table of one file.
#[derive(Debug)]
pub(super) struct Pclntab<'a> {
    pub(super) format: Format,
    pub(super) vaddr: u64,
    pub(super) count: u64,
    /// The table and what follows it in its segment.
    bytes: &'a [u8],
    /// Offset of the first character of names.
    names: u64,
    /// Offset of the list of functions and of what describes each.
    functions: u64,
    /// 0 if it does not say.
    header_text: u64,
}

/// A function: its address, its end, and where its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) name: u64,
}

impl<'a> Pclntab<'a> {
    /// Looks for the table in everything that is mapped.
    pub(super) fn find(elf: &Elf<'a>) -> Option<Self> {
        let quantum = match elf.machine {
            Machine::X86_64 => 1,
            Machine::Aarch64 => 4,
        };
        // The rest of the magic, two zeros, the instruction size and the size of a pointer.
        let needle = [0xff, 0xff, 0xff, 0, 0, quantum, 8];
        memmem::find_iter(elf.bytes, &needle)
            .take(MOST_CANDIDATES)
            .filter_map(|at| at.checked_sub(1))
            .filter(|at| at % 8 == 0)
            .find_map(|at| Self::at(elf, at as u64))
    }

    fn at(elf: &Elf<'a>, offset: u64) -> Option<Self> {
        let magic = elf.bytes.get(usize::try_from(offset).ok()?)?;
        let (_, format) = *MAGICS.iter().find(|(known, _)| known == magic)?;
        let vaddr = tables::vaddr(elf, offset)?;
        let bytes = elf.at(vaddr)?;
        let word = |index: u64| u64_at(bytes, 8 + index * POINTER);
        let count = word(0)?;
        let (header_text, names, functions) = match format {
            Format::Go12 => (0, 0, 8 + POINTER),
            Format::Go116 => (0, word(2)?, word(6)?),
            Format::Go118 | Format::Go120 => (word(2)?, word(3)?, word(7)?),
        };
        let table = Self { format, vaddr, count, bytes, names, functions, header_text };
        let size = count.checked_mul(table.entry_size())?.checked_add(functions)?;
        let plausible = (1..=MOST_FUNCTIONS).contains(&count)
            && size < bytes.len() as u64
            && names < bytes.len() as u64;
        // The first function has a name, and so has the last.
        let has_name = |index| {
            let name = c_string(bytes, names.checked_add(table.name_of(index)?)?)?;
            (!name.is_empty()).then_some(())
        };
        (plausible && has_name(0).is_some() && has_name(count - 1).is_some()).then_some(table)
    }

    pub(super) fn has_offsets(&self) -> bool {
        matches!(self.format, Format::Go118 | Format::Go120)
    }

    fn entry_size(&self) -> u64 {
        if self.has_offsets() { 8 } else { 2 * POINTER }
    }

    /// Everything in which names may lie.
    pub(super) fn names(&self) -> &'a [u8] {
        let start = usize::try_from(self.names).unwrap_or(usize::MAX);
        let end = if self.format == Format::Go12 { usize::MAX } else { self.end_of_names() };
        self.bytes.get(start..end.min(self.bytes.len())).unwrap_or_default()
    }

    /// The list of functions comes after the names, in every format that keeps them apart.
    fn end_of_names(&self) -> usize {
        usize::try_from(self.functions)
            .ok()
            .filter(|end| *end as u64 > self.names)
            .unwrap_or(usize::MAX)
    }

    /// Offset of what describes a function.
    fn description(&self, index: u64) -> Option<u64> {
        let entry = self.functions.checked_add(index.checked_mul(self.entry_size())?)?;
        if self.has_offsets() {
            self.functions.checked_add(u32_at(self.bytes, entry + 4)?.into())
        } else {
            let base = if self.format == Format::Go12 { 0 } else { self.functions };
            base.checked_add(u64_at(self.bytes, entry + POINTER)?)
        }
    }

    fn name_of(&self, index: u64) -> Option<u64> {
        let skip = if self.has_offsets() { 4 } else { POINTER };
        u32_at(self.bytes, self.description(index)?.checked_add(skip)?).map(u64::from)
    }

    /// Where the code starts that offsets count from; 0 where there are addresses instead.
    pub(super) fn text(&self, elf: &Elf<'_>, relocations: &Relocations) -> Option<u64> {
        if !self.has_offsets() {
            return Some(0);
        }
        tables::text_by_module_data(elf, relocations, self.vaddr).or_else(|| {
            // What the header says is right unless the file is moved when it is loaded.
            (self.header_text != 0 && elf.code_at(self.header_text).is_some())
                .then_some(self.header_text)
        })
    }

    /// All functions with a name at one of `names` (offsets from [`Pclntab::names`]).
    pub(super) fn functions_named(
        &self,
        elf: &Elf<'_>,
        relocations: &Relocations,
        text: u64,
        names: &[u64],
    ) -> Vec<Entry> {
        const MOST: usize = 4096;
        (0..self.count)
            .filter_map(|index| {
                let name = self.name_of(index)?;
                names.contains(&name).then(|| {
                    let start = self.address(elf, relocations, text, index)?;
                    let end = self.address(elf, relocations, text, index + 1)?;
                    (start < end).then_some(Entry { start, end, name })
                })?
            })
            .take(MOST)
            .collect()
    }

    /// The address of a function, or, behind the last, the end of all.
    fn address(
        &self,
        elf: &Elf<'_>,
        relocations: &Relocations,
        text: u64,
        index: u64,
    ) -> Option<u64> {
        let entry = self.functions.checked_add(index.checked_mul(self.entry_size())?)?;
        if self.has_offsets() {
            text.checked_add(u32_at(self.bytes, entry)?.into())
        } else {
            relocations.u64(elf, self.vaddr.checked_add(entry)?)
        }
    }
}
