//! Is a file worth analysing? Asked of every file that any process maps, so it must cost next to
//! nothing: a few cache lines of the dynamic hash table, as a rule.

use crate::elf::{Dynamic, Elf, StaticSymbols};

const BOTH: [&str; 2] = ["SSL_read", "SSL_write"];

/// True if the file *defines* `SSL_read` and `SSL_write`: in its dynamic symbols, or in
/// `.symtab`, which is read only if its string table has both names.
pub fn carries_tls(bytes: &[u8]) -> bool {
    let Ok(elf) = Elf::parse(bytes) else { return false };
    let dynamic = Dynamic::read(&elf);
    if BOTH.iter().all(|name| !dynamic.lookup(&elf, name).is_empty()) {
        return true;
    }
    StaticSymbols::of(&elf).is_some_and(|table| {
        let found = table.lookup(&BOTH);
        BOTH.iter().all(|name| found.iter().any(|(of, _)| of == name))
    })
}
