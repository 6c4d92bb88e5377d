//! Finding functions by name: through the loader's hash tables, touching a handful of pages;
//! through `.symtab` only for what the dynamic symbols don't define.

use super::{Dynamic, Elf, Section, c_string, u16_at, u32_at, u64_at};
use memchr::memmem;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

/// A defined function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) vaddr: u64,
    /// 0 if unknown.
    pub(crate) size: u64,
}

const SYMBOL: u64 = 24;
const SHT_SYMTAB: u32 = 2;
const STT_OBJECT: u8 = 1;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;
/// A hash chain longer than this is not a linker's work.
const LONGEST_CHAIN: u32 = 4096;
/// Upper bound for a table with no usable hash table (Android's libraries have 30 000).
const MOST_SYMBOLS: u64 = 1_000_000;

/// Local functions may share a name; hundreds of them don't.
const MOST_FOUND: usize = 256;

/// One entry of a symbol table, undecoded name included.
#[derive(Debug, Clone, Copy)]
struct Entry {
    name: u32,
    info: u8,
    section: u16,
    value: u64,
    size: u64,
}

impl Entry {
    fn read(table: &[u8], index: u64) -> Option<Self> {
        let at = index.checked_mul(SYMBOL)?;
        Some(Self {
            name: u32_at(table, at)?,
            info: *table.get(usize::try_from(at).ok()?.checked_add(4)?)?,
            section: u16_at(table, at.checked_add(6)?)?,
            value: u64_at(table, at.checked_add(8)?)?,
            size: u64_at(table, at.checked_add(16)?)?,
        })
    }

    /// An `STT_GNU_IFUNC`'s value is its resolver, not the function: never probe that.
    fn function(&self) -> Option<Symbol> {
        let kind = self.info & 0xf;
        let defined = self.section != 0 && self.value != 0;
        (defined && kind == STT_FUNC && kind != STT_GNU_IFUNC)
            .then_some(Symbol { vaddr: self.value, size: self.size })
    }

    /// A variable that every thread shares.
    fn object(&self) -> Option<Symbol> {
        (self.section != 0 && self.value != 0 && self.info & 0xf == STT_OBJECT)
            .then_some(Symbol { vaddr: self.value, size: self.size })
    }
}

/// The variables among `names` that a symbol table defines, in one pass over it.
fn objects<'n>(symbols: &[u8], strings: &[u8], names: &[&'n str]) -> Vec<(&'n str, Symbol)> {
    (0..MOST_SYMBOLS)
        .map_while(|index| Entry::read(symbols, index))
        .filter_map(|entry| {
            let symbol = entry.object()?;
            let name = names.iter().find(|name| named(strings, entry.name, name.as_bytes()))?;
            Some((*name, symbol))
        })
        .take(MOST_FOUND)
        .collect()
}

impl Dynamic {
    /// The variables among `names` that are defined here, in the order of the table.
    pub(crate) fn objects<'n>(&self, elf: &Elf<'_>, names: &[&'n str]) -> Vec<(&'n str, Symbol)> {
        Tables::of(self, elf)
            .map_or_else(Vec::new, |tables| objects(tables.symbols, tables.strings, names))
    }

    /// All definitions of `name`: several when it is versioned.
    pub(crate) fn lookup(&self, elf: &Elf<'_>, name: &str) -> Vec<Symbol> {
        let Some(tables) = Tables::of(self, elf) else { return Vec::new() };
        let mut found = Vec::new();
        if let Some(hash) = self.gnu_hash.and_then(|at| elf.at(at)) {
            tables.gnu_lookup(hash, name.as_bytes(), &mut found);
        } else if let Some(hash) = self.hash.and_then(|at| elf.at(at)) {
            tables.sysv_lookup(hash, name.as_bytes(), &mut found);
        } else {
            tables.scan(name.as_bytes(), &mut found);
        }
        found.dedup();
        found
    }

