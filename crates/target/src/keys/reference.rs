//! Which instructions may load the address of a label. Candidates only: the functions around
//! them are followed properly afterwards.

use super::label::Labels;
use crate::elf::{Elf, Machine};
use memchr::{memchr_iter, memmem};
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

/// A library's logging takes a few dozen; its use of the same pages, thousands.
const MOST: usize = 65_536;

/// The addresses that code may load: of labels, and of pointers to them.
pub(crate) struct Wanted {
    addresses: HashSet<u64>,
    pages: HashSet<u64>,
}

impl Wanted {
    pub(crate) fn new(labels: &Labels) -> Self {
        let addresses: HashSet<u64> = labels.loadable().collect();
        let pages = addresses.iter().map(|address| address & !0xfff).collect();
        Self { addresses, pages }
    }
}

/// Addresses of code that may load one of the labels' addresses.
pub(crate) fn references(elf: &Elf<'_>, wanted: &Wanted) -> Vec<u64> {
    let mut found = Vec::new();
    if wanted.addresses.is_empty() {
        return found;
    }
    let mut budget = elf.bytes.len();
    for segment in elf.segments.iter().filter(|segment| segment.executable) {
        let Some(code) = elf.slice(segment.offset, segment.file_size) else { continue };
        let Some(left) = budget.checked_sub(code.len()) else { break };
        budget = left;
        match elf.machine {
            Machine::X86_64 => {
                relative(code, segment.vaddr, wanted, &mut found);
                if elf.fixed {
                    absolute(code, segment.vaddr, wanted, &mut found);
                }
            }
            Machine::Aarch64 => paged(code, segment.vaddr, wanted, &mut found),
        }
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(MOST);
    found
}

/// `lea disp32(%rip), %reg` and `mov disp32(%rip), %reg`.
fn relative(code: &[u8], base: u64, wanted: &Wanted, found: &mut Vec<u64>) {
    for opcode in [0x8d, 0x8b] {
        for at in memchr_iter(opcode, code) {
            let Some([modrm, displacement @ ..]) = code.get(at + 1..at + 6) else { break };
            let Ok(displacement) = <[u8; 4]>::try_from(displacement) else { break };
            if modrm & 0xc7 != 5 {
                continue;
            }
            let next = base.wrapping_add(at as u64 + 6);
            let target = next.wrapping_add_signed(i32::from_le_bytes(displacement).into());
            if wanted.addresses.contains(&target) && found.len() < MOST {
                found.push(base.wrapping_add(at as u64));
            }
        }
    }
}

/// A 32-bit immediate or displacement, in files that are not moved.
fn absolute(code: &[u8], base: u64, wanted: &Wanted, found: &mut Vec<u64>) {
    for address in wanted.addresses.iter().filter_map(|&address| u32::try_from(address).ok()) {
        for at in memmem::find_iter(code, &address.to_le_bytes()) {
            if found.len() < MOST {
                found.push(base.wrapping_add(at as u64));
            }
        }
    }
}

/// False if the function can't take the address of a label after all: on AArch64, where what is
/// found is `adrp`, if it nowhere adds a label's place to a register that had the label's page.
pub(crate) fn mentions(elf: &Elf<'_>, function: &Range<u64>, wanted: &Wanted) -> bool {
    const LARGEST: u64 = 0x1_0000;
    if elf.machine == Machine::X86_64 {
        return true;
    }
    let size = (function.end.saturating_sub(function.start)).min(LARGEST) as usize;
    let code = elf.code_at(function.start).unwrap_or_default();
    let words = code.get(..size).unwrap_or(code).as_chunks::<4>().0;
    let mut pages: BTreeSet<(u32, u64)> = BTreeSet::new();
    for (word, at) in words.iter().zip((function.start..).step_by(4)) {
        let word = u32::from_le_bytes(*word);
        match loaded_address(word, at) {
            Some(address) if wanted.addresses.contains(&address) => return true,
            Some(page) if word >> 31 == 1 && wanted.pages.contains(&page) => {
                pages.insert((word & 0x1f, page));
            }
            _ => {}
        }
    }
    words.iter().any(|word| {
        let word = u32::from_le_bytes(*word);
        let immediate = u64::from(word >> 10 & 0xfff);
        let place = match word {
            // add Xd, Xn, #imm
            _ if word & 0xffc0_0000 == 0x9100_0000 => immediate,
            // ldr Xt, [Xn, #imm]
            _ if word & 0xffc0_0000 == 0xf940_0000 => immediate * 8,
            _ => return false,
        };
        let base = word >> 5 & 0x1f;
        let mut of_base = pages.range((base, 0)..=(base, u64::MAX));
        of_base.any(|(_, page)| wanted.addresses.contains(&page.wrapping_add(place)))
    })
}

/// What `adr` or `adrp` at this address puts into its register.
fn loaded_address(word: u32, at: u64) -> Option<u64> {
    if word & 0x1f00_0000 != 0x1000_0000 {
        return None;
    }
    let high = i64::from((word << 8) as i32 >> 13) << 2;
    let distance = high | i64::from(word >> 29 & 3);
    Some(if word >> 31 == 1 {
        (at & !0xfff).wrapping_add_signed(distance << 12)
    } else {
        at.wrapping_add_signed(distance)
    })
}

/// `adrp` of a label's page, and `adr`.
fn paged(code: &[u8], base: u64, wanted: &Wanted, found: &mut Vec<u64>) {
    for (word, at) in code.as_chunks::<4>().0.iter().zip((base..).step_by(4)) {
        let word = u32::from_le_bytes(*word);
        let hit = loaded_address(word, at).is_some_and(|address| match word >> 31 {
            1 => wanted.pages.contains(&address),
            _ => wanted.addresses.contains(&address),
        });
        if hit && found.len() < MOST {
            found.push(at);
        }
    }
}
