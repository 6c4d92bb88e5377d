//! `/proc/PID/maps`: the executable mappings of files.
//!
//! One line per mapping: `START-END PERMS OFFSET MAJOR:MINOR INODE          PATH`. The kernel escapes
//! newlines in the path as `\012` and nothing else, so a line is a line; a path that really holds
//! the four characters `\012` looks the same, and so does one that really ends in ` (deleted)`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// An executable mapping of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// The superblock's device number, major and minor.
    pub dev: (u32, u32),
    /// The inode number, never 0.
    pub ino: u64,
    /// The path as the kernel wrote it, without ` (deleted)`.
    pub raw_path: &'a [u8],
    /// True if the kernel marked the path as deleted.
    pub deleted: bool,
}

impl Mapping<'_> {
    /// The path with escapes undone.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(unescape(self.raw_path)))
    }
}

/// The executable file mappings in the text of a `maps` file, in order. Lines that don't look like
/// the kernel's are skipped.
pub fn executable(text: &[u8]) -> impl Iterator<Item = Mapping<'_>> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line)
}

fn parse_line(line: &[u8]) -> Option<Mapping<'_>> {
    let (range, rest) = field(line)?;
    let (perms, rest) = field(rest)?;
    if *perms.get(2)? != b'x' {
        return None;
    }
    let (_offset, rest) = field(rest)?;
    let (dev, rest) = field(rest)?;
    let (ino, rest) = field(rest)?;
    let ino = decimal(ino)?;
    let path = rest.trim_ascii_start();
    // Anonymous memory and the kernel's own pages have no inode; anon_inode:… has no slash.
    if ino == 0 || path.first() != Some(&b'/') {
        return None;
    }
    let (start, end) = split_hex(range, b'-')?;
    let (major, minor) = split_hex(dev, b':')?;
    let (raw_path, deleted) = strip_deleted(path);
    Some(Mapping {
        start,
        end,
        dev: (u32::try_from(major).ok()?, u32::try_from(minor).ok()?),
        ino,
        raw_path,
        deleted,
    })
}

/// Takes the kernel's mark for an unlinked file off a path.
pub(crate) fn strip_deleted(path: &[u8]) -> (&[u8], bool) {
    match path.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (path, false),
    }
}

fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|&byte| byte == b' ')?;
    let (head, tail) = line.split_at(end);
    (!head.is_empty()).then(|| (head, tail.get(1..).unwrap_or_default()))
}

fn split_hex(text: &[u8], separator: u8) -> Option<(u64, u64)> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((hexadecimal(text.get(..at)?)?, hexadecimal(text.get(at + 1..)?)?))
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0, |value: u64, &digit| {
        Some(value << 4 | u64::from(char::from(digit).to_digit(16)?))
    })
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |value: u64, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    const NEWLINE: &[u8] = b"\\012";
    let mut path = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(NEWLINE) {
            path.push(b'\n');
            rest = tail;
        } else {
            path.push(first);
            rest = tail;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORDED: &[u8] = b"\
55d0c2a00000-55d0c2a02000 r--p 00000000 fe:00 1180 /usr/bin/cat
55d0c2a02000-55d0c2a07000 r-xp 00002000 fe:00 1180                       /usr/bin/cat
55d0c3b1f000-55d0c3b40000 rw-p 00000000 00:00 0                          [heap]
7f2a10000000-7f2a10001000 rwxp 00000000 00:00 0 
7f2a11000000-7f2a11100000 r-xs 00000000 00:01 42                         /memfd:jit (deleted)
7f2a12000000-7f2a12100000 r-xp 00001000 00:2b 77                         /opt/odd\\012name (copy).so
7f2a13000000-7f2a13100000 r-xp 00001000 103:02 18446744073709551615      /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)
7f2a14000000-7f2a14001000 rwxs 00000000 00:05 5                          anon_inode:[perf_event]
7ffd1b5f0000-7ffd1b5f2000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";

    fn all(text: &[u8]) -> Vec<Mapping<'_>> {
        executable(text).collect()
    }

    #[test]
    fn only_executable_mappings_of_files_are_reported() {
        let paths: Vec<_> = all(RECORDED).iter().map(Mapping::path).collect();
        assert_eq!(
            paths,
            [
                "/usr/bin/cat",
                "/memfd:jit",
                "/opt/odd\nname (copy).so",
                "/usr/lib/x86_64-linux-gnu/libssl.so.3"
            ]
            .map(PathBuf::from)
        );
    }

    #[test]
    fn addresses_device_inode_and_deletion_are_read() {
        let found = all(RECORDED);
        assert_eq!((found[0].start, found[0].end), (0x55d0_c2a0_2000, 0x55d0_c2a0_7000));
        assert_eq!(found[0].dev, (0xfe, 0));
        assert!(!found[0].deleted);
        assert_eq!(found[3].dev, (0x103, 2));
        assert_eq!(found[3].ino, u64::MAX);
        assert!(found[3].deleted);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for line in [
            "11111111111111111-2 r-xp 0 0:1 1 /a",
            "1-2 r-xp 0 0:1 18446744073709551616 /a",
            "1-2 r-xp 0 100000000:1 1 /a",
            "1-2 r-xp 0 0:1 -1 /a",
            "- r-xp 0 0:1 1 /a",
            "1-2 r- 0 0:1 1 /a",
        ] {
            assert_eq!(all(line.as_bytes()), [], "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            executable(&text).for_each(|mapping| drop(mapping.path()));
        }

        #[test]
        fn any_path_without_backslash_comes_back(path in "/[^\\\\\0\n]{0,40}", ino in 1u64..) {
            prop_assume!(!path.ends_with(" (deleted)"));
            let line = format!("1000-2000 r-xp 00000000 08:01 {ino}  {path}\n");
            let found = all(line.as_bytes());
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].path(), PathBuf::from(path));
            prop_assert_eq!(found[0].ino, ino);
        }
    }
}
