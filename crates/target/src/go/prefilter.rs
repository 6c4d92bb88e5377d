//! Was a file built by Go? Asked of every file that any process maps, with only headers, notes and
//! string tables at hand.

use crate::elf::{Elf, u32_at};
use memchr::memmem;

/// `ELF_NOTE_GOBUILDID_TAG` of Go's src/cmd/internal/buildid.
const GO_BUILD_ID: u32 = 4;
const SECTIONS: [&[u8]; 3] = [b".go.buildinfo\0", b".gopclntab\0", b".data.rel.ro.gopclntab\0"];
const BUILD_INFO: &[u8] = b"\xff Go buildinf:";

/// True if the file says that Go built it: by its build-id note, by the name of a section, or, if it
/// has no section headers, by its build info. Whether it does TLS is for [`analyze_go`] to find.
///
/// [`analyze_go`]: crate::analyze_go
pub fn carries_go(bytes: &[u8]) -> bool {
    let Ok(elf) = Elf::parse(bytes) else { return false };
    if elf.notes().any(has_build_id) {
        return true;
    }
    match elf.section_names() {
        Some(names) => SECTIONS.iter().any(|name| memmem::find(names, name).is_some()),
        None => memmem::find(bytes, BUILD_INFO).is_some(),
    }
}

/// Go's note comes first in its segment, or alone.
fn has_build_id(notes: &[u8]) -> bool {
    u32_at(notes, 8) == Some(GO_BUILD_ID) && notes.get(12..16) == Some(b"Go\0\0")
}