    /// The addresses of all functions that the dynamic symbols define.
    pub(crate) fn function_addresses(&self, elf: &Elf<'_>) -> HashSet<u64> {
        let symbols = Tables::of(self, elf).map_or(&[][..], |tables| tables.symbols);
        (0..MOST_SYMBOLS)
            .map_while(|index| Entry::read(symbols, index))
            .filter_map(|entry| entry.function())
            .map(|symbol| symbol.vaddr)
            .collect()
    }

    /// The name and, if it is defined here, the address of the symbol with this index.
    pub(crate) fn by_index<'a>(&self, elf: &Elf<'a>, index: u32) -> Option<(&'a str, Option<u64>)> {
        let tables = Tables::of(self, elf)?;
        let entry = Entry::read(tables.symbols, u64::from(index))?;
        let name = std::str::from_utf8(c_string(tables.strings, u64::from(entry.name))?).ok()?;
        Some((name, (entry.section != 0 && entry.value != 0).then_some(entry.value)))
    }
}

struct Tables<'a> {
    symbols: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Tables<'a> {
    fn of(dynamic: &Dynamic, elf: &Elf<'a>) -> Option<Self> {
        let strings = dynamic.string_table(elf)?;
        let mut symbols = elf.at(dynamic.symbols?)?;
        // Linkers put the strings after the symbols: a bound for the linear scan.
        if let (Some(from), Some(to)) = (dynamic.symbols, dynamic.strings)
            && let Some(size) = to.checked_sub(from).and_then(|s| usize::try_from(s).ok())
        {
            symbols = symbols.get(..size).unwrap_or(symbols);
        }
        Some(Self { symbols, strings })
    }

    fn push_if_named(&self, index: u64, name: &[u8], found: &mut Vec<Symbol>) -> Option<()> {
        let entry = Entry::read(self.symbols, index)?;
        if named(self.strings, entry.name, name) {
            found.extend(entry.function());
        }
        Some(())
    }

    /// `DT_GNU_HASH`: bloom filter, buckets, and chains whose last value has bit 0 set.
    fn gnu_lookup(&self, hash: &[u8], name: &[u8], found: &mut Vec<Symbol>) -> Option<()> {
        let buckets = u32_at(hash, 0)?;
        let first = u32_at(hash, 4)?;
        let bloom_words = u32_at(hash, 8)?;
        let shift = u32_at(hash, 12)?;
        let wanted = gnu_hash(name);
        let word_index = (wanted / 64).checked_rem(bloom_words)?;
        let word = u64_at(hash, 16 + u64::from(word_index) * 8)?;
        let second = wanted.checked_shr(shift).unwrap_or(0);
        if (word >> (wanted % 64)) & (word >> (second % 64)) & 1 == 0 {
            return None;
        }
        let bucket_table = 16 + u64::from(bloom_words) * 8;
        let chain_table = bucket_table + u64::from(buckets) * 4;
        let bucket = wanted.checked_rem(buckets)?;
        let start = u32_at(hash, bucket_table + u64::from(bucket) * 4)?;
        for step in 0..LONGEST_CHAIN {
            let index = start.checked_add(step)?;
            let value = u32_at(hash, chain_table + u64::from(index.checked_sub(first)?) * 4)?;
            if value | 1 == wanted | 1 {
                self.push_if_named(u64::from(index), name, found)?;
            }
            if value & 1 == 1 {
                break;
            }
        }
        Some(())
    }

    fn sysv_lookup(&self, hash: &[u8], name: &[u8], found: &mut Vec<Symbol>) -> Option<()> {
        let buckets = u32_at(hash, 0)?;
        let bucket = sysv_hash(name).checked_rem(buckets)?;
        let mut index = u32_at(hash, 8 + u64::from(bucket) * 4)?;
        for _ in 0..LONGEST_CHAIN {
            if index == 0 {
                break;
            }
            self.push_if_named(u64::from(index), name, found)?;
            index = u32_at(hash, 8 + (u64::from(buckets) + u64::from(index)) * 4)?;
        }
        Some(())
    }

    fn scan(&self, name: &[u8], found: &mut Vec<Symbol>) {
        for index in 0..MOST_SYMBOLS {
            if self.push_if_named(index, name, found).is_none() {
                break;
            }
        }
    }
}

