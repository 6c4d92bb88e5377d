//! A file's symbol tables in their places, and zeros everywhere else.
//!
//! Whether a file carries a TLS library shows in its symbols. Reading whole files would take most of
//! the start-up time (a browser is 200 MiB), and mapping them would let anyone who truncates his own
//! library kill this process by SIGBUS. So the tables are read, one by one, into memory of the file's
//! length that the kernel fills with zeros on demand.

use crate::elf::{self, Unsuitable};
use crate::sys::ZeroedMemory;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Longest file that is looked at; the largest known (debug builds of browsers) are below it.
const MAX_FILE: u64 = 8 << 30;
/// Most that is read of one file.
const MAX_READ: u64 = 512 << 20;
/// A file without section headers is read whole up to this size.
const MAX_WHOLE: u64 = 64 << 20;
/// Most section headers that are looked at; a linked file has some 40.
const MAX_SECTIONS: u64 = 4096;

const SECTION_HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: u64 = 56;

/// Section types whose contents are read: symbol tables, strings, hash tables, the dynamic section,
/// notes and symbol versions (System V gABI, chapter 4; GNU extensions).
const WANTED_SECTIONS: [u32; 9] = [2, 3, 5, 6, 7, 11, 0x6fff_fff6, 0x6fff_fffe, 0x6fff_ffff];

/// Reads the image of an ELF file of `len` bytes.
pub(crate) fn symbols(file: &File, len: u64) -> io::Result<Result<ZeroedMemory, Unsuitable>> {
    let mut header = [0; elf::HEADER_LEN];
    let got = read_up_to(file, &mut header, 0)?;
    let header = header.get(..got).unwrap_or_default();
    if let Err(reason) = elf::judge(header) {
        return Ok(Err(reason));
    }
    if len > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 8 GiB"));
    }
    let mut image = Image { memory: ZeroedMemory::new(len as usize)?, file, budget: MAX_READ };
    image.fill(0, elf::HEADER_LEN as u64)?;
    let program_headers = u64::from(elf::u16_at(header, 56).unwrap_or(0));
    image.fill(
        elf::u64_at(header, 32).unwrap_or(0),
        program_headers.saturating_mul(PROGRAM_HEADER_LEN),
    )?;
    let sections_at = elf::u64_at(header, 40).unwrap_or(0);
    let sections = u64::from(elf::u16_at(header, 60).unwrap_or(0)).min(MAX_SECTIONS);
    if sections == 0 || sections_at == 0 {
        image.fill(0, len.min(MAX_WHOLE))?;
    } else {
        image.fill_sections(sections_at, sections)?;
    }
    Ok(Ok(image.memory))
}

struct Image<'a> {
    memory: ZeroedMemory,
    file: &'a File,
    budget: u64,
}

impl Image<'_> {
    fn fill_sections(&mut self, at: u64, count: u64) -> io::Result<()> {
        self.fill(at, count.saturating_mul(SECTION_HEADER_LEN as u64))?;
        let wanted: Vec<(u64, u64)> = self
            .memory
            .get(at as usize..)
            .unwrap_or_default()
            .as_chunks::<SECTION_HEADER_LEN>()
            .0
            .iter()
            .take(count as usize)
            .filter(|section| {
                elf::u32_at(*section, 4).is_some_and(|kind| WANTED_SECTIONS.contains(&kind))
            })
            .filter_map(|section| Some((elf::u64_at(section, 24)?, elf::u64_at(section, 32)?)))
            .collect();
        for (offset, len) in wanted {
            self.fill(offset, len)?;
        }
        Ok(())
    }

    /// Copies a range of the file to its place; a range outside the file, or one beyond the budget,
    /// is left out.
    fn fill(&mut self, offset: u64, len: u64) -> io::Result<()> {
        if len > self.budget {
            return Ok(());
        }
        let Some(end) = offset.checked_add(len) else { return Ok(()) };
        let Some(place) = self.memory.get_mut(offset as usize..end as usize) else {
            return Ok(());
        };
        self.budget -= len;
        read_up_to(self.file, place, offset)?;
        Ok(())
    }
}

/// Reads until `buffer` is full or the file ends.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn image_of(bytes: &[u8]) -> Result<Vec<u8>, Unsuitable> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        symbols(&file, bytes.len() as u64).unwrap().map(|image| image.to_vec())
    }

    fn contains(image: &[u8], word: &[u8]) -> bool {
        image.windows(word.len()).any(|window| window == word)
    }

    #[test]
    fn a_program_shows_its_symbols_but_not_its_code() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let image = image_of(&bytes).unwrap();
        assert_eq!(image.len(), bytes.len());
        assert!(contains(&image, b"\0__libc_start_main"));
        let entry = elf::u64_at(&bytes, 24).unwrap();
        assert_ne!(entry, 0);
        let filled = image.iter().filter(|&&byte| byte != 0).count();
        let present = bytes.iter().filter(|&&byte| byte != 0).count();
        assert!(filled < present / 2, "{filled} of {present}");
        assert!(image.iter().zip(&bytes).all(|(&seen, &real)| seen == 0 || seen == real));
    }

    #[test]
    fn a_file_without_section_headers_is_read_whole() {
        let mut bytes = std::fs::read("/bin/true").unwrap();
        bytes[40..48].fill(0);
        bytes[60..62].fill(0);
        assert_eq!(image_of(&bytes).unwrap(), bytes);
    }

    #[test]
    fn a_file_that_shrank_reads_as_zeros() {
        let bytes = std::fs::read("/bin/true").unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes[..4096]).unwrap();
        let image = symbols(&file, bytes.len() as u64).unwrap().unwrap();
        assert_eq!(image.len(), bytes.len());
        assert!(image[4096..].iter().all(|&byte| byte == 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_header_makes_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
            bytes.resize(16, 0);
            bytes.extend(3_u16.to_le_bytes());
            bytes.extend(elf::Machine::HERE.0.to_le_bytes());
            bytes.extend(tail);
            let _ = image_of(&bytes);
        }
    }
}
