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
    StaticSymbols::of(&elf).filter(|table| table.may_define("SSL_write")).is_some_and(|table| {
        let found = table.lookup(&BOTH);
        BOTH.iter().all(|name| found.iter().any(|(of, _)| of == name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn a_library_that_defines_both_is_found_without_section_headers() {
        let fixture = Fixture::new()
            .function("SSL_read", |a| a.ret().unwrap())
            .function("SSL_write", |a| a.ret().unwrap());
        assert!(carries_tls(&fixture.elf()));
    }

    #[test]
    fn a_program_that_only_uses_them_is_not() {
        let fixture = Fixture::new().import("SSL_read").import("SSL_write");
        assert!(!carries_tls(&fixture.elf()));
    }

    #[test]
    fn what_is_no_elf_file_is_not() {
        assert!(!carries_tls(b""));
        assert!(!carries_tls(b"#!/bin/sh\necho SSL_read SSL_write\n"));
    }
}
