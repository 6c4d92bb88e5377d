//! Addresses and offsets in a Go file, and the start of its code.
//!
//! Layouts: Go, src/runtime/symtab.go, `pcHeader` and `moduledata`.

use super::relocation::Relocations;
use crate::elf::Elf;
use memchr::memmem;

/// The address at which the byte at a file offset is mapped.
pub(super) fn vaddr(elf: &Elf<'_>, offset: u64) -> Option<u64> {
    elf.segments.iter().find_map(|segment| {
        let within = offset.checked_sub(segment.offset)?;
        (within < segment.file_size).then(|| segment.vaddr.checked_add(within))?
    })
}

/// `moduledata.text`: behind pcHeader, five slices, ftab, findfunctab, minpc and maxpc. The same
/// from Go 1.16 to 1.27.
const TEXT: u64 = 176;
/// `moduledata.minpc`, which is the first function's address.
const MINPC: u64 = 160;

/// Where the code starts that a pclntab (at `table`) counts from: by way of the module data,
/// whose first word is the address of the table.
pub(super) fn text_by_module_data(
    elf: &Elf<'_>,
    relocations: &Relocations,
    table: u64,
) -> Option<u64> {
    let text = |module: u64| {
        let text = relocations.u64(elf, module.checked_add(TEXT)?)?;
        let minpc = relocations.u64(elf, module.checked_add(MINPC)?)?;
        (elf.code_at(text).is_some() && minpc >= text && elf.code_at(minpc).is_some())
            .then_some(text)
    };
    relocations.places_of(table).find_map(text).or_else(|| {
        let needle = table.to_le_bytes();
        elf.segments
            .iter()
            .filter(|segment| !segment.executable)
            .filter_map(|segment| Some((segment, elf.slice(segment.offset, segment.file_size)?)))
            .find_map(|(segment, data)| {
                memmem::find_iter(data, &needle)
                    .filter(|at| at % 8 == 0)
                    .find_map(|at| text(segment.vaddr.checked_add(at as u64)?))
            })
    })
}
