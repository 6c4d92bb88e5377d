//! Where the function around an address begins and ends, stripped files included: by the unwind
//! tables (`.eh_frame`), else by the symbols, else by what is called and pointed at: up to the next
//! such place.

use super::pointers::Pointers;
use crate::elf::{Elf, FunctionSymbols, Machine};
use crate::image::Image;
use gimli::{
    BaseAddresses, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, Pointer, UnwindSection,
};
use memchr::memchr_iter;
use std::cell::OnceCell;
use std::ops::Range;

/// Finds functions of one file.
pub(crate) struct Bounds<'i, 'a> {
    image: &'i Image<'a>,
    unwind: Option<Unwind<'a>>,
    symbols: OnceCell<FunctionSymbols>,
    starts: OnceCell<Vec<u64>>,
}

struct Unwind<'a> {
    header: gimli::ParsedEhFrameHdr<EndianSlice<'a, LittleEndian>>,
    frames: EhFrame<EndianSlice<'a, LittleEndian>>,
    bases: BaseAddresses,
}

impl<'i, 'a> Bounds<'i, 'a> {
    pub(crate) fn new(image: &'i Image<'a>) -> Self {
        Self {
            image,
            unwind: Unwind::read(&image.elf),
            symbols: OnceCell::new(),
            starts: OnceCell::new(),
        }
    }

    /// The function that the instruction at `address` is of.
    pub(crate) fn around(&self, address: u64) -> Option<Range<u64>> {
        self.stated(address)
            .or_else(|| between(self.starts.get_or_init(|| starts(self.image)), address))
    }

    /// As [`Bounds::around`], if the file itself says where the function begins and ends.
    pub(crate) fn stated(&self, address: u64) -> Option<Range<u64>> {
        let unwound = self.unwind.as_ref().and_then(|unwind| unwind.around(address));
        let image = self.image;
        unwound.filter(|range| range.contains(&address)).or_else(|| {
            let symbols =
                self.symbols.get_or_init(|| FunctionSymbols::read(&image.elf, &image.dynamic));
            symbols.around(address)
        })
    }
}

/// What compilers align functions to on x86-64, unless told to save space.
const ALIGNMENT: u64 = 16;

/// From the last start up to `address` to the next.
fn between(starts: &[u64], address: u64) -> Option<Range<u64>> {
    const LARGEST: u64 = 0x1_0000;
    let next = starts.partition_point(|&start| start <= address);
    let start = *starts.get(next.checked_sub(1)?)?;
    let end = starts.get(next).copied().unwrap_or(u64::MAX).min(start.saturating_add(LARGEST));
    (address < end).then_some(start..end)
}

/// Where functions may start: what direct calls go to, and what pointers in the data point at.
fn starts(image: &Image<'_>) -> Vec<u64> {
    const MOST: usize = 4_000_000;
    let mut found: Vec<u64> = Pointers::new(image).targets().collect();
    let mut budget = image.elf.bytes.len();
    for segment in &image.elf.segments {
        let Some(data) = image.elf.slice(segment.offset, segment.file_size) else { continue };
        let Some(left) = budget.checked_sub(data.len()) else { break };
        budget = left;
        if segment.executable {
            called(image.elf.machine, data, segment.vaddr, &mut found);
        } else if image.elf.fixed {
            found.extend(data.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)));
        }
        found.retain(|&target| image.elf.code_at(target).is_some());
        found.truncate(MOST);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// What direct calls go to. On x86-64 any byte may look like a call: only targets that are aligned
/// as functions are count.
fn called(machine: Machine, code: &[u8], base: u64, found: &mut Vec<u64>) {
    match machine {
        Machine::X86_64 => found.extend(memchr_iter(0xe8, code).filter_map(|at| {
            let distance = i32::from_le_bytes(code.get(at + 1..at + 5)?.try_into().ok()?);
            let target = base.wrapping_add(at as u64 + 5).wrapping_add_signed(distance.into());
            target.is_multiple_of(ALIGNMENT).then_some(target)
        })),
        Machine::Aarch64 => {
            for (word, at) in code.as_chunks::<4>().0.iter().zip((base..).step_by(4)) {
                let word = u32::from_le_bytes(*word);
                if word & 0xfc00_0000 == 0x9400_0000 {
                    let distance = i64::from((word << 6) as i32 >> 6) * 4;
                    found.push(at.wrapping_add_signed(distance));
                }
            }
        }
    }
}

impl<'a> Unwind<'a> {
    fn read(elf: &Elf<'a>) -> Option<Self> {
        let at = elf.unwind_header?;
        let bases = BaseAddresses::default().set_eh_frame_hdr(at);
        let header = EhFrameHdr::new(elf.at(at)?, LittleEndian).parse(&bases, 8).ok()?;
        let Pointer::Direct(frames_at) = header.eh_frame_ptr() else { return None };
        let frames = EhFrame::new(elf.at(frames_at)?, LittleEndian);
        header.table()?;
        Some(Self { header, frames, bases: bases.set_eh_frame(frames_at) })
    }

    fn around(&self, address: u64) -> Option<Range<u64>> {
        let table = self.header.table()?;
        let entry = table
            .fde_for_address(&self.frames, &self.bases, address, EhFrame::cie_from_offset)
            .ok()?;
        Some(entry.initial_address()..entry.initial_address().checked_add(entry.len())?)
    }
}
