//! The build-id note, by which debug files and caches know a build.

use super::{Elf, u32_at};

const NT_GNU_BUILD_ID: u32 = 3;

impl Elf<'_> {
    /// The GNU build-id in lower-case hex.
    pub(crate) fn build_id(&self) -> Option<String> {
        self.note_ranges
            .iter()
            .filter_map(|&(offset, size)| self.slice(offset, size))
            .find_map(build_id_in)
    }
}

fn build_id_in(mut notes: &[u8]) -> Option<String> {
    loop {
        let name_size = usize::try_from(u32_at(notes, 0)?).ok()?;
        let size = usize::try_from(u32_at(notes, 4)?).ok()?;
        let kind = u32_at(notes, 8)?;
        let name = notes.get(12..12usize.checked_add(name_size)?)?;
        let start = 12usize.checked_add(name_size.checked_next_multiple_of(4)?)?;
        let end = start.checked_add(size)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" && (1..=64).contains(&size) {
            let id = notes.get(start..end)?;
            return Some(id.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = notes.get(start.checked_add(size.checked_next_multiple_of(4)?)?..)?;
    }
}
