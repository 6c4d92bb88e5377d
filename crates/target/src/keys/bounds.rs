//! Where the function around an address begins and ends, stripped files included: by the unwind
//! tables (`.eh_frame`), else by the symbols.

use crate::elf::{Elf, FunctionSymbols};
use crate::image::Image;
use gimli::{
    BaseAddresses, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, Pointer, UnwindSection,
};
use std::cell::OnceCell;
use std::ops::Range;

/// Finds functions of one file.
pub(crate) struct Bounds<'i, 'a> {
    image: &'i Image<'a>,
    unwind: Option<Unwind<'a>>,
    symbols: OnceCell<FunctionSymbols>,
}

struct Unwind<'a> {
    header: gimli::ParsedEhFrameHdr<EndianSlice<'a, LittleEndian>>,
    frames: EhFrame<EndianSlice<'a, LittleEndian>>,
    bases: BaseAddresses,
}

impl<'i, 'a> Bounds<'i, 'a> {
    pub(crate) fn new(image: &'i Image<'a>) -> Self {
        Self { image, unwind: Unwind::read(&image.elf), symbols: OnceCell::new() }
    }

    /// The function that the instruction at `address` is of.
    pub(crate) fn around(&self, address: u64) -> Option<Range<u64>> {
        let unwound = self.unwind.as_ref().and_then(|unwind| unwind.around(address));
        unwound.filter(|range| range.contains(&address)).or_else(|| {
            let image = self.image;
            let symbols =
                self.symbols.get_or_init(|| FunctionSymbols::read(&image.elf, &image.dynamic));
            symbols.around(address)
        })
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
