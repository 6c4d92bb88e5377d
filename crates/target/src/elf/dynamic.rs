//! The dynamic segment: where the loader finds names, symbols and relocations.

use super::{Elf, c_string, u64_at};

/// What `PT_DYNAMIC` says, as addresses and sizes; nothing is followed yet.
#[derive(Debug, Default, Clone)]
pub(crate) struct Dynamic {
    pub(crate) symbols: Option<u64>,
    pub(crate) strings: Option<u64>,
    pub(crate) strings_size: u64,
    pub(crate) hash: Option<u64>,
    pub(crate) gnu_hash: Option<u64>,
    pub(crate) relocations: Vec<(u64, u64)>,
    needed: Vec<u64>,
    soname: Option<u64>,
}

const DT_NEEDED: u64 = 1;
const DT_PLTRELSZ: u64 = 2;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_JMPREL: u64 = 23;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
/// A library with more `DT_NEEDED` entries than this is not one.
const MAX_ENTRIES: u64 = 65_536;

impl Dynamic {
    /// Reads the entries up to `DT_NULL`.
    pub(crate) fn read(elf: &Elf<'_>) -> Self {
        let mut dynamic = Self::default();
        let Some((offset, size)) = elf.dynamic_range else { return dynamic };
        let (mut rela, mut rela_size, mut plt, mut plt_size) = (None, 0, None, 0);
        for index in 0..(size / 16).min(MAX_ENTRIES) {
            let Some(at) = offset.checked_add(index * 16) else { break };
            let (Some(tag), Some(value)) =
                (u64_at(elf.bytes, at), at.checked_add(8).and_then(|at| u64_at(elf.bytes, at)))
            else {
                break;
            };
            match tag {
                0 => break,
                DT_NEEDED => dynamic.needed.push(value),
                DT_SONAME => dynamic.soname = Some(value),
                DT_SYMTAB => dynamic.symbols = Some(value),
                DT_STRTAB => dynamic.strings = Some(value),
                DT_STRSZ => dynamic.strings_size = value,
                DT_HASH => dynamic.hash = Some(value),
                DT_GNU_HASH => dynamic.gnu_hash = Some(value),
                DT_RELA => rela = Some(value),
                DT_RELASZ => rela_size = value,
                DT_JMPREL => plt = Some(value),
                DT_PLTRELSZ => plt_size = value,
                _ => {}
            }
        }
        dynamic.relocations.extend(plt.map(|at| (at, plt_size)));
        dynamic.relocations.extend(rela.map(|at| (at, rela_size)));
        dynamic
    }

    /// The string table's bytes, cut at the end of its segment.
    pub(crate) fn string_table<'a>(&self, elf: &Elf<'a>) -> Option<&'a [u8]> {
        let table = elf.at(self.strings?)?;
        let size = usize::try_from(self.strings_size).ok()?.min(table.len());
        table.get(..size)
    }

    pub(crate) fn needed(&self, elf: &Elf<'_>) -> Vec<String> {
        self.needed.iter().filter_map(|&at| self.string(elf, at)).collect()
    }

    pub(crate) fn soname(&self, elf: &Elf<'_>) -> Option<String> {
        self.string(elf, self.soname?)
    }

    fn string(&self, elf: &Elf<'_>, at: u64) -> Option<String> {
        /// Longer than any file name (`NAME_MAX` is 255).
        const LONGEST: usize = 4096;
        let name = c_string(self.string_table(elf)?, at)?;
        (name.len() <= LONGEST).then(|| String::from_utf8_lossy(name).into_owned())
    }
}
