//! A bounds-checked view of a 64-bit little-endian ELF file, as its loader sees it: program
//! headers and the dynamic segment. Section headers are used only for `.symtab`, because a
//! stripped or hostile file need not have true ones.

mod dynamic;
mod note;
mod plt;
mod symbol;

pub(crate) use dynamic::Dynamic;
pub(crate) use plt::GotSymbols;
pub(crate) use symbol::{FunctionSymbols, StaticSymbols, Symbol};

use crate::Error;
use serde::Serialize;

/// Instruction set of the analysed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// x86-64: the full planner.
    X86_64,
    /// AArch64: the plain placement only.
    Aarch64,
}

/// A `PT_LOAD` segment: what of the file is mapped where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) vaddr: u64,
    pub(crate) offset: u64,
    pub(crate) file_size: u64,
    pub(crate) executable: bool,
    pub(crate) writable: bool,
}

/// The parsed headers and the bytes they describe.
#[derive(Debug)]
pub(crate) struct Elf<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) machine: Machine,
    pub(crate) segments: Vec<Segment>,
    /// It is mapped at the addresses that it says (`ET_EXEC`).
    pub(crate) fixed: bool,
    /// The address of `.eh_frame_hdr`.
    pub(crate) unwind_header: Option<u64>,
    dynamic_range: Option<(u64, u64)>,
    note_ranges: Vec<(u64, u64)>,
    section_table: Option<SectionTable>,
}

#[derive(Debug, Clone, Copy)]
struct SectionTable {
    offset: u64,
    count: u64,
    /// The index of the section that holds the names of all.
    names: u32,
}

/// A section header, of which only these fields are of use here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    pub(crate) kind: u32,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
const PROGRAM_HEADER: u64 = 56;
const SECTION_HEADER: u64 = 64;
/// More than any linker writes, so that a hostile count costs nothing.
const MAX_PROGRAM_HEADERS: u64 = 128;
const MAX_SECTION_HEADERS: u64 = 65_536;

