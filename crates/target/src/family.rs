//! Which implementation of the interface a file holds, and which version it says it is. For
//! people: no decision about layouts or sites depends on it.

use crate::elf::Elf;
use crate::image::Image;
use memchr::memmem;
use serde::Serialize;

/// Implementations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// OpenSSL itself, any version.
    OpenSsl,
    /// Google's fork.
    BoringSsl,
    /// OpenBSD's fork.
    LibreSsl,
    /// Amazon's fork of BoringSSL.
    AwsLc,
    /// `GnuTLS`.
    GnuTls,
    /// Mozilla's NSS.
    Nss,
}

/// Exported by one family only.
const TELL_TALES: [(&str, Family); 5] = [
    ("SSL_to_bytes", Family::AwsLc),
    ("SSL_CTX_use_certificate_chain_mem", Family::LibreSsl),
    ("SSL_CTX_set_grease_enabled", Family::BoringSsl),
    ("SSL_set_enforce_rsa_key_usage", Family::BoringSsl),
    ("SSL_CTX_set_custom_verify", Family::BoringSsl),
];

/// How those name themselves that are not [`Family::OpenSsl`].
const NAMES: [(&str, Family); 3] =
    [("AWS-LC", Family::AwsLc), ("LibreSSL", Family::LibreSsl), ("BoringSSL", Family::BoringSsl)];

/// The names to look up for [`family`].
pub(crate) fn tell_tales() -> impl Iterator<Item = &'static str> {
    TELL_TALES.iter().map(|(name, _)| *name)
}

/// The family by its exports; AWS-LC exports what BoringSSL does, and more.
pub(crate) fn family(image: &Image<'_>, version: Option<&str>) -> Family {
    let named = |name: &str| version.is_some_and(|version| version.starts_with(name));
    if let Some((_, family)) = NAMES.iter().find(|(name, _)| named(name)) {
        return *family;
    }
    TELL_TALES
        .iter()
        .find(|(name, _)| !image.definitions(name).is_empty())
        .map_or(Family::OpenSsl, |(_, family)| *family)
}

/// The version a file names in its strings: `OpenSSL 3.0.19`, `LibreSSL 3.8.2`,
/// `AWS-LC 1.30.1`, or just `BoringSSL`. From OpenSSL 1.1.0 on it is in libcrypto, not in libssl.
pub fn version_string(bytes: &[u8]) -> Option<String> {
    let data = Elf::parse(bytes).map_or_else(
        |_| vec![bytes],
        // A program of 100 MB has half of it elsewhere.
        |elf| elf.constant_data().collect(),
    );
    data.into_iter().find_map(version_in)
}

/// As [`version_string`], for `GnuTLS`: `GnuTLS 3.7.9`.
pub(crate) fn gnutls_version(elf: &Elf<'_>) -> Option<String> {
    // What `gnutls_global_init` logs.
    behind(elf, b"Enabled GnuTLS ").map(|number| format!("GnuTLS {number}"))
}

/// As [`version_string`], for a libssl of NSS: `NSS 3.87.1`.
pub(crate) fn nss_version(elf: &Elf<'_>) -> Option<String> {
    // `__nss_ssl_version`
    behind(elf, b"Version: NSS ").map(|number| format!("NSS {number}"))
}

/// The version number behind a text.
fn behind(elf: &Elf<'_>, text: &[u8]) -> Option<String> {
    const LONGEST: usize = 24;
    elf.constant_data().find_map(|data| {
        memmem::find_iter(data, text).find_map(|at| {
            let rest = data.get(at + text.len()..)?;
            let rest = rest.get(..LONGEST).unwrap_or(rest);
            let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
            let number = rest.get(..end)?;
            let is_number = number.first().is_some_and(u8::is_ascii_digit);
            is_number.then(|| String::from_utf8_lossy(number).into_owned())
        })
    })
}

