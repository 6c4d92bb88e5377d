//! `--ssl_version`: layouts that are known by version, for libraries that can't be read. A version
//! alone decides nothing, distributions patch structs without changing it: what the library at
//! hand does show must agree.

use super::accessor::Accessors;
use super::error::KeyError;
use super::flow::Known;
use super::logged::{address, show};
use super::{Address, KeySource};

/// A version as numbers; the letter of `1.1.1w` is the fourth.
type Version = (u32, u32, u32, u32);

/// Offsets of a range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    from: Version,
    to: Version,
    /// In the TLS object.
    version: u32,
    session: u32,
    client_random: &'static [u32],
    /// In the session: the master key, and its length with its width; for versions before 1.1.1,
    /// which log no secrets.
    master_key: Option<(u32, (u32, u8))>,
}

const fn layout(
    from: Version,
    to: Version,
    version: u32,
    session: u32,
    client_random: &'static [u32],
) -> Layout {
    Layout { from, to, version, session, client_random, master_key: None }
}

const fn without_log(layout: Layout, key: u32, length: u32) -> Layout {
    Layout { master_key: Some((key, (length, 4))), ..layout }
}

const LAST: u32 = 999;
const fn letter(letter: u8) -> u32 {
    (letter - b'a' + 1) as u32
}

/// OpenSSL, from the headers of each release.
const OPENSSL: [Layout; 13] = [
    without_log(layout((1, 0, 2, 0), (1, 0, 2, LAST), 0, 0x130, &[0x80, 0xc4]), 0x14, 0x10),
    without_log(layout((1, 1, 0, 0), (1, 1, 0, LAST), 0, 0x178, &[0x90, 0xb0]), 0x8, 0x4),
    layout((1, 1, 1, 0), (1, 1, 1, letter(b'a')), 0, 0x510, &[0xa8, 0xb8]),
    layout((1, 1, 1, letter(b'b')), (1, 1, 1, letter(b'c')), 0, 0x508, &[0xa8, 0xb8]),
    layout((1, 1, 1, letter(b'd')), (1, 1, 1, LAST), 0, 0x510, &[0xa8, 0xb8]),
    layout((3, 0, 0, 0), (3, 1, LAST, 0), 0, 0x918, &[0x160]),
    layout((3, 2, 0, 0), (3, 2, 3, 0), 0x40, 0x880, &[0x140]),
    layout((3, 2, 4, 0), (3, 2, LAST, 0), 0x48, 0x888, &[0x148]),
    layout((3, 3, 0, 0), (3, 3, 2, 0), 0x40, 0x880, &[0x140]),
    layout((3, 3, 3, 0), (3, 3, LAST, 0), 0x48, 0x888, &[0x148]),
    layout((3, 4, 0, 0), (3, 4, 0, 0), 0x40, 0x880, &[0x140]),
    layout((3, 4, 1, 0), (3, 4, LAST, 0), 0x48, 0x888, &[0x148]),
    layout((3, 5, 0, 0), (4, 0, LAST, 0), 0x48, 0x900, &[0x188]),
];

/// BoringSSL of Android 13 to 16 and of its main branch.
const BORINGSSL: Layout = layout((0, 0, 0, 0), (0, 0, 0, 0), 0x10, 0x58, &[0x30, 0x30]);

/// What stands for a version on the command line.
const NAMES: [(&str, Version); 5] = [
    ("linux_default_1_0_2", (1, 0, 2, LAST)),
    ("linux_default_1_1_0", (1, 1, 0, LAST)),
    ("linux_default_1_1_1", (1, 1, 1, LAST)),
    ("linux_default_3_0", (3, 0, 0, 0)),
    ("linux_default_3_2", (3, 2, 0, 0)),
];

/// The layout of a version as users name it: `openssl 3.0.12`, `1.1.1w`, `boringssl_a_14`.
pub(super) fn layout_of(version: &str) -> Result<&'static Layout, KeyError> {
    let name = version.trim().to_ascii_lowercase();
    if name.starts_with("boringssl") || name == "android_default" {
        return Ok(&BORINGSSL);
    }
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, version)| *version)
        .or_else(|| parse(name.strip_prefix("openssl").unwrap_or(&name).trim()))
        .and_then(|version| {
            OPENSSL.iter().find(|layout| (layout.from..=layout.to).contains(&version))
        })
        .ok_or_else(|| {
            let known = "openssl 1.0.2 to 4.0, boringssl_a_13 to boringssl_a_16, boringssl na";
            KeyError::UnknownVersion(version.to_owned(), known.to_owned())
        })
}

