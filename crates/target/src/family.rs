//! Which implementation of the interface a file holds, and which version it says it is. For
//! people: no decision about layouts or sites depends on it.

use crate::image::Image;
use memchr::memmem;
use serde::Serialize;

/// Implementations of the OpenSSL interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// OpenSSL itself, any version.
    OpenSsl,
    /// Google's fork.
    BoringSsl,
    /// OpenBSD's fork.
    LibreSsl,
    /// Amazon's fork of BoringSSL.
    AwsLc,
}

/// Exported by one family only.
const TELL_TALES: [(&str, Family); 4] = [
    ("SSL_CTX_use_certificate_chain_mem", Family::LibreSsl),
    ("SSL_CTX_set_grease_enabled", Family::BoringSsl),
    ("SSL_set_enforce_rsa_key_usage", Family::BoringSsl),
    ("SSL_CTX_set_custom_verify", Family::BoringSsl),
];

/// The names to look up for [`family`].
pub(crate) fn tell_tales() -> impl Iterator<Item = &'static str> {
    TELL_TALES.iter().map(|(name, _)| *name)
}

/// The family by its exports; AWS-LC exports what BoringSSL does but names itself in strings.
pub(crate) fn family(image: &Image<'_>, version: Option<&str>) -> Family {
    if version.is_some_and(|version| version.starts_with("AWS-LC")) {
        return Family::AwsLc;
    }
    if version.is_some_and(|version| version.starts_with("LibreSSL")) {
        return Family::LibreSsl;
    }
    TELL_TALES
        .iter()
        .find(|(name, _)| !image.definitions(name).is_empty())
        .map_or(Family::OpenSsl, |(_, family)| *family)
}

/// The version a file names in its strings: `OpenSSL 3.0.19`, `LibreSSL 3.8.2`,
/// `AWS-LC 1.30.1`, or just `BoringSSL`. From OpenSSL 1.1.0 on it is in libcrypto, not in libssl.
pub fn version_string(bytes: &[u8]) -> Option<String> {
    for product in ["AWS-LC ", "LibreSSL ", "OpenSSL "] {
        let found = memmem::find_iter(bytes, product)
            .take(MOST_CANDIDATES)
            .find_map(|at| bytes.get(at + product.len()..).and_then(number));
        if let Some(number) = found {
            // BoringSSL calls itself "OpenSSL 1.1.1 (compatible; BoringSSL)".
            let compatible = format!("OpenSSL {number} (compatible; BoringSSL)");
            if memmem::find(bytes, compatible.as_bytes()).is_some() {
                return Some("BoringSSL".to_owned());
            }
            return Some(format!("{product}{number}"));
        }
    }
    memmem::find(bytes, b"BoringSSL\0").map(|_| "BoringSSL".to_owned())
}

const MOST_CANDIDATES: usize = 256;

/// `3.0.19`, `1.1.1w`, `3.5.0-beta1` at the start of `text`, followed by a space or NUL.
fn number(text: &[u8]) -> Option<String> {
    const LONGEST: usize = 24;
    let text = text.get(..LONGEST).unwrap_or(text);
    let end = text.iter().position(|byte| matches!(byte, b' ' | 0 | b')'))?;
    let number = text.get(..end)?;
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    let dots = number.iter().filter(|byte| **byte == b'.').count();
    let starts = number.first().is_some_and(u8::is_ascii_digit);
    let ends = number.last().is_some_and(u8::is_ascii_alphanumeric);
    (starts && ends && dots == 2 && number.iter().all(legal))
        .then(|| String::from_utf8_lossy(number).into_owned())
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
        assert_eq!(version(b"\0LibreSSL 3.8.2\0").as_deref(), Some("LibreSSL 3.8.2"));
        assert_eq!(version(b"OpenSSL default\0OpenSSL 3 rocks\0"), None);
    }
}