impl<'a> Elf<'a> {
    /// Reads the ELF header and the program headers.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.get(..4) != Some(b"\x7fELF") {
            return Err(Error::NotElf);
        }
        let truncated = |what, offset| Error::Malformed { what, offset };
        let header = bytes.get(..64).ok_or(truncated("ELF header", 0))?;
        if header.get(4) != Some(&2) || header.get(5) != Some(&1) {
            return Err(Error::Unsupported {
                what: format!("class {:?}, data {:?}", header.get(4), header.get(5)),
            });
        }
        let read16 = |at| u16_at(bytes, at).ok_or(truncated("ELF header", at));
        let read64 = |at| u64_at(bytes, at).ok_or(truncated("ELF header", at));
        let machine = match read16(18)? {
            EM_X86_64 => Machine::X86_64,
            EM_AARCH64 => Machine::Aarch64,
            other => return Err(Error::Unsupported { what: format!("e_machine {other}") }),
        };
        let kind = read16(16)?;
        if !matches!(kind, 2 | 3) {
            return Err(Error::NotLoadable(kind));
        }
        let table = read64(32)?;
        let count = u64::from(read16(56)?);
        if u64::from(read16(54)?) != PROGRAM_HEADER || count == 0 || count > MAX_PROGRAM_HEADERS {
            return Err(truncated("program header table", table));
        }
        let mut elf = Self {
            bytes,
            machine,
            segments: Vec::new(),
            fixed: kind == 2,
            unwind_header: None,
            dynamic_range: None,
            note_ranges: Vec::new(),
            section_table: None,
        };
        for index in 0..count {
            let at = table
                .checked_add(index * PROGRAM_HEADER)
                .ok_or(truncated("program header table", table))?;
            elf.add_program_header(at).ok_or(truncated("program header", at))?;
        }
        let sections = read64(40)?;
        let section_count = u64::from(read16(60)?);
        if sections != 0
            && (1..=MAX_SECTION_HEADERS).contains(&section_count)
            && u64::from(read16(58)?) == SECTION_HEADER
        {
            elf.section_table = Some(SectionTable {
                offset: sections,
                count: section_count,
                names: read16(62)?.into(),
            });
        }
        Ok(elf)
    }

    fn add_program_header(&mut self, at: u64) -> Option<()> {
        let bytes = self.bytes;
        let kind = u32_at(bytes, at)?;
        let flags = u32_at(bytes, at.checked_add(4)?)?;
        let offset = u64_at(bytes, at.checked_add(8)?)?;
        let vaddr = u64_at(bytes, at.checked_add(16)?)?;
        let file_size = u64_at(bytes, at.checked_add(32)?)?;
        match kind {
            PT_LOAD => self.segments.push(Segment {
                vaddr,
                offset,
                file_size,
                executable: flags & PF_X != 0,
                writable: flags & PF_W != 0,
            }),
            PT_DYNAMIC => self.dynamic_range = Some((offset, file_size)),
            PT_GNU_EH_FRAME => self.unwind_header = Some(vaddr),
            PT_NOTE => self.note_ranges.push((offset, file_size)),
            _ => {}
        }
        Some(())
    }

    /// The bytes of a file range, or none if it reaches past the end.
    pub(crate) fn slice(&self, offset: u64, size: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        self.bytes.get(start..end)
    }

    fn segment(&self, vaddr: u64) -> Option<&Segment> {
        self.segments.iter().find(|s| vaddr.checked_sub(s.vaddr).is_some_and(|d| d < s.file_size))
    }

    /// The file offset of the byte that is mapped at `vaddr`.
    pub(crate) fn file_offset(&self, vaddr: u64) -> Option<u64> {
        let segment = self.segment(vaddr)?;
        segment.offset.checked_add(vaddr - segment.vaddr)
    }

    /// The address at which the byte at this offset of the file is mapped to be executed.
    pub(crate) fn code_vaddr(&self, file_offset: u64) -> Option<u64> {
        self.segments.iter().filter(|segment| segment.executable).find_map(|segment| {
            let into = file_offset.checked_sub(segment.offset)?;
            (into < segment.file_size).then(|| segment.vaddr.checked_add(into))?
        })
    }

    /// Everything in the file from `vaddr` to the end of its segment.
    pub(crate) fn at(&self, vaddr: u64) -> Option<&'a [u8]> {
        let segment = self.segment(vaddr)?;
        let skipped = vaddr - segment.vaddr;
        self.slice(segment.offset.checked_add(skipped)?, segment.file_size - skipped)
    }

    /// Like [`Elf::at`], and the segment is mapped executable.
    pub(crate) fn code_at(&self, vaddr: u64) -> Option<&'a [u8]> {
        self.segment(vaddr).filter(|s| s.executable)?;
        self.at(vaddr)
    }

    /// The segments that are neither written nor, where a file keeps the two apart, run.
    pub(crate) fn constant_data(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.constant_segments().map(|(_, data)| data)
    }

    /// As [`Elf::constant_data`], each with its address.
    pub(crate) fn constant_segments(&self) -> impl Iterator<Item = (u64, &'a [u8])> + '_ {
        let apart = self.segments.iter().any(|s| !s.writable && !s.executable);
        // Segments of a hostile file may all be the whole file: read no more than that once.
        let mut budget = self.bytes.len();
        self.segments
            .iter()
            .filter(move |segment| !(segment.writable || apart && segment.executable))
            .filter_map(|s| Some((s.vaddr, self.slice(s.offset, s.file_size)?)))
            .take_while(move |(_, data)| {
                let within = data.len() <= budget;
                budget = budget.saturating_sub(data.len());
                within
            })
    }

    pub(crate) fn sections(&self) -> impl Iterator<Item = Section> + '_ {
        let table = self.section_table;
        (0..table.map_or(0, |t| t.count)).map_while(move |index| self.section(table?, index))
    }

    fn section(&self, table: SectionTable, index: u64) -> Option<Section> {
        let at = table.offset.checked_add(index.checked_mul(SECTION_HEADER)?)?;
        let bytes = self.bytes;
        Some(Section {
            kind: u32_at(bytes, at.checked_add(4)?)?,
            offset: u64_at(bytes, at.checked_add(24)?)?,
            size: u64_at(bytes, at.checked_add(32)?)?,
            link: u32_at(bytes, at.checked_add(40)?)?,
        })
    }

    /// The strings in which section names lie.
    pub(crate) fn section_names(&self) -> Option<&'a [u8]> {
        let section = self.section_by_index(self.section_table?.names)?;
        self.slice(section.offset, section.size)
    }

    /// The contents of each note segment.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.note_ranges.iter().filter_map(|&(offset, size)| self.slice(offset, size))
    }

    pub(crate) fn section_by_index(&self, index: u32) -> Option<Section> {
        let table = self.section_table?;
        if u64::from(index) >= table.count {
            return None;
        }
        self.section(table, u64::from(index))
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: u64) -> Option<u16> {
    Some(u16::from_le_bytes(array_at(bytes, at)?))
}

pub(crate) fn u32_at(bytes: &[u8], at: u64) -> Option<u32> {
    Some(u32::from_le_bytes(array_at(bytes, at)?))
}

pub(crate) fn u64_at(bytes: &[u8], at: u64) -> Option<u64> {
    Some(u64::from_le_bytes(array_at(bytes, at)?))
}

fn array_at<const N: usize>(bytes: &[u8], at: u64) -> Option<[u8; N]> {
    let start = usize::try_from(at).ok()?;
    bytes.get(start..start.checked_add(N)?)?.try_into().ok()
}

/// The NUL-terminated string at `at`, if it is no longer than a file name may be.
pub(crate) fn c_string(bytes: &[u8], at: u64) -> Option<&[u8]> {
    const LONGEST: usize = 256;
    let rest = bytes.get(usize::try_from(at).ok()?..)?;
    let rest = rest.get(..LONGEST).unwrap_or(rest);
    rest.get(..memchr::memchr(0, rest)?)
}