fn version_in(data: &[u8]) -> Option<String> {
    // One pass for "OpenSSL ", "LibreSSL " and "BoringSSL": all have this in them.
    let mut boring = false;
    for at in memmem::find_iter(data, "SSL") {
        let (head, rest) = data.split_at(at);
        let after = rest.get(3..).unwrap_or_default();
        if head.ends_with(b"Boring") && after.first() == Some(&0) {
            boring = true;
        }
        let Some((number, tail)) = after.strip_prefix(b" ").and_then(number) else { continue };
        // "LibreSSL 3.8.2\0", but "OpenSSL 3.0.19 27 Jan 2026\0".
        if head.ends_with(b"Libre") && tail.first() == Some(&0) {
            return Some(format!("LibreSSL {number}"));
        }
        if head.ends_with(b"Open") && number.split('.').count() == 3 {
            match tail {
                [b' ', b' ' | b'0'..=b'9', ..] => return Some(format!("OpenSSL {number}")),
                [b' ', b'(', ..] => return Some(compatible(tail).unwrap_or(number)),
                _ => {}
            }
        }
    }
    aws_lc(data).or_else(|| boring.then(|| "BoringSSL".to_owned()))
}

/// `AWS-LC 1.73.0`, as `awslc_version_string` has it.
fn aws_lc(data: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"AWS-LC ";
    memmem::find_iter(data, NAME).find_map(|at| {
        let (number, tail) = number(data.get(at + NAME.len()..)?)?;
        (tail.first() == Some(&0)).then(|| format!("AWS-LC {number}"))
    })
}

/// `AWS-LC 1.30.1` of " (compatible; AWS-LC 1.30.1)", as the forks name themselves.
fn compatible(text: &[u8]) -> Option<String> {
    const LONGEST: usize = 64;
    let text = text.get(..LONGEST).unwrap_or(text).strip_prefix(b" (compatible; ")?;
    let name = text.get(..memchr::memchr(b')', text)?)?;
    name.is_ascii().then(|| String::from_utf8_lossy(name).into_owned())
}

/// `3.0.19`, `1.1.1w`, `3.5.0-beta1` at the start of `text`, and what follows it.
fn number(text: &[u8]) -> Option<(String, &[u8])> {
    const LONGEST: usize = 24;
    let start = text.get(..LONGEST).unwrap_or(text);
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    let end = start.iter().position(|byte| !legal(byte))?;
    let (number, tail) = text.split_at(end);
    number.first().is_some_and(u8::is_ascii_digit).then_some(())?;
    // LibreSSL began with a version of two parts.
    let parts = number.split(|byte| *byte == b'.').count();
    matches!(parts, 2 | 3).then(|| (String::from_utf8_lossy(number).into_owned(), tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_strings() {
        let version = |text: &[u8]| version_string(text);
        assert_eq!(version(b"\0OpenSSL 3.0.19 27 Jan 2026\0").as_deref(), Some("OpenSSL 3.0.19"));
        assert_eq!(version(b"\0OpenSSL 1.1.1w  11 Sep 2023\0").as_deref(), Some("OpenSSL 1.1.1w"));
        assert_eq!(
            version(b"OpenSSL 1.1.1 (compatible; AWS-LC 1.30.1)\0").as_deref(),
            Some("AWS-LC 1.30.1")
        );
        assert_eq!(
            version(b"OpenSSL 1.1.1 (compatible; BoringSSL)\0").as_deref(),
            Some("BoringSSL")
        );
        assert_eq!(version(b"BoringSSL\0AWS-LC 1.73.0\0").as_deref(), Some("AWS-LC 1.73.0"));
        assert_eq!(version(b"\0LibreSSL 3.8.2\0").as_deref(), Some("LibreSSL 3.8.2"));
        assert_eq!(version(b"SSLv3 part of LibreSSL 2.0\0").as_deref(), Some("LibreSSL 2.0"));
        // constants of an inlined copy, cut off and followed by something else
        assert_eq!(version(b"OpenSSL 3.0.12+qShould not\0"), None);
        assert_eq!(version(b"OpenSSL default\0OpenSSL 3 rocks\0"), None);
    }
}
