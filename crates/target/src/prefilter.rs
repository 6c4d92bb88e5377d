//! Is a file worth analysing? Asked of every file that any process maps, so it must cost next to
//! nothing: a few cache lines of the dynamic hash table, as a rule.

use crate::elf::{Dynamic, Elf, StaticSymbols};

/// True if the file *defines* `SSL_read` and `SSL_write`: in its dynamic symbols, or in
/// `.symtab`, which is read only if its string table has the second name.
pub fn carries_tls(bytes: &[u8]) -> bool {
    defines_both(bytes, ["SSL_read", "SSL_write"])
}

/// True if the file is a `GnuTLS`, or has one linked in.
pub(crate) fn carries_gnutls(bytes: &[u8]) -> bool {
    defines_both(bytes, ["gnutls_record_recv", "gnutls_record_send"])
}

/// True if the file has the TLS layer of NSS: it is a libssl3, or a library that has it inside.
pub(crate) fn carries_nss(bytes: &[u8]) -> bool {
    defines_both(bytes, ["SSL_OptionSet", "SSL_ImportFD"])
}

fn defines_both(bytes: &[u8], names: [&str; 2]) -> bool {
    let Ok(elf) = Elf::parse(bytes) else { return false };
    let dynamic = Dynamic::read(&elf);
    if names.iter().all(|name| !dynamic.lookup(&elf, name).is_empty()) {
        return true;
    }
    StaticSymbols::of(&elf).filter(|table| table.may_define(names[1])).is_some_and(|table| {
        let found = table.lookup(&names);
        names.iter().all(|name| found.iter().any(|(of, _)| of == name))
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
