//! `/etc/ld.so.cache`: where glibc's loader finds libraries.
//!
//! Layout (glibc, `sysdeps/generic/dl-cache.h`): a header of 48 bytes that begins with
//! `glibc-ld.so.cache1.1`, `nlibs` entries of 24 bytes, then strings, which the entries name by
//! offsets from the header. Before glibc 2.32 the file began with the older format
//! (`ld.so-1.7.0`, entries of 12 bytes), and the new header followed it, aligned to 8 bytes.

use crate::elf::u32_at;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const NEW_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const NEW_HEADER_LEN: usize = 48;
const NEW_ENTRY_LEN: usize = 24;
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const OLD_HEADER_LEN: usize = 16;
const OLD_ENTRY_LEN: usize = 12;

/// An entry's flags for a 64-bit library of this machine: `FLAG_ELF_LIBC6` and `FLAG_X8664_LIB64` or
/// `FLAG_AARCH64_LIB64`.
pub(crate) const FLAGS_HERE: u32 = if cfg!(target_arch = "aarch64") { 0x0a03 } else { 0x0303 };

/// Bits of the flags that tell kind and machine.
const FLAGS_MASK: u32 = 0xffff;

/// A library that the loader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The name by which programs ask for it.
    pub(crate) soname: &'a [u8],
    /// Where it is.
    pub(crate) path: &'a Path,
}

/// The entries for 64-bit libraries of this machine; `None` if the file isn't a cache of the new
/// format. Entries that point outside the file are skipped.
pub(crate) fn entries(file: &[u8]) -> Option<impl Iterator<Item = Entry<'_>>> {
    let cache = new_format(file)?;
    let count = u32_at(cache, 20)? as usize;
    let table = cache.get(NEW_HEADER_LEN..)?;
    Some(table.as_chunks::<NEW_ENTRY_LEN>().0.iter().take(count).filter_map(move |entry| {
        let flags = u32_at(entry, 0)?;
        if flags & FLAGS_MASK != FLAGS_HERE {
            return None;
        }
        let soname = string(cache, u32_at(entry, 4)?)?;
        let path = string(cache, u32_at(entry, 8)?)?;
        path.starts_with(b"/").then(|| Entry { soname, path: Path::new(OsStr::from_bytes(path)) })
    }))
}

fn new_format(file: &[u8]) -> Option<&[u8]> {
    if file.starts_with(NEW_MAGIC) {
        return Some(file);
    }
    if !file.starts_with(OLD_MAGIC) {
        return None;
    }
    let count = u32_at(file, OLD_MAGIC.len().next_multiple_of(4))? as usize;
    let end = count.checked_mul(OLD_ENTRY_LEN)?.checked_add(OLD_HEADER_LEN)?;
    let cache = file.get(end.checked_next_multiple_of(8)?..)?;
    cache.starts_with(NEW_MAGIC).then_some(cache)
}

/// The string at an offset, without its terminating zero; no longer than a path can be.
fn string(cache: &[u8], offset: u32) -> Option<&[u8]> {
    const PATH_MAX: usize = 4096;
    let tail = cache.get(offset as usize..)?;
    let end = tail.iter().take(PATH_MAX).position(|&byte| byte == 0)?;
    tail.get(..end)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A cache with these (flags, soname, path).
    pub(crate) fn cache_of(libraries: &[(u32, &str, &str)]) -> Vec<u8> {
        let mut strings = Vec::new();
        let mut entries = Vec::new();
        let strings_at = NEW_HEADER_LEN + NEW_ENTRY_LEN * libraries.len();
        for (flags, soname, path) in libraries {
            entries.extend(flags.to_le_bytes());
            for text in [soname, path] {
                entries.extend(((strings_at + strings.len()) as u32).to_le_bytes());
                strings.extend(text.bytes());
                strings.push(0);
            }
            entries.extend([0; 12]);
        }
        let mut cache = NEW_MAGIC.to_vec();
        cache.extend((libraries.len() as u32).to_le_bytes());
        cache.extend((strings.len() as u32).to_le_bytes());
        cache.resize(NEW_HEADER_LEN, 0);
        cache.extend(entries);
        cache.extend(strings);
        cache
    }

    fn after_old_format(cache: &[u8], old_entries: u32) -> Vec<u8> {
        let mut file = OLD_MAGIC.to_vec();
        file.push(0);
        file.extend(old_entries.to_le_bytes());
        file.resize(
            (OLD_HEADER_LEN + OLD_ENTRY_LEN * old_entries as usize).next_multiple_of(8),
            0xee,
        );
        file.extend(cache);
        file
    }

    const TWO: &[(u32, &str, &str)] = &[
        (FLAGS_HERE, "libssl.so.3", "/usr/lib/libssl.so.3"),
        (FLAGS_HERE, "libc.so.6", "/lib/libc.so.6"),
    ];

    fn paths(file: &[u8]) -> Vec<&Path> {
        entries(file).unwrap().map(|entry| entry.path).collect()
    }

    #[test]
    fn both_places_of_the_new_format_are_read() {
        let plain = cache_of(TWO);
        let expected = [Path::new("/usr/lib/libssl.so.3"), Path::new("/lib/libc.so.6")];
        assert_eq!(paths(&plain), expected);
        for old_entries in [0, 1, 2, 7] {
            assert_eq!(paths(&after_old_format(&plain, old_entries)), expected);
        }
        assert_eq!(entries(&plain).unwrap().next().unwrap().soname, b"libssl.so.3");
    }

    #[test]
    fn other_machines_are_left_out() {
        let cache = cache_of(&[
            (0x0003, "libssl.so.3", "/lib/i386-linux-gnu/libssl.so.3"),
            (0x0803, "libssl.so.3", "/libx32/libssl.so.3"),
            (FLAGS_HERE, "libssl.so.3", "/lib/libssl.so.3"),
        ]);
        assert_eq!(paths(&cache), [Path::new("/lib/libssl.so.3")]);
    }

    #[test]
    fn offsets_outside_the_file_are_skipped() {
        let mut cache = cache_of(TWO);
        cache[NEW_HEADER_LEN + 8..NEW_HEADER_LEN + 12].fill(0xff);
        assert_eq!(paths(&cache), [Path::new("/lib/libc.so.6")]);
    }

    #[test]
    fn a_count_larger_than_the_file_is_harmless() {
        let mut cache = cache_of(TWO);
        cache[20..24].fill(0xff);
        assert!(paths(&cache).len() >= 2);
        assert!(entries(&after_old_format(&cache, 3)[..20]).is_none());
        let mut old = after_old_format(&cache, 3);
        old[12..16].fill(0xff);
        assert!(entries(&old).is_none());
    }

    #[test]
    fn a_string_without_end_is_skipped() {
        let mut cache = cache_of(&TWO[..1]);
        cache.pop();
        assert!(paths(&cache).is_empty());
    }

    #[test]
    fn another_file_is_no_cache() {
        assert!(entries(b"").is_none());
        assert!(entries(b"\x7fELF").is_none());
        assert!(entries(b"ld.so-1.7.0").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            tail in proptest::collection::vec(any::<u8>(), 0..600),
            old in any::<bool>(),
        ) {
            let mut file = if old { OLD_MAGIC.to_vec() } else { NEW_MAGIC.to_vec() };
            file.extend(tail);
            if let Some(entries) = entries(&file) {
                let _ = entries.count();
            }
        }
    }
}
