//! The version of Go that built a file (`runtime.buildVersion`, by way of the linker's build
//! info). For people: nothing is decided by it, because it may be absent or made up.
//!
//! Format: Go, src/debug/buildinfo/buildinfo.go.

use super::relocation::Relocations;
use crate::elf::{Elf, u64_at};
use memchr::memmem;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Magic, pointer size, flags, padding.
const HEADER: usize = 32;
const FLAGS: usize = 15;
/// The strings follow the header, each with its length as a varint.
const INLINE: u8 = 2;
const LONGEST: u64 = 64;
/// The magic is also a constant of programs that read build infos.
const MOST_CANDIDATES: usize = 64;

/// The version, such as `go1.24.4`.
pub(super) fn version(elf: &Elf<'_>, relocations: &Relocations) -> Option<String> {
    memmem::find_iter(elf.bytes, MAGIC)
        .take(MOST_CANDIDATES)
        .filter(|at| at % 16 == 0)
        .find_map(|at| version_at(elf, relocations, elf.bytes.get(at..)?))
}

fn version_at(elf: &Elf<'_>, relocations: &Relocations, info: &[u8]) -> Option<String> {
    let text = if info.get(FLAGS)? & INLINE != 0 {
        let (len, used) = varint(info.get(HEADER..)?)?;
        let start = HEADER.checked_add(used)?;
        info.get(start..start.checked_add(usize::try_from(len.min(LONGEST)).ok()?)?)?
    } else {
        // Before Go 1.18: the address of a string header.
        let at = info.as_ptr() as usize - elf.bytes.as_ptr() as usize;
        let pointer =
            relocations.u64(elf, super::tables::vaddr(elf, at as u64)?.checked_add(16)?)?;
        let start = relocations.u64(elf, pointer)?;
        let len = u64_at(elf.at(pointer)?, 8)?.min(LONGEST);
        elf.at(start)?.get(..usize::try_from(len).ok()?)?
    };
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.chars().all(|char| char.is_ascii_graphic() || char == ' ');
    (plain && !text.is_empty()).then(|| text.to_owned())
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}