/// True if a version that was asked for can be that of a file that says it is `found`.
pub(super) fn same_family(version: &str, found: &str) -> bool {
    let boring = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.starts_with("boringssl") || name == "android_default"
    };
    boring(version) == boring(found) && !found.starts_with("LibreSSL")
}

/// `3.0.12`, `1.1.1w`.
fn parse(text: &str) -> Option<Version> {
    let letters = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let suffix = text.get(letters.len()..)?;
    let patch = match suffix.as_bytes() {
        [] => 0,
        [one] => letter(*one),
        _ => return None,
    };
    let mut numbers = letters.split('.').map(|number| number.parse().ok());
    let version = (numbers.next()??, numbers.next()??, numbers.next()??, patch);
    numbers.next().is_none().then_some(version)
}

impl Layout {
    /// True if the version has a key log.
    pub(super) fn logs(&self) -> bool {
        self.master_key.is_none()
    }

    pub(super) fn client_random(&self) -> Address {
        Address { argument: 0, steps: self.client_random.to_vec() }
    }

    /// True if a plan reads the client random where this layout has it.
    pub(super) fn allows(&self, source: &KeySource) -> bool {
        let (KeySource::Logged { client_random, .. } | KeySource::MasterKey { client_random, .. }) =
            source;
        // An argument that points at it says nothing of the layout.
        client_random.argument != 0 || client_random.steps == self.client_random
    }

    /// What to read where there is no key log.
    pub(super) fn source(&self) -> Option<KeySource> {
        let (key, (length, width)) = self.master_key?;
        let of_session = |offset| Address { argument: 0, steps: vec![self.session, offset] };
        Some(KeySource::MasterKey {
            client_random: self.client_random(),
            length: (of_session(length), width),
            key: of_session(key),
            version: Address { argument: 0, steps: vec![self.version] },
        })
    }

    /// Whatever the library's accessors say must be what the layout says. Returns how many did.
    pub(super) fn check(
        &self,
        accessors: &Accessors<'_, '_>,
        version: &str,
    ) -> Result<Vec<String>, KeyError> {
        let mut evidence = Vec::new();
        let mut agree = |name: &str, found: Option<(bool, String)>| match found {
            Some((true, what)) => {
                evidence.push(format!("{name} agrees with {version}: {what}"));
                Ok(())
            }
            Some((false, what)) => Err(KeyError::OtherVersion {
                version: version.to_owned(),
                what: format!("{name} says {what}"),
            }),
            None => Ok(()),
        };
        let name = "SSL_get_session";
        let session = accessors.pointer(name).filter(|_| self.from.0 > 0);
        agree(name, session.map(|at| (at == self.session, format!("ssl+{at:#x}"))))?;
        let name = "SSL_version";
        let field = accessors.returned(name).and_then(|known| match known {
            Known::Narrow { at, width: 4 } => Some(at),
            _ => None,
        });
        agree(name, field.map(|at| (steps(&address(&at)) == [self.version], show(&at))))?;
        let name = "SSL_get_client_random";
        let random = accessors.copied(name);
        agree(name, random.map(|at| (address(&at).steps == self.client_random, show(&at))))?;
        Ok(evidence)
    }
}

/// The steps, where none is one of 0.
fn steps(address: &Address) -> &[u32] {
    if address.steps.is_empty() { &[0] } else { &address.steps }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(version: &str) -> Option<Vec<u32>> {
        layout_of(version).ok().map(|layout| layout.client_random.to_vec())
    }

    #[test]
    fn versions_are_found_as_users_write_them() {
        assert_eq!(random("openssl 1.0.2u"), Some(vec![0x80, 0xc4]));
        assert_eq!(random("OpenSSL 1.1.0l"), Some(vec![0x90, 0xb0]));
        assert_eq!(random("1.1.1w"), Some(vec![0xa8, 0xb8]));
        assert_eq!(random("openssl 3.0.12"), Some(vec![0x160]));
        assert_eq!(random("openssl 3.2.3"), Some(vec![0x140]));
        assert_eq!(random("openssl 3.2.4"), Some(vec![0x148]));
        assert_eq!(random("openssl 4.0.1"), Some(vec![0x188]));
        assert_eq!(random("linux_default_3_0"), Some(vec![0x160]));
        assert_eq!(random("boringssl_a_14"), Some(vec![0x30, 0x30]));
        for unknown in ["", "openssl", "openssl 9.0.0", "openssl 0.9.8zh", "1.2", "3.0.0.0"] {
            assert!(matches!(layout_of(unknown), Err(KeyError::UnknownVersion(..))), "{unknown}");
        }
    }

    #[test]
    fn ranges_of_versions_do_not_overlap() {
        for pair in OPENSSL.windows(2) {
            assert!(pair[0].from <= pair[0].to && pair[0].to < pair[1].from);
        }
    }
}