/// The static symbol table, if the file was not stripped of it.
#[derive(Debug)]
pub(crate) struct StaticSymbols<'a> {
    symbols: &'a [u8],
    strings: &'a [u8],
}

impl<'a> StaticSymbols<'a> {
    pub(crate) fn of(elf: &Elf<'a>) -> Option<Self> {
        let table = elf.sections().find(|section| section.kind == SHT_SYMTAB)?;
        let bytes = |section: Section| elf.slice(section.offset, section.size);
        Some(Self {
            symbols: bytes(table)?,
            strings: elf.section_by_index(table.link).and_then(bytes)?,
        })
    }

    /// False if no symbol can have this name: a string search, and no look at the symbols.
    pub(crate) fn may_define(&self, name: &str) -> bool {
        let mut needle = name.as_bytes().to_vec();
        needle.push(0);
        memmem::find(self.strings, &needle).is_some()
    }

    /// As [`Dynamic::objects`].
    pub(crate) fn objects<'n>(&self, names: &[&'n str]) -> Vec<(&'n str, Symbol)> {
        objects(self.symbols, self.strings, names)
    }

    /// Definitions of each of `names`, in one pass over the table.
    pub(crate) fn lookup<'n>(&self, names: &[&'n str]) -> Vec<(&'n str, Symbol)> {
        let wanted: HashMap<&[u8], &'n str> =
            names.iter().map(|name| (name.as_bytes(), *name)).collect();
        let mut found = Vec::new();
        if wanted.is_empty() {
            return found;
        }
        for index in 0.. {
            let Some(entry) = Entry::read(self.symbols, index) else { break };
            let Some(symbol) = entry.function() else { continue };
            if found.len() >= MOST_FOUND {
                break;
            }
            if let Some(name) = c_string(self.strings, u64::from(entry.name))
                && let Some(&name) = wanted.get(name)
                && !found.contains(&(name, symbol.clone()))
            {
                found.push((name, symbol));
            }
        }
        found
    }
}

/// Every function that a symbol names, by address.
#[derive(Debug, Default)]
pub(crate) struct FunctionSymbols {
    functions: BTreeMap<u64, u64>,
}

impl FunctionSymbols {
    pub(crate) fn read(elf: &Elf<'_>, dynamic: &Dynamic) -> Self {
        let exported = Tables::of(dynamic, elf).map_or(&[][..], |tables| tables.symbols);
        let all = StaticSymbols::of(elf).map_or(&[][..], |table| table.symbols);
        let mut functions = BTreeMap::new();
        for table in [exported, all] {
            let entries = (0..MOST_SYMBOLS).map_while(|index| Entry::read(table, index));
            for Symbol { vaddr, size } in entries.filter_map(|entry| entry.function()) {
                let known = functions.entry(vaddr).or_default();
                *known = size.max(*known);
            }
        }
        Self { functions }
    }

    /// The function that covers `address`.
    pub(crate) fn around(&self, address: u64) -> Option<Range<u64>> {
        let (&start, &size) = self.functions.range(..=address).next_back()?;
        let end = start.checked_add(size)?;
        (address < end).then_some(start..end)
    }
}

fn named(strings: &[u8], at: u32, name: &[u8]) -> bool {
    let Some(rest) = usize::try_from(at).ok().and_then(|at| strings.get(at..)) else {
        return false;
    };
    rest.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0))
}

fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, &byte| hash.wrapping_mul(33).wrapping_add(byte.into()))
}

fn sysv_hash(name: &[u8]) -> u32 {
    name.iter().fold(0, |hash: u32, &byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let top = hash & 0xf000_0000;
        (hash ^ (top >> 24)) & !top
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_loaders() {
        // Values from the gABI and from `readelf --use-dynamic`'s algorithm description.
        assert_eq!(gnu_hash(b"printf"), 0x156b_2bb8);
        assert_eq!(sysv_hash(b"printf"), 0x0779_05a6);
    }
}
